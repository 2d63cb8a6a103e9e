//! How is a trace read from a file that somebody has?
//!
//! Three shapes: a **session** per line, its items in order; **columns** of session, item and time; and the **web logs**
//! that servers write (common or combined). A line that is not of the shape is counted and left out, and a file of which
//! nothing is left is refused. No more than [`ACCESSES_MAX`] accesses are read.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

use arxosrt_core::preload::Item;
use arxosrt_core::preload::engine::SESSION_GAP_MS;
use foldhash::fast::FixedState;

use super::trace::{Access, BYTES_ASSUMED, Trace};

/// What follows is not read.
pub const ACCESSES_MAX: usize = 20_000_000;

/// The longest line that is looked at, in bytes; of longer ones nothing is.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Between two steps of a session that has no times.
const STEP_MS: u64 = 10_000;

/// The shape of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A session per line: items between spaces, tabs, commas or semicolons. Negative numbers only separate.
    Sessions,
    /// `session item time [bytes]`, between spaces, tabs, commas or semicolons; a first line may name the columns.
    Columns,
    /// Common or combined log format. A host that was quiet for half an hour begins a new session.
    WebLog,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The trace.
    pub trace: Trace,
    /// Lines of the file.
    pub lines: u64,
    /// Of them left out.
    pub skipped: u64,
    /// The first that was left out.
    pub first_skipped: Option<Line>,
}

/// A line that has not the shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which one, from 1.
    pub number: u64,
    /// How it begins.
    pub text: String,
}

/// So many characters of a line are shown.
const SHOWN_CHARS: usize = 60;

impl Line {
    fn new(number: u64, text: &[u8]) -> Self {
        let shown = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_CHARS)]);
        Line { number, text: shown.chars().take(SHOWN_CHARS).collect() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {:?}", self.number, self.text)
    }
}

/// Why a file is no trace.
#[derive(Debug)]
pub enum Unreadable {
    /// It cannot be read.
    Io(io::Error),
    /// None of so many lines has the shape, as the first that is not empty shows.
    Nothing(u64, Option<Line>),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Io(error) => error.fmt(f),
            Unreadable::Nothing(_, None) => f.write_str("it is empty"),
            Unreadable::Nothing(lines, Some(first)) => {
                write!(f, "none of its {lines} lines has this format, beginning with {first}")
            }
        }
    }
}

impl std::error::Error for Unreadable {}

#[derive(Default)]
struct Reader {
    items: HashMap<Box<[u8]>, Item, FixedState>,
    sizes: Vec<u32>,
    sessions: HashMap<Box<[u8]>, (u64, u64), FixedState>,
    next_session: u64,
    accesses: Vec<Access>,
    columns: Option<Columns>,
}

#[derive(Clone, Copy)]
struct Columns {
    session: usize,
    item: usize,
    time: usize,
    bytes: Option<usize>,
}

/// A line of a web log: the host, when, the path, the bytes that were sent.
type Asked<'a> = (&'a [u8], u64, &'a [u8], Option<u32>);

/// Reads a trace.
pub fn read(mut from: impl BufRead, shape: Shape) -> Result<Reading, Unreadable> {
    let mut reader = Reader::default();
    let (mut lines, mut skipped, mut first_skipped) = (0, 0, None);
    let mut line = Vec::new();
    while reader.accesses.len() < ACCESSES_MAX {
        line.clear();
        if from.read_until(b'\n', &mut line).map_err(Unreadable::Io)? == 0 {
            break;
        }
        lines += 1;
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let is_taken = text.len() <= LINE_BYTES_MAX
            && match shape {
                Shape::Sessions => reader.session(text),
                Shape::Columns => reader.columns(text),
                Shape::WebLog => reader.web_log(text),
            };
        if !is_taken {
            skipped += 1;
            first_skipped.get_or_insert_with(|| Line::new(lines, text));
        }
    }
    if reader.accesses.is_empty() {
        return Err(Unreadable::Nothing(lines, first_skipped));
    }
    Ok(Reading { trace: Trace::new(reader.accesses, reader.sizes, Vec::new()), lines, skipped, first_skipped })
}

