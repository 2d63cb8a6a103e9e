//! The closed sets that figures are split by. Variants may be added; a name on the wire is never changed.

use arxosrt_core::lock::LockType;

/// A closed set of label values, each with an index below the set's size.
pub trait Label: Copy + std::fmt::Debug + Send + Sync + 'static {
    /// The label's name.
    const KEY: &'static str;
    /// Every value, in order of index.
    const ALL: &'static [Self];

    /// The place in an array.
    fn index(self) -> usize;
    /// The value as it is exported.
    fn name(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $set:ident $key:literal { $($(#[$vdoc:meta])* $variant:ident = $name:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $set {
            $($(#[$vdoc])* $variant,)+
        }

        impl $set {
            /// How many there are.
            pub const COUNT: usize = <$set as Label>::ALL.len();
        }

        impl Label for $set {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = &[$($set::$variant,)+];

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self {
                    $($set::$variant => $name,)+
                }
            }
        }
    )+};
}

labels! {
    /// How a client is connected.
    Transport "transport" {
        /// WebSocket.
        WebSocket = "websocket",
        /// Server-sent events and REST.
        Sse = "sse",
    }

    /// What a client sent.
    MessageType "type" {
        /// `hello`.
        Hello = "hello",
        /// `join_room`.
        JoinRoom = "join_room",
        /// `leave_room`.
        LeaveRoom = "leave_room",
        /// `update_presence`.
        UpdatePresence = "update_presence",
        /// `broadcast`.
        Broadcast = "broadcast",
        /// `acquire_lock`.
        AcquireLock = "acquire_lock",
        /// `release_lock`.
        ReleaseLock = "release_lock",
        /// `renew_lock`.
        RenewLock = "renew_lock",
        /// `cancel_wait`.
        CancelWait = "cancel_wait",
        /// `request_lock`.
        RequestLock = "request_lock",
        /// `respond_lock_request`.
        RespondLockRequest = "respond_lock_request",
        /// `retract_lock_request`.
        RetractLockRequest = "retract_lock_request",
        /// `take_over_lock`.
        TakeOverLock = "take_over_lock",
        /// `list_users`.
        ListUsers = "list_users",
        /// `edit`.
        Edit = "edit",
        /// `sync`.
        Sync = "sync",
        /// `resolve_conflict`.
        ResolveConflict = "resolve_conflict",
        /// `restore_value`.
        RestoreValue = "restore_value",
        /// `list_conflicts`.
        ListConflicts = "list_conflicts",
        /// `preload_hint`.
        PreloadHint = "preload_hint",
        /// `heartbeat`.
        Heartbeat = "heartbeat",
        /// `ping`.
        Ping = "ping",
        /// A message of a type that this build does not know.
        Unknown = "unknown",
        /// Not a message: not JSON, not an object, a field of the wrong kind.
        Malformed = "malformed",
    }

    /// What became of an edit.
    EditResult "result" {
        /// In the document, and nobody else's changes were met.
        Applied = "applied",
        /// In the document beside others' changes.
        Merged = "merged",
        /// Some of it waits in a conflict.
        Conflict = "conflict",
        /// It came under a lock that was lost: a draft.
        Fenced = "fenced",
        /// A repeat.
        Duplicate = "duplicate",
        /// Somebody else holds a lock on it.
        Locked = "locked",
        /// It cannot be carried out.
        Rejected = "rejected",
    }

    /// How grave a conflict is.
    SeverityLabel "severity" {
        /// Settled at once.
        Low = "low",
        /// The committed value stays if nobody decides.
        Medium = "medium",
        /// The same, and people should look.
        High = "high",
        /// Never decided by itself.
        Critical = "critical",
    }

    /// How a conflict ended.
    SettledHow "by" {
        /// One of the two.
        People = "people",
        /// An operator.
        Operators = "operators",
        /// Nobody in time.
        Timeout = "timeout",
        /// The rules, at once.
        Rules = "rules",
    }

    /// What a full outbox means for a frame.
    DeliveryClass "class" {
        /// Never dropped.
        Control = "control",
        /// Ordered; dropped together with its room's backlog, and the client is told.
        Sequenced = "sequenced",
        /// Replaced in place.
        Latest = "latest",
    }

    /// Who wrote to a client's socket.
    WrittenBy "by" {
        /// The hub's own thread.
        Hub = "hub",
        /// One of the threads that help it.
        Writer = "writer",
    }

    /// Why a client must reload a room.
    ResyncReason "reason" {
        /// The client's backlog of that room was dropped.
        OutboxFull = "outbox_full",
        /// What was missed is older than what is kept.
        HistoryGone = "history_gone",
        /// The client saw another log.
        EpochChanged = "epoch_changed",
        /// An unclean end may have lost the room's last messages.
        TailLost = "tail_lost",
    }

    /// How an attempt to resume a session ended.
    ResumeResult "result" {
        /// Nothing was missed, or all of it was sent again.
        Recovered = "recovered",
        /// The session is back, but at least one room must be reloaded.
        Partial = "partial",
        /// An old client was recognised by its person.
        TakenOver = "taken_over",
        /// The session is over.
        Expired = "expired",
        /// The resume token is not the session's.
        Refused = "refused",
    }

    /// How an HTTP request was answered.
    StatusClass "status" {
        /// Done.
        Success = "2xx",
        /// The client asked for something that it may not have.
        ClientError = "4xx",
        /// The daemon could not.
        ServerError = "5xx",
    }

    /// How a lock request ended.
    LockOutcome "outcome" {
        /// A new lock.
        Granted = "granted",
        /// The asker's own lock.
        Renewed = "renewed",
        /// Held by somebody else.
        Held = "held",
        /// Waits.
        Queued = "queued",
        /// Not allowed, not well-formed, or a bound was reached.
        Refused = "refused",
    }
}

/// Every kind of lock, in order of index.
pub const LOCK_TYPES: &[LockType] = &[
    LockType::FloorEdit,
    LockType::ObjectEdit,
    LockType::RouteEdit,
    LockType::GridCalibration,
    LockType::AnalyticsView,
];

impl Label for LockType {
    const KEY: &'static str = "type";
    const ALL: &'static [Self] = LOCK_TYPES;

    fn index(self) -> usize {
        self as usize
    }

    fn name(self) -> &'static str {
        self.as_str()
    }
}

impl EditResult {
    /// The result that an outcome counts as.
    pub fn of(outcome: arxosrt_core::building::event::EditOutcome) -> Self {
        use arxosrt_core::building::event::EditOutcome;
        match outcome {
            EditOutcome::Applied => EditResult::Applied,
            EditOutcome::Merged => EditResult::Merged,
            EditOutcome::Conflict => EditResult::Conflict,
            EditOutcome::Fenced => EditResult::Fenced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<L: Label>() {
        for (at, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), at, "{label:?}");
        }
    }

    #[test]
    fn every_label_sits_at_its_index() {
        check::<Transport>();
        check::<MessageType>();
        check::<DeliveryClass>();
        check::<WrittenBy>();
        check::<ResyncReason>();
        check::<ResumeResult>();
        check::<StatusClass>();
        check::<LockOutcome>();
        check::<LockType>();
    }
}
