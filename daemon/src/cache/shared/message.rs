//! What do nodes say to each other?
//!
//! That they are there, and what has become invalid. Every message has its node's random name and a number (see
//! `peers`). Reading is total: a message that this version does not understand whole is [`None`], and the numbers then
//! show a gap.

use arxosrt_core::cache::{EntryId, Strategies, Tag};

use super::change::Change;
use super::peers::Place;
use super::reader::{Reader, push_text};

/// What every message begins with; the last byte is the version.
const MAGIC: [u8; 4] = *b"AXB\x01";

/// How many changes go into one message.
pub const CHANGES_MAX: usize = 256;

/// A longer message is not read.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The longest home in a message.
const HOME_BYTES_MAX: usize = 1024;

/// A change as it is told: what is made invalid by an epoch names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What is invalid.
    pub change: Change,
    /// The new epoch of the strategy or of everything; 0 for the others.
    pub epoch: u64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub node: u64,
    /// The place in what it says.
    pub place: Place,
    /// What is invalid; strategies that are not known here are left out.
    pub changes: Vec<Told>,
}

impl Message {
    /// The message as bytes. At most [`CHANGES_MAX`] changes.
    pub fn encode(&self, strategies: &Strategies) -> Vec<u8> {
        debug_assert!(self.changes.len() <= CHANGES_MAX);
        let mut out = Vec::with_capacity(32 + self.changes.len() * 64);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.node.to_le_bytes());
        let (kind, number) = match self.place {
            Place::Number(number) => (0, number),
            Place::After(number) => (1, number),
            Place::Last(number) => (2, number),
        };
        out.push(kind);
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&(self.changes.len() as u16).to_le_bytes());
        for told in &self.changes {
            match &told.change {
                Change::Key { home, strategy, id } => {
                    out.push(0);
                    push_text(&mut out, home);
                    push_text(&mut out, &strategies.get(*strategy).name);
                    push_text(&mut out, id.as_str());
                }
                Change::Tag { home, tag } => {
                    out.push(1);
                    push_text(&mut out, home);
                    push_text(&mut out, tag.as_str());
                }
                Change::Strategy(strategy) => {
                    out.push(2);
                    push_text(&mut out, &strategies.get(*strategy).name);
                    out.extend_from_slice(&told.epoch.to_le_bytes());
                }
                Change::All => {
                    out.push(3);
                    out.extend_from_slice(&told.epoch.to_le_bytes());
                }
            }
        }
        out
    }

    /// The message in these bytes.
    pub fn decode(bytes: &[u8], strategies: &Strategies) -> Option<Message> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return None;
        }
        let mut reader = Reader(bytes);
        if reader.take(4)? != MAGIC {
            return None;
        }
        let node = reader.u64()?;
        let kind = reader.u8()?;
        let number = reader.u64()?;
        let place = match kind {
            0 => Place::Number(number),
            1 => Place::After(number),
            2 => Place::Last(number),
            _ => return None,
        };
        let count = usize::from(reader.u16()?);
        if count > CHANGES_MAX {
            return None;
        }
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            changes.extend(decode_change(&mut reader, strategies)?);
        }
        reader.0.is_empty().then_some(Message { node, place, changes })
    }
}

/// The next change; `Some(None)` when it is of a strategy that this node does not have.
fn decode_change(reader: &mut Reader<'_>, strategies: &Strategies) -> Option<Option<Told>> {
    let home = |reader: &mut Reader<'_>| {
        let text = reader.text()?;
        (text.len() <= HOME_BYTES_MAX && !text.chars().any(char::is_control)).then(|| text.into())
    };
    let (change, epoch) = match reader.u8()? {
        0 => {
            let home = home(reader)?;
            let strategy = strategies.find(reader.text()?);
            let id = EntryId::new(reader.text()?).ok()?;
            (strategy.map(|strategy| Change::Key { home, strategy, id }), 0)
        }
        1 => (Some(Change::Tag { home: home(reader)?, tag: Tag::named(reader.text()?).ok()? }), 0),
        2 => {
            let strategy = strategies.find(reader.text()?);
            (strategy.map(Change::Strategy), reader.u64()?)
        }
        3 => (Some(Change::All), reader.u64()?),
        _ => return None,
    };
    Some(change.map(|change| Told { change, epoch }))
}

#[cfg(test)]
mod tests {
    use arxosrt_core::cache::StrategyId;

    use super::super::random::Random;
    use super::*;

    fn strategies() -> Strategies {
        Strategies::new(Strategies::known()).unwrap()
    }

    fn one_of_each() -> Message {
        let told = |change, epoch| Told { change, epoch };
        let changes = vec![
            told(Change::Key { home: "b".into(), strategy: StrategyId(0), id: EntryId::new("floor:1").unwrap() }, 0),
            told(Change::Tag { home: "bü".into(), tag: Tag::named("floor:10").unwrap() }, 0),
            told(Change::Strategy(StrategyId(3)), 17),
            told(Change::All, u64::MAX),
        ];
        Message { node: 7, place: Place::Number(3), changes }
    }

    #[test]
    fn what_is_said_is_heard() {
        for place in [Place::Number(1), Place::After(u64::MAX), Place::Last(0)] {
            let message = Message { place, ..one_of_each() };
            assert_eq!(Message::decode(&message.encode(&strategies()), &strategies()), Some(message));
        }
    }

    #[test]
    fn a_strategy_that_is_not_known_here_is_left_out() {
        let fewer = Strategies::new(Strategies::known().into_iter().skip(1).collect()).unwrap();
        let heard = Message::decode(&one_of_each().encode(&strategies()), &fewer).unwrap();
        assert_eq!(heard.changes.len(), 3);
        assert_eq!(heard.changes[1].change, Change::Strategy(StrategyId(2)));
    }

    #[test]
    fn no_bytes_do_more_than_say_nothing() {
        let whole = one_of_each().encode(&strategies());
        for len in 0..whole.len() {
            assert_eq!(Message::decode(&whole[..len], &strategies()), None, "{len} bytes");
        }
        let seed = Random::seed();
        println!("seed {seed}");
        let mut random = Random(seed);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            random.damage(&mut bytes);
            if let Some(message) = Message::decode(&bytes, &strategies()) {
                assert!(message.changes.len() <= CHANGES_MAX);
            }
        }
    }
}
