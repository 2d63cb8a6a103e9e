//! Editing locks: multi-granularity locks (Gray) with leases, fencing tokens, a fair queue and editing requests.

pub(crate) mod ascending;
pub(crate) mod closure;
pub mod guard;
pub(crate) mod lease;
pub(crate) mod outlook;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod small_set;
pub(crate) mod table;
pub(crate) mod timer;
pub(crate) mod waits_for;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a lock is for; it decides the modes taken on the tree building > floor > item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockType {
    /// Floor exclusive.
    FloorEdit,
    /// Object exclusive.
    ObjectEdit,
    /// Route exclusive; an intention on every floor that it spans.
    RouteEdit,
    /// Floor exclusive; the token may only write the grid.
    GridCalibration,
    /// A view: never blocks and is never refused.
    AnalyticsView,
}

/// The largest token: integers up to here survive JavaScript.
pub const TOKEN_MAX: u64 = (1 << 53) - 1;

/// A fencing token: strictly increasing over all grants ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

/// Where tokens come from: one source for all buildings of a store.
#[derive(Debug)]
pub struct TokenSource(AtomicU64);

impl TokenSource {
    /// A source whose first token is larger than `last`.
    pub fn after(last: Token) -> Self {
        TokenSource(AtomicU64::new(last.0))
    }

    /// The next token.
    pub fn mint(&self) -> Token {
        Token(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The last one that was given out.
    pub fn last(&self) -> Token {
        Token(self.0.load(Ordering::Relaxed))
    }
}

/// A lock's name: `lk_` and its token in lower-case base 36. Opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockId(pub Token);

/// A place in the queue: `w_` and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// An editing request: `rq_` and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// The number behind `prefix` in base 36, written canonically.
pub(crate) fn parse_base36(text: &str, prefix: &str) -> Option<u64> {
    let digits = text.strip_prefix(prefix)?;
    if digits.is_empty() || digits.len() > 12 || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    digits.bytes().try_fold(0u64, |n, b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'z' => b - b'a' + 10,
            _ => return None,
        };
        n.checked_mul(36)?.checked_add(u64::from(digit))
    })
}

pub(crate) fn write_base36(f: &mut fmt::Formatter<'_>, prefix: &str, mut n: u64) -> fmt::Result {
    let mut digits = [0u8; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(n % 36) as usize];
        n /= 36;
        if n == 0 {
            break;
        }
    }
    f.write_str(prefix)?;
    f.write_str(std::str::from_utf8(&digits[at..]).expect("base 36 digits are ASCII"))
}

macro_rules! handles {
    ($($name:ident $prefix:literal $make:expr, $number:expr;)+) => {$(
        impl $name {
            /// The handle that `text` names, if it could ever have been given out.
            pub fn parse(text: &str) -> Option<Self> {
                let make: fn(u64) -> $name = $make;
                parse_base36(text, $prefix).map(make)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let number: fn(&$name) -> u64 = $number;
                write_base36(f, $prefix, number(self))
            }
        }
    )+};
}

handles! {
    LockId "lk_" |n| LockId(Token(n)), |id| id.0.0;
    Ticket "w_" Ticket, |id| id.0;
    RequestId "rq_" RequestId, |id| id.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_survive_the_wire() {
        for n in [0, 1, 35, 36, 1_000_000, TOKEN_MAX] {
            let id = LockId(Token(n));
            assert_eq!(LockId::parse(&id.to_string()), Some(id), "{id}");
        }
        for bad in ["", "lk_", "lk_01", "lk_A", "w_1", "lk_zzzzzzzzzzzzz", "lk_-1"] {
            assert_eq!(LockId::parse(bad), None, "{bad}");
        }
    }
}
