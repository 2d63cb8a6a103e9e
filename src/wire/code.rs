//! The registry of codes: what an `error` says, and why a socket was closed.
//!
//! Codes are added, never changed. Clients look at the code; people read the sentence beside it.

/// An error's stable name and what a client may do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// The stable name.
    pub name: &'static str,
    /// Trying the same again later can succeed.
    pub retryable: bool,
    /// The sentence that clients of the first generation expect in `message`.
    pub legacy: &'static str,
}

/// Old clients know exactly three sentences.
const NOT_JSON: &str = "Invalid JSON format";
const NOT_DONE: &str = "Failed to process message";
const NOT_OURS: &str = "Internal server error";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $text:literal $retryable:literal $legacy:ident;)+) => {
        $($(#[$doc])* pub const $name: ErrorCode =
            ErrorCode { name: $text, retryable: $retryable, legacy: $legacy };)+

        /// Every error code.
        pub const ERRORS: &[ErrorCode] = &[$($name),+];
    };
}

codes! {
    /// The frame is not JSON.
    INVALID_JSON "invalid_json" false NOT_JSON;
    /// The frame is JSON, but no object, or not a text frame.
    NOT_AN_OBJECT "not_an_object" false NOT_OURS;
    /// A field is missing or of the wrong type.
    BAD_MESSAGE "bad_message" false NOT_DONE;
    /// No message has this type.
    UNKNOWN_TYPE "unknown_type" false NOT_DONE;
    /// An id is empty, too long or holds control characters.
    BAD_ID "bad_id" false NOT_DONE;
    /// The JSON nests deeper than the limit.
    TOO_DEEP "too_deep" false NOT_DONE;
    /// Something is larger than its limit.
    TOO_LARGE "too_large" false NOT_DONE;
    /// The sender is not in the room.
    NOT_A_MEMBER "not_a_member" false NOT_DONE;
    /// It is not clear in which room the resource lies.
    ROOM_REQUIRED "room_required" false NOT_DONE;
    /// The resources of one request lie in several buildings.
    CROSS_BUILDING "cross_building" false NOT_DONE;
    /// No such lock now.
    LOCK_NOT_FOUND "lock_not_found" false NOT_DONE;
    /// The lock is held by somebody else.
    LOCK_HELD "lock_held" true NOT_DONE;
    /// The lock is not the sender's.
    NOT_HOLDER "not_holder" false NOT_DONE;
    /// Only one's own lock can be taken over.
    NOT_SAME_USER "not_same_user" false NOT_DONE;
    /// The lock has changed hands since it was looked at.
    TOKEN_CHANGED "token_changed" false NOT_DONE;
    /// No such place in the queue.
    WAIT_NOT_FOUND "wait_not_found" false NOT_DONE;
    /// No such editing request.
    REQUEST_NOT_FOUND "request_not_found" false NOT_DONE;
    /// There is an open editing request already.
    ALREADY_REQUESTED "already_requested" false NOT_DONE;
    /// The lock asked for is the asker's own.
    OWN_LOCK "own_lock" false NOT_DONE;
    /// Waiting would close a circle.
    DEADLOCK "deadlock" true NOT_DONE;
    /// The time to wait is over.
    WAIT_TIMED_OUT "wait_timed_out" true NOT_DONE;
    /// The waiter gave up.
    WAIT_CANCELLED "wait_cancelled" false NOT_DONE;
    /// The version that the edit builds on is older than what is kept: reload.
    BASE_TOO_OLD "base_too_old" false NOT_DONE;
    /// The version that the edit builds on does not exist yet.
    BASE_AHEAD "base_ahead" false NOT_DONE;
    /// The resource's document cannot be read from where it comes from.
    ORIGIN_UNAVAILABLE "origin_unavailable" true NOT_OURS;
    /// The change cannot be made on this document.
    BAD_EDIT "bad_edit" false NOT_DONE;
    /// No such conflict, or not the asker's.
    CONFLICT_NOT_FOUND "conflict_not_found" false NOT_DONE;
    /// Somebody has settled the conflict already.
    ALREADY_RESOLVED "already_resolved" false NOT_DONE;
    /// The conflict has changed since it was looked at.
    REVISION_CHANGED "revision_changed" true NOT_DONE;
    /// A named bound is reached.
    LIMIT "limit" true NOT_DONE;
    /// Too many messages in too short a time; this one was not looked at.
    RATE_LIMITED "rate_limited" true NOT_DONE;
    /// The store cannot commit: what people agree on is read-only for now.
    STORE_UNAVAILABLE "store_unavailable" true NOT_OURS;
    /// `hello` must be the first message.
    HELLO_LATE "hello_late" false NOT_DONE;
    /// The person has no connection.
    NOT_CONNECTED "not_connected" true NOT_DONE;
    /// The daemon is about to stop.
    DRAINING "draining" true NOT_OURS;
    /// No such thing.
    NOT_FOUND "not_found" false NOT_DONE;
}

/// Why a socket was closed by the daemon. 3000 to 3499: come back; 3500 to 3999: do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode {
    /// The number in the close frame.
    pub number: u16,
    /// The text beside it.
    pub reason: &'static str,
}

macro_rules! closes {
    ($($(#[$doc:meta])* $name:ident $number:literal $reason:literal;)+) => {
        $($(#[$doc])* pub const $name: CloseCode = CloseCode { number: $number, reason: $reason };)+

        /// Every close code, in order of number.
        pub const CLOSES: &[CloseCode] = &[$($name),+];
    };
}

closes! {
    /// The client closed and we answer.
    NORMAL 1000 "bye";
    /// The client broke the WebSocket protocol.
    PROTOCOL 1002 "protocol error";
    /// A text frame was not UTF-8.
    NOT_UTF8 1007 "text is not UTF-8";
    /// A message is larger than `limits.message_bytes`.
    TOO_BIG 1009 "message too big";
    /// The daemon stops or restarts; come back after the announced delay.
    RESTART 1012 "restart";
    /// The daemon is full; come back later.
    TRY_LATER 1013 "try again later";
    /// The client did not take its messages in time.
    SLOW 3008 "slow";
    /// No answer to a ping.
    NO_PONG 3012 "no pong";
    /// Far more messages than allowed.
    FLOODING 3013 "flooding";
    /// The session goes on in another connection.
    SESSION_TAKEN 3503 "session taken";
    /// An operator closed the connection.
    KICKED 3507 "kicked";
}

/// May a client with this close code reconnect by itself?
pub fn comes_back(number: u16) -> bool {
    !(3500..4000).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_means_one_thing() {
        let names: HashSet<_> = ERRORS.iter().map(|c| c.name).collect();
        assert_eq!(names.len(), ERRORS.len());
        assert!(CLOSES.windows(2).all(|w| w[0].number < w[1].number));
        assert!(comes_back(SLOW.number) && comes_back(RESTART.number) && !comes_back(KICKED.number));
    }
}