impl Reader {
    fn session(&mut self, line: &[u8]) -> bool {
        let session = self.next_session;
        let before = self.accesses.len();
        for (step, name) in fields(line).filter(|field| field[0] != b'-').enumerate() {
            let item = self.item(name, None);
            let at_ms = (session + step as u64) * STEP_MS;
            self.accesses.push(Access { at_ms, session, user: None, item });
        }
        self.next_session += 1;
        self.accesses.len() > before
    }

    fn columns(&mut self, line: &[u8]) -> bool {
        let fields: Vec<&[u8]> = fields(line).collect();
        let columns = match self.columns {
            Some(columns) => columns,
            None => {
                let named = Columns::named(&fields);
                let columns = named.unwrap_or(Columns { session: 0, item: 1, time: 2, bytes: Some(3) });
                self.columns = Some(columns);
                if named.is_some() {
                    return true;
                }
                columns
            }
        };
        let field = |at: usize| fields.get(at).copied();
        let (Some(session), Some(item), Some(at_ms)) =
            (field(columns.session), field(columns.item), field(columns.time).and_then(time))
        else {
            return false;
        };
        let bytes = columns.bytes.and_then(field).and_then(number).map(|bytes| bytes as u32);
        let item = self.item(item, bytes);
        let session = self.session_of(session, at_ms, u64::MAX);
        self.accesses.push(Access { at_ms, session, user: None, item });
        true
    }

    /// `host ident user [time] "GET path protocol" status bytes …`
    fn web_log(&mut self, line: &[u8]) -> bool {
        let taken = || -> Option<Asked<'_>> {
            let host = line.split(|byte| *byte == b' ').next().filter(|host| !host.is_empty())?;
            let at = between(line, b'[', b']').and_then(log_time)?;
            let request = between(line, b'"', b'"')?;
            let mut words = request.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            let path = words.next().filter(|method| *method == b"GET").and_then(|_| words.next())?;
            let end = line.windows(2).position(|pair| pair == b"\" ")?;
            let mut after = fields(&line[end + 2..]);
            let status = after.next().and_then(number)?;
            let bytes = after.next().and_then(number).filter(|bytes| *bytes > 0.0).map(|bytes| bytes as u32);
            // What is not there and what was sent elsewhere is not cached. What had not changed was asked for all the same.
            matches!(status as u32, 200 | 206 | 304).then_some((host, at, path, bytes))
        };
        let Some((host, at_ms, path, bytes)) = taken() else { return false };
        let item = self.item(path, bytes);
        let user = Some(hash(host));
        let session = self.session_of(host, at_ms, SESSION_GAP_MS);
        self.accesses.push(Access { at_ms, session, user, item });
        true
    }

    fn item(&mut self, name: &[u8], bytes: Option<u32>) -> Item {
        let item = match self.items.get(name) {
            Some(item) => *item,
            None => {
                let item = self.sizes.len() as Item;
                self.items.insert(name.into(), item);
                self.sizes.push(0);
                item
            }
        };
        let size = &mut self.sizes[item as usize];
        // A part of a thing is smaller than the thing.
        *size = (*size).max(bytes.unwrap_or(if *size == 0 { BYTES_ASSUMED } else { 0 }));
        item
    }

    fn session_of(&mut self, name: &[u8], at_ms: u64, gap_ms: u64) -> u64 {
        let next = self.next_session;
        let (session, last) = self.sessions.entry(name.into()).or_insert((next, at_ms));
        if at_ms.saturating_sub(*last) > gap_ms {
            *session = next;
        }
        *last = at_ms;
        self.next_session += u64::from(*session == next);
        *session
    }
}

impl Columns {
    /// Of a first line that names them.
    fn named(fields: &[&[u8]]) -> Option<Columns> {
        let find =
            |part: &str| fields.iter().position(|field| String::from_utf8_lossy(field).to_lowercase().contains(part));
        Some(Columns { session: find("session")?, item: find("item")?, time: find("time")?, bytes: find("bytes") })
    }
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t' | b',' | b';')).filter(|field| !field.is_empty())
}

