//! What was asked for, in which order: read from a file in one of the formats that traces come in.
//!
//! Keys become numbers in the order of their first access, so that a policy can keep what it knows of one in an array.

use std::collections::HashMap;
use std::fmt;

use foldhash::fast::RandomState;

/// The most accesses that are read: what follows is left out, and [`Trace::is_cut`] says so.
pub const ACCESSES_MAX: usize = 100_000_000;

/// How a trace is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A key per line.
    Lines,
    /// Keys of 32 bits, big-endian, one after the other.
    Be32,
    /// `START COUNT …` per line: that many numbers from the first on.
    Arc,
    /// `TIME KEY SIZE …` per line.
    Sized,
}

/// A trace.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Which item each access asked for.
    pub accesses: Vec<u32>,
    /// The items.
    pub items: Vec<Item>,
    /// There were more than [`ACCESSES_MAX`] accesses.
    pub is_cut: bool,
}

/// Something that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its key: as a number where it is one.
    pub key: Name,
    /// What it weighed when it was first asked for.
    pub weight: u32,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// A number.
    Number(u64),
    /// Anything else.
    Text(Box<str>),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Number(number) => write!(f, "{number}"),
            Name::Text(text) => f.write_str(text),
        }
    }
}

/// Why a file is not a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTrace {
    /// This line, counted from 1, is not what the format wants, which is said here.
    Line(usize, &'static str),
    /// A file of keys of 32 bits has this many bytes, which is no multiple of 4: the last key is cut off.
    Odd(usize),
    /// There is no access in it.
    Empty,
}

impl fmt::Display for BadTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadTrace::Line(number, wanted) => write!(f, "line {number} is not `{wanted}`"),
            BadTrace::Odd(bytes) => write!(f, "the key at byte {} has {} of 4 bytes", bytes / 4 * 4, bytes % 4),
            BadTrace::Empty => write!(f, "there is no access in it"),
        }
    }
}

impl std::error::Error for BadTrace {}

impl Trace {
    /// Reads a trace.
    pub fn read(bytes: &[u8], format: Format) -> Result<Trace, BadTrace> {
        let mut trace = Collecting::default();
        match format {
            Format::Lines => {
                lines(bytes).filter(|line| !line.is_empty()).for_each(|line| trace.add(name(line), 1));
            }
            Format::Be32 => {
                let (keys, rest) = bytes.as_chunks();
                if !rest.is_empty() {
                    return Err(BadTrace::Odd(bytes.len()));
                }
                keys.iter().for_each(|key| trace.add(Name::Number(u64::from(u32::from_be_bytes(*key))), 1));
            }
            Format::Arc => {
                for (at, line) in lines(bytes).enumerate().filter(|(_, line)| !line.is_empty()) {
                    let (start, count) =
                        range(line).ok_or(BadTrace::Line(at + 1, "START COUNT, with START + COUNT below 2^64"))?;
                    // What would not be read anyhow is not counted through.
                    let count = count.min(ACCESSES_MAX as u64 + 1);
                    (start..start + count).for_each(|number| trace.add(Name::Number(number), 1));
                }
            }
            Format::Sized => {
                for (at, line) in lines(bytes).enumerate().filter(|(_, line)| !line.is_empty()) {
                    let (key, size) = sized(line).ok_or(BadTrace::Line(at + 1, "TIME KEY SIZE"))?;
                    trace.add(key, size);
                }
            }
        }
        let trace = trace.trace;
        if trace.accesses.is_empty() { Err(BadTrace::Empty) } else { Ok(trace) }
    }

    /// A trace of numbers that weigh 1.
    pub fn of_numbers(numbers: impl IntoIterator<Item = u64>) -> Trace {
        let mut trace = Collecting::default();
        numbers.into_iter().for_each(|number| trace.add(Name::Number(number), 1));
        trace.trace
    }

    /// The same with every item weighing 1.
    pub fn unweighted(mut self) -> Trace {
        self.items.iter_mut().for_each(|item| item.weight = 1);
        self
    }

