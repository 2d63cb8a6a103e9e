//! What is said to Redis, and how are its answers read?
//!
//! Reading a value and its generations is one `MGET`. Everything that decides is a script, so that nothing comes between
//! the question and the deed. Scripts are sent whole: a server that was restarted, or has failed over, knows none, and a
//! few hundred bytes cost less than a second round trip at the worst moment.

use redis::{Cmd, Value};
use smallvec::SmallVec;

use super::stored::{HEAD_BYTES, Head, MAGIC};

const CAPTURE: &str = include_str!("scripts/capture.lua");
const PUT: &str = include_str!("scripts/put.lua");
const INVALIDATE: &str = include_str!("scripts/invalidate.lua");
const EPOCHS: &str = include_str!("scripts/epochs.lua");

/// The longest life of a value.
pub const VALUE_MS_MAX: u64 = 7 * 86_400_000;

/// The life of a generation that nobody asks for: longer than that of any value made in it.
const GENERATION_MS: u64 = VALUE_MS_MAX + 86_400_000;

/// For how long a load may go on; what it brings later is not installed.
const LEASE_MS: u64 = 60_000;

/// The keys of a value: its own, and those of its tags' generations.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The value's.
    pub value: String,
    /// The generations', in the order of the tags.
    pub generations: SmallVec<[String; 4]>,
}

/// A value as it is stored, and the generations that hold now.
#[derive(Debug)]
pub struct ReadReply {
    /// What is stored, value or head or rubbish.
    pub stored: Option<Vec<u8>>,
    /// The generations, unless one is missing.
    pub generations: Option<SmallVec<[u64; 4]>>,
}

/// Asks for a value and its generations.
pub fn read(keys: &Keys) -> Cmd {
    let mut cmd = redis::cmd("MGET");
    cmd.arg(&keys.value);
    for key in &keys.generations {
        cmd.arg(key);
    }
    cmd
}

/// The answer to [`read`]. What has the wrong shape is nothing.
pub fn read_reply(reply: Value) -> ReadReply {
    let Value::Array(items) = reply else { return ReadReply { stored: None, generations: None } };
    let mut items = items.into_iter();
    let stored = match items.next() {
        Some(Value::BulkString(bytes)) => Some(bytes),
        _ => None,
    };
    ReadReply { stored, generations: items.map(|item| number(&item)).collect() }
}

/// Asks for what must still be so when a load is done. `bad` is the head of a value that is to be replaced.
pub fn capture(keys: &Keys, bad: Option<&Head>) -> Cmd {
    let mut cmd = script(CAPTURE, 1 + keys.generations.len());
    cmd.arg(&keys.value);
    for key in &keys.generations {
        cmd.arg(key);
    }
    cmd.arg(&MAGIC).arg(LEASE_MS).arg(GENERATION_MS).arg(bad.map_or(&[][..], |head| &head[..]));
    cmd
}

/// The answer to [`capture`].
pub fn capture_reply(reply: Value) -> Option<(Head, SmallVec<[u64; 4]>)> {
    let Value::Array(items) = reply else { return None };
    let mut items = items.into_iter();
    let Some(Value::BulkString(head)) = items.next() else { return None };
    let head: [u8; HEAD_BYTES] = head.try_into().ok()?;
    Some((head, items.map(|item| number(&item)).collect::<Option<_>>()?))
}

/// Asks to install a value for `life_ms`. The answer is 1, or 0 if something has changed.
pub fn put(keys: &Keys, head: &Head, generations: &[u64], stored: &[u8], life_ms: u64) -> Cmd {
    let mut cmd = script(PUT, 1 + keys.generations.len());
    cmd.arg(&keys.value);
    for key in &keys.generations {
        cmd.arg(key);
    }
    cmd.arg(&head[..]).arg(stored).arg(life_ms.clamp(1, VALUE_MS_MAX)).arg(GENERATION_MS);
    for generation in generations {
        cmd.arg(*generation);
    }
    cmd
}

/// Asks to make values and generations invalid, all in one slot.
pub fn invalidate(values: &[String], generations: &[String]) -> Cmd {
    let mut cmd = script(INVALIDATE, values.len() + generations.len());
    for key in values.iter().chain(generations) {
        cmd.arg(key);
    }
    cmd.arg(values.len()).arg(&MAGIC).arg(LEASE_MS).arg(GENERATION_MS);
    cmd
}

/// Asks to agree on epochs: for each its field, what is known, and whether it is to rise.
pub fn epochs<'a>(key: &str, fields: impl Iterator<Item = (&'a str, u64, bool)>) -> Cmd {
    let mut cmd = script(EPOCHS, 1);
    cmd.arg(key);
    for (field, known, rises) in fields {
        cmd.arg(field).arg(known).arg(u8::from(rises));
    }
    cmd
}

/// The answer to [`epochs`].
pub fn epochs_reply(reply: Value) -> Option<Vec<u64>> {
    let Value::Array(items) = reply else { return None };
    items.iter().map(number).collect()
}

fn script(text: &str, keys: usize) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(text).arg(keys);
    cmd
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_wrong_shape_is_nothing() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        for reply in [Value::Nil, Value::Okay, Value::Int(1), Value::Array(vec![])] {
            assert!(read_reply(reply.clone()).stored.is_none());
            assert!(capture_reply(reply).is_none());
        }
        assert!(read_reply(Value::Array(vec![Value::Nil, Value::Nil])).generations.is_none());
        for generation in ["", "x", "-1", "1.5", "99999999999999999999"] {
            assert!(read_reply(Value::Array(vec![Value::Nil, text(generation)])).generations.is_none());
        }
        let found = read_reply(Value::Array(vec![text("v"), text("7")]));
        assert_eq!((found.stored.as_deref(), found.generations.as_deref()), (Some(&b"v"[..]), Some(&[7][..])));
        assert!(capture_reply(Value::Array(vec![text("short"), text("7")])).is_none());
    }
}
