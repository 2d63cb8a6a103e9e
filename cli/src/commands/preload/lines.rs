//! What does a line of a batch ask for? An id of a floor, or an object that says what its id is of. Whatever spreadsheets
//! and editors leave in such files is put up with: empty lines, comments, carriage returns, a byte order mark. A line
//! that cannot be read is its own failure and nobody else's.

use std::io::{self, BufRead};

use arxosrt_core::cache::EntryId;
use arxosrt_core::control::preload::PreloadItem;
use arxosrt_core::id::{BuildingId, RoomId};

/// Lines of one batch that ask for something: the items that one job may have.
pub(super) const ITEMS_MAX: usize = 100_000;

/// The longest line.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line that asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    /// Counted from 1, as editors do.
    pub line: u64,
    /// What it says, to be written out again if it fails.
    pub text: String,
    /// What it means, or why it means nothing.
    pub item: Result<PreloadItem, String>,
}

/// Why a batch cannot be taken at all.
#[derive(Debug)]
pub(super) enum BadBatch {
    /// It cannot be read.
    Unreadable(io::Error),
    /// It asks for more than [`ITEMS_MAX`] things.
    TooLong,
}

/// Everything that is asked for.
pub(super) fn read(mut from: impl BufRead) -> Result<Vec<Wish>, BadBatch> {
    let mut wishes = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let is_whole = read_line(&mut from, &mut bytes).map_err(BadBatch::Unreadable)?;
        let Some(is_whole) = is_whole else { break };
        let text = String::from_utf8_lossy(&bytes);
        let text = if line == 1 { text.trim_start_matches('\u{feff}') } else { &text }.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if wishes.len() == ITEMS_MAX {
            return Err(BadBatch::TooLong);
        }
        let item = match (is_whole, std::str::from_utf8(&bytes)) {
            (false, _) => Err(format!("a line has at most {LINE_BYTES_MAX} bytes")),
            (_, Err(_)) => Err("this is not UTF-8".to_owned()),
            _ => parse(text),
        };
        // What is cut off or no text could not be fed again anyway.
        wishes.push(Wish { line, text: text.chars().take(LINE_BYTES_MAX).collect(), item });
    }
    Ok(wishes)
}

/// Reads up to a line feed. Says whether the line fitted, or `None` at the end.
fn read_line(from: &mut impl BufRead, into: &mut Vec<u8>) -> io::Result<Option<bool>> {
    let mut is_whole = true;
    let mut is_there = false;
    loop {
        let part = match from.fill_buf() {
            Ok(part) => part,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if part.is_empty() {
            return Ok(is_there.then_some(is_whole));
        }
        is_there = true;
        let end = part.iter().position(|&byte| byte == b'\n');
        let taken = &part[..end.unwrap_or(part.len())];
        let room = LINE_BYTES_MAX - into.len();
        into.extend_from_slice(&taken[..taken.len().min(room)]);
        is_whole &= taken.len() <= room;
        let used = taken.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(is_whole));
        }
    }
}

/// The floor that an entry of the cache belongs to, if the id is one of these and no floor's: `arxosrt cache list` shows
/// `floor:hq:level-1`, and asking for that as for a floor would load next to nothing.
pub(super) fn entry_of_floor(id: &str) -> Option<&str> {
    id.strip_prefix("floor:").filter(|floor| !floor.is_empty())
}

fn parse(text: &str) -> Result<PreloadItem, String> {
    let item = match text.starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| format!("this is no item: {error}"))?,
        false => {
            let meant = entry_of_floor(text);
            meant.map_or(Ok(()), |floor| {
                Err(format!("this is the id of an entry of the cache; the floor is {floor}"))
            })?;
            PreloadItem::floor(text)
        }
    };
    let PreloadItem { floor, building, strategy, id } = &item;
    let checked = match (floor, building, strategy, id) {
        (Some(floor), None, None, None) => RoomId::new(floor).map(drop).map_err(|error| error.to_string()),
        (None, Some(building), None, None) => BuildingId::new(building).map(drop).map_err(|error| error.to_string()),
        (None, None, Some(_), Some(id)) => EntryId::new(id).map(drop).map_err(|error| error.to_string()),
        _ => Err("an item has either floor, or building, or strategy and id".to_owned()),
    };
    checked.map(|()| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(text: &[u8]) -> Vec<Wish> {
        read(text).unwrap()
    }

    #[test]
    fn a_line_is_a_floor_or_says_what_it_is() {
        let text = "\u{feff}floor_1\r\n\n# tomorrow\n  hq:level-1  \n{\"building\":\"hq\"}\n\
                    {\"strategy\":\"object_data\",\"id\":\"floor:1\"}\n{\"floor\":\"2\"}";
        let found = wishes(text.as_bytes());
        let lines: Vec<u64> = found.iter().map(|wish| wish.line).collect();
        assert_eq!(lines, [1, 4, 5, 6, 7]);
        let items: Vec<PreloadItem> = found.into_iter().map(|wish| wish.item.unwrap()).collect();
        let entry =
            PreloadItem { strategy: Some("object_data".into()), id: Some("floor:1".into()), ..PreloadItem::default() };
        let floor = PreloadItem::floor;
        assert_eq!(items, [floor("floor_1"), floor("hq:level-1"), PreloadItem::building("hq"), entry, floor("2")]);
    }

    #[test]
    fn a_bad_line_fails_alone() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        for bad in [
            "{\"floor\":\"1\",\"building\":\"2\"}",
            "{\"strategy\":\"a\"}",
            "{}",
            "{\"flor\":\"1\"}",
            "{\"floor\":1}",
            "{",
            "a\u{1b}b",
            "floor:hq:level-1",
            &long,
        ] {
            let found = wishes(format!("one\n{bad}\ntwo").as_bytes());
            assert_eq!(found.len(), 3, "{bad:.40}");
            assert!(found[1].line == 2 && found[1].item.is_err(), "{bad:.40}");
            assert!(found[0].item.is_ok() && found[2].item.is_ok() && found[2].line == 3, "{bad:.40}");
        }
        assert!(wishes(b"a\n\xff\xfe\nb")[1].item.is_err());
    }

    #[test]
    fn a_batch_that_is_too_long_is_refused_whole() {
        assert_eq!(wishes("f\n".repeat(ITEMS_MAX).as_bytes()).len(), ITEMS_MAX);
        assert!(matches!(read("f\n".repeat(ITEMS_MAX + 1).as_bytes()), Err(BadBatch::TooLong)));
        assert!(wishes(b"").is_empty() && wishes(b"\n\n#").is_empty());
    }
}