    /// What all items weigh together.
    pub fn total_weight(&self) -> u64 {
        self.items.iter().map(|item| u64::from(item.weight)).sum()
    }

    /// Whether every item weighs 1, so that an entry is a byte.
    pub fn is_unweighted(&self) -> bool {
        self.items.iter().all(|item| item.weight == 1)
    }
}

#[derive(Default)]
struct Collecting {
    trace: Trace,
    known: HashMap<Name, u32, RandomState>,
}

impl Collecting {
    fn add(&mut self, key: Name, weight: u32) {
        if self.trace.accesses.len() == ACCESSES_MAX {
            self.trace.is_cut = true;
            return;
        }
        let items = &mut self.trace.items;
        let item = *self.known.entry(key).or_insert_with_key(|key| {
            items.push(Item { key: key.clone(), weight: weight.max(1) });
            (items.len() - 1) as u32
        });
        self.trace.accesses.push(item);
    }
}

/// Lines without their ends, as text; bytes that are no text are replaced.
fn lines(bytes: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    bytes.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line.trim_ascii()))
}

fn name(text: impl AsRef<str>) -> Name {
    let text = text.as_ref();
    match text.parse() {
        // `007` and `+7` are keys of their own.
        Ok(number) if text == "0" || !text.starts_with(['0', '+']) => Name::Number(number),
        _ => Name::Text(text.into()),
    }
}

fn range(line: impl AsRef<str>) -> Option<(u64, u64)> {
    let mut columns = line.as_ref().split_whitespace().map(str::parse::<u64>);
    let (start, count) = (columns.next()?.ok()?, columns.next()?.ok()?);
    start.checked_add(count)?;
    Some((start, count))
}

fn sized(line: impl AsRef<str>) -> Option<(Name, u32)> {
    let mut columns = line.as_ref().split_whitespace();
    let (_time, key, size) = (columns.next()?, columns.next()?, columns.next()?);
    Some((name(key), u32::try_from(size.parse::<u64>().ok()?).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(trace: &Trace) -> Vec<String> {
        trace.accesses.iter().map(|item| trace.items[*item as usize].key.to_string()).collect()
    }

    #[test]
    fn each_format_is_read() {
        let lines = Trace::read(b"floor:1\r\n7\n\nfloor:1\n007\n", Format::Lines).unwrap();
        assert_eq!(keys(&lines), ["floor:1", "7", "floor:1", "007"]);
        assert_eq!(lines.items.len(), 3);
        let words = Trace::read(&[0, 0, 1, 0, 0, 0, 0, 9, 0, 0, 1, 0], Format::Be32).unwrap();
        assert_eq!(keys(&words), ["256", "9", "256"]);
        let arc = Trace::read(b"10 3 0 1\n11 1 0 2\n", Format::Arc).unwrap();
        assert_eq!(keys(&arc), ["10", "11", "12", "11"]);
        let sized = Trace::read(b"0.5 /a 300\n0.7\t/b\t0\n0.8 /a 301", Format::Sized).unwrap();
        assert_eq!(keys(&sized), ["/a", "/b", "/a"]);
        assert_eq!(sized.items.iter().map(|item| item.weight).collect::<Vec<_>>(), [300, 1]);
    }

    #[test]
    fn what_is_no_trace_is_named_with_its_place() {
        let refused = |bytes: &[u8], format| Trace::read(bytes, format).unwrap_err();
        assert_eq!(refused(b"", Format::Lines), BadTrace::Empty);
        assert_eq!(refused(b"abcde", Format::Be32), BadTrace::Odd(5));
        assert!(matches!(refused(b"1 2\nx 2\n", Format::Arc), BadTrace::Line(2, _)));
        assert!(matches!(refused(b"18446744073709551615 2\n", Format::Arc), BadTrace::Line(1, _)));
        assert_eq!(refused(b"1 a\n", Format::Sized).to_string(), "line 1 is not `TIME KEY SIZE`");
    }
}