fn number(field: &[u8]) -> Option<f64> {
    let number: f64 = std::str::from_utf8(field).ok()?.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

fn between(line: &[u8], open: u8, close: u8) -> Option<&[u8]> {
    let begin = line.iter().position(|byte| *byte == open)? + 1;
    let len = line[begin..].iter().position(|byte| *byte == close)?;
    Some(&line[begin..begin + len])
}

/// Seconds, milliseconds where they are too many to be seconds, or `2014-04-07T10:51:09.277Z`.
fn time(field: &[u8]) -> Option<u64> {
    if let Some(number) = number(field) {
        return Some(if number > 1e11 { number as u64 } else { (number * 1000.0) as u64 });
    }
    let text = std::str::from_utf8(field).ok()?;
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let days = days(part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let ms = part(20, 23).unwrap_or(0);
    Some((((days * 24 + part(11, 13)?) * 60 + part(14, 16)?) * 60 + part(17, 19)?) * 1000 + ms)
}

/// `01/Jul/1995:00:00:01 -0400`; the zone is the same throughout a log.
fn log_time(field: &[u8]) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = std::str::from_utf8(field).ok()?;
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let month = MONTHS.iter().position(|month| text.get(3..6) == Some(month))? as u64 + 1;
    let days = days(part(7, 11)?, month, part(0, 2)?);
    Some((((days * 24 + part(12, 14)?) * 60 + part(15, 17)?) * 60 + part(18, 20)?) * 1000)
}

/// Days from any fixed one (Hinnant's `days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year.saturating_sub(1) } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day;
    year * 365 + year / 4 - year / 100 + year / 400 + in_year
}

fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a.
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str, shape: Shape) -> Vec<(u64, u64, Item)> {
        let reading = read(text.as_bytes(), shape).unwrap();
        reading.trace.accesses.iter().map(|access| (access.session, access.at_ms, access.item)).collect()
    }

    #[test]
    fn a_session_per_line_in_the_ways_people_write_them() {
        let steps = steps("a b a\n\nb,c\n1 -1 2 -1 -2\n", Shape::Sessions);
        let of = |session| -> Vec<Item> {
            steps.iter().filter(|(of, ..)| *of == session).map(|(_, _, item)| *item).collect()
        };
        assert_eq!((of(0), of(1), of(2)), (vec![0, 1, 0], vec![1, 2], vec![3, 4]));
    }

    #[test]
    fn columns_with_and_without_names_and_in_seconds_or_dates() {
        assert_eq!(
            steps("s1 x 10\ns2 y 10.5\ns1 y 12\nbad line\n", Shape::Columns),
            [(0, 10_000, 0), (1, 10_500, 1), (0, 12_000, 1)]
        );
        let named = "SessionId,Time,ItemId\n1,2014-04-07T10:51:09.277Z,5\n1,2014-04-07T10:52:09.277Z,6\n";
        let steps = steps(named, Shape::Columns);
        assert_eq!(steps[1].1 - steps[0].1, 60_000);
    }

    #[test]
    fn a_web_log_becomes_sessions_of_hosts() {
        let log = "h1 - - [01/Jul/1995:00:00:01 -0400] \"GET /a HTTP/1.0\" 200 100\n\
                   h2 - - [01/Jul/1995:00:00:02 -0400] \"GET /a HTTP/1.0\" 304 0\n\
                   h1 - - [01/Jul/1995:00:00:03 -0400] \"GET /b\" 200 70 \"-\" \"agent [x]\"\n\
                   h1 - - [01/Jul/1995:00:00:03 -0400] \"POST /b HTTP/1.0\" 200 70\n\
                   h1 - - [01/Jul/1995:00:00:03 -0400] \"GET /c HTTP/1.0\" 404 -\n\
                   nonsense\n\
                   h1 - - [01/Jul/1995:00:30:04 -0400] \"GET /a HTTP/1.0\" 200 100\n";
        let reading = read(log.as_bytes(), Shape::WebLog).unwrap();
        let sessions: Vec<_> = reading.trace.accesses.iter().map(|access| access.session).collect();
        assert_eq!((sessions, reading.skipped, reading.lines), (vec![0, 1, 0, 2], 3, 7));
        assert_eq!((reading.trace.bytes(0), reading.trace.bytes(1)), (100, 70));
        assert!(matches!(read("x\n".as_bytes(), Shape::WebLog), Err(Unreadable::Nothing(1, Some(_)))));
        let first =
            Line { number: 4, text: "h1 - - [01/Jul/1995:00:00:03 -0400] \"POST /b HTTP/1.0\" 200 7".to_owned() };
        assert_eq!(reading.first_skipped, Some(first), "and no more of it than fits a line");
    }
}
