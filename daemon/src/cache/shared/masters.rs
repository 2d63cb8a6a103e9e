//! By which keys is each master of a cluster asked whether it is there?
//!
//! A question without a key goes to whatever node is connected, so a dead master is found by a key of a slot that it
//! serves. The key need not exist.

use redis::Value;

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// So many numbers are tried for a key in a slot. Every slot has some of so many.
const NUMBERS_MAX: u32 = 1 << 20;

/// A key for each master that serves anything, according to an answer to `CLUSTER SLOTS`.
pub fn keys(prefix: &str, slots: &Value) -> Option<Vec<String>> {
    let Value::Array(ranges) = slots else { return None };
    let mut masters: Vec<&[Value]> = Vec::new();
    let mut keys = Vec::new();
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { return None };
        // Its address and port; what follows says more of the same.
        let master = master.get(..2)?;
        if !masters.contains(&master) {
            masters.push(master);
            keys.push(key_in(prefix, u16::try_from(*first).ok()?, u16::try_from(*last).ok()?)?);
        }
    }
    (!keys.is_empty()).then_some(keys)
}

/// A key whose slot is in this range.
fn key_in(prefix: &str, first: u16, last: u16) -> Option<String> {
    let number = (0..NUMBERS_MAX).find(|number| (first..=last).contains(&slot(&number.to_string())))?;
    Some(format!("{prefix}:{{{number}}}:p"))
}

/// The slot of what stands in a key's braces: CRC-16/XMODEM, as clusters reckon.
fn slot(text: &str) -> u16 {
    let crc = text.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => crc << 1 ^ 0x1021,
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, port: i64) -> Value {
        let master = vec![Value::BulkString(b"127.0.0.1".to_vec()), Value::Int(port), Value::Nil];
        Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(master)])
    }

    #[test]
    fn slots_are_those_of_clusters() {
        assert_eq!((slot("123456789"), slot("foo"), slot("")), (0x31C3, 12_182, 0));
    }

    #[test]
    fn every_master_is_asked_once_by_a_key_of_its_own() {
        let slots = Value::Array(vec![range(0, 99, 1), range(100, 100, 2), range(101, 16_383, 1)]);
        let keys = keys("arx", &slots).unwrap();
        assert_eq!(keys.len(), 2);
        let slot_of = |key: &str| slot(key.split(['{', '}']).nth(1).unwrap());
        assert!(slot_of(&keys[0]) < 100 && slot_of(&keys[1]) == 100, "{keys:?}");
    }

    #[test]
    fn an_answer_of_the_wrong_shape_names_nobody() {
        for slots in
            [Value::Nil, Value::Array(vec![]), Value::Array(vec![Value::Int(1)]), Value::Array(vec![range(-1, 5, 1)])]
        {
            assert_eq!(keys("arx", &slots), None);
        }
    }
}
