//! How does the control API say no, and with which code does `arxosrt` then end?
//!
//! One table: a stable name, the HTTP status, whether to try again, the exit code, a title. The daemon answers with it,
//! the CLI ends with it, so a script can tell two failures apart without reading prose. Rows are added, never changed.

use serde::{Deserialize, Serialize};
use serde_json::Value;

macro_rules! exits {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $meaning:literal;)+) => {
        /// How a run of `arxosrt` ends. Each number has one meaning for every command.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Exit {
            $(#[doc = $meaning] $variant = $number,)+
        }

        impl Exit {
            /// Every exit code, in order.
            pub const ALL: &'static [Exit] = &[$(Exit::$variant,)+];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Exit::$variant => $name,)+ }
            }

            /// When it is used, for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Exit::$variant => $meaning,)+ }
            }

            /// The number that the process ends with.
            pub fn number(self) -> u8 {
                self as u8
            }
        }
    };
}

exits! {
    Ok = 0, "ok", "done; an empty list is fine too";
    Failed = 1, "failed", "the daemon was reached and the operation failed";
    Usage = 2, "usage", "bad arguments, or a question was needed and nobody could be asked";
    Unreachable = 3, "unreachable", "no socket, nobody listens, or the daemon went away in the middle";
    NotFound = 4, "not_found", "no such room, user, session, lock, conflict, resource, building, job or cache entry";
    Denied = 5, "denied", "the role is too low, or the socket may not be opened";
    Precondition = 6, "precondition", "what was seen has changed meanwhile, or the operation needs --force";
    Timeout = 7, "timeout", "the time of --timeout, --wait or --within ran out; what was asked for may still happen";
    Partial = 8, "partial", "some of several items failed";
    Unhealthy = 9, "unhealthy", "status --check: the daemon is not ready; check: there is something that an operator must see to";
    Incompatible = 10, "incompatible", "the daemon and this program share no version of the control API";
    Interrupted = 130, "interrupted", "interrupted from the keyboard";
    BrokenPipe = 141, "broken_pipe", "whoever read the output went away";
}

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $exit:ident $retry:ident $title:literal;)+) => {
        /// Why the control API refuses. See the module's table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)+];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }

            /// How `arxosrt` ends.
            pub fn exit(self) -> Exit {
                match self { $(Code::$variant => Exit::$exit,)+ }
            }

            /// The same request may succeed a little later.
            pub fn retryable(self) -> bool {
                match self { $(Code::$variant => codes!(@$retry),)+ }
            }

            /// A few words for people.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)+ }
            }
        }
    };
    (@again) => { true };
    (@never) => { false };
}

codes! {
    BadRequest       "bad_request"        400 Usage        never "the request is malformed";
    UnsupportedApi   "unsupported_api"    400 Incompatible never "the daemon does not speak this version of the control API";
    RoleTooLow       "role_too_low"       403 Denied       never "this needs a higher role";
    OriginForbidden  "origin_forbidden"   403 Denied       never "the control socket does not serve browsers";
    RoomNotFound     "room_not_found"     404 NotFound     never "no such room";
    UserNotFound     "user_not_found"     404 NotFound     never "no such user";
    SessionNotFound  "session_not_found"  404 NotFound     never "no such session";
    LockNotFound     "lock_not_found"     404 NotFound     never "no such lock";
    ConflictNotFound "conflict_not_found" 404 NotFound     never "no such conflict";
    ResourceNotFound "resource_not_found" 404 NotFound     never "no such resource";
    BuildingNotFound "building_not_found" 404 NotFound     never "no such building";
    JobNotFound      "job_not_found"      404 NotFound     never "no such job";
    EntryNotFound    "entry_not_found"    404 NotFound     never "the cache has no such entry";
    StrategyNotFound "strategy_not_found" 404 NotFound     never "no such strategy";
    UnknownRoute     "unknown_route"      404 Incompatible never "the daemon has no such operation";
    MethodNotAllowed "method_not_allowed" 405 Incompatible never "the daemon has no such operation";
    Refused          "refused"            409 Failed       never "the hub refused";
    TooManyJobs      "too_many_jobs"      409 Failed       never "so many jobs are not over yet that one more is refused";
    AlreadyResolved  "already_resolved"   409 Precondition never "the conflict is settled already";
    RevisionChanged  "revision_changed"   412 Precondition never "the conflict has changed since it was seen";
    TokenChanged     "token_changed"      412 Precondition never "the lock has another fencing token";
    TooLarge         "too_large"          413 Failed       never "the request is too large";
    TokenRequired    "token_required"     428 Precondition never "the lock's fencing token must be stated";
    Internal         "internal"           500 Failed       never "something is broken in the daemon";
    Busy             "busy"               503 Failed       again "the control socket is busy";
    Draining         "draining"           503 Failed       again "the daemon is draining";
    StoreUnavailable "store_unavailable"  503 Failed       again "the store cannot be read or written";
    HubGone          "hub_gone"           503 Unreachable  again "the hub has stopped";
    Timeout          "timeout"            504 Timeout      again "the hub did not answer in time";
}

impl Code {
    /// The code of this name, if this build knows it.
    pub fn parse(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// The body of every refusal: `application/problem+json` (RFC 9457) with a stable `code`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The name of a [`Code`]; text, because a newer daemon may know more of them.
    pub code: String,
    /// What kind of refusal, the same for every occurrence.
    pub title: String,
    /// This occurrence: lowercase, no full stop, naming the value and the limit.
    pub detail: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The same request may succeed a little later.
    pub retryable: bool,
    /// The request, as in `X-Request-Id` and the daemon's log.
    pub request_id: String,
    /// The HTTP status.
    pub status: u16,
    /// Figures for programs, such as the current token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Problem {
    /// How `arxosrt` ends. A code that this build does not know is judged by its status.
    pub fn exit(&self) -> Exit {
        match Code::parse(&self.code) {
            Some(code) => code.exit(),
            None => match self.status {
                401 | 403 => Exit::Denied,
                404 => Exit::NotFound,
                409 | 412 | 428 => Exit::Precondition,
                504 => Exit::Timeout,
                _ => Exit::Failed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_its_own_name_a_failing_status_and_a_failing_exit() {
        let names: HashSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for &code in Code::ALL {
            assert_eq!(Code::parse(code.name()), Some(code));
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert_ne!(code.exit(), Exit::Ok, "{code:?}");
            assert!(code.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code:?}");
            // Only what the daemon's side may cure by itself is worth another try.
            assert_eq!(code.retryable(), code.status() >= 503, "{code:?}");
        }
    }

    #[test]
    fn every_exit_has_its_own_number_and_name() {
        let numbers: HashSet<u8> = Exit::ALL.iter().map(|exit| exit.number()).collect();
        let names: HashSet<&str> = Exit::ALL.iter().map(|exit| exit.name()).collect();
        assert_eq!(numbers.len(), Exit::ALL.len());
        assert_eq!(names.len(), Exit::ALL.len());
    }

    #[test]
    fn a_code_from_the_future_still_ends_sensibly() {
        let mut problem = Problem {
            code: "from_the_future".into(),
            title: String::new(),
            detail: String::new(),
            hint: None,
            retryable: false,
            request_id: String::new(),
            status: 404,
            details: None,
        };
        assert_eq!(problem.exit(), Exit::NotFound);
        problem.status = 418;
        assert_eq!(problem.exit(), Exit::Failed);
        problem.code = "token_changed".into();
        assert_eq!(problem.exit(), Exit::Precondition);
    }
}
