//! What was told before it was committed: a journal that survives the death of the process.
//!
//! A passing event (a broadcast) is told at once and committed with the next batch. If the process dies in between,
//! the members have seen something that the log does not know, and the room's next sequence number would be given out
//! twice. So the hub notes such events here first: [`Tail::add`] for each, one [`Tail::write`] for the turn, then it
//! tells. That write goes to the page cache, which costs microseconds and outlives the process, but not the machine;
//! [`super::Recovered::power_lost`] says when that difference may matter.
//!
//! **Two segments** take turns. One grows to [`TAIL_SEGMENT_BYTES`]; then the other, if everything in it has been
//! committed, is emptied and continues. So the files stay small even if there is never a moment in which nothing is
//! on its way. While commits stand still a segment grows on, up to [`TAIL_SEGMENT_BYTES_MAX`].
//!
//! **A segment** is `arxtail1`, a generation (u64, larger in the segment that was begun later), then records:
//! ```text
//! length u32 | crc32 u32 | building length u16 | building | position u64 | count u32 | events
//! ```
//! All little-endian. The length counts what follows the checksum, the checksum covers it. Reading stops at the first
//! record that is torn or wrong: it was being written when the process died, and nobody was told.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use arxosrt_core::id::BuildingId;

use super::sys::beside;
use super::{BuildingMeta, StoreError};

/// The size from which a segment is given up for the other one, or emptied.
pub const TAIL_SEGMENT_BYTES: u64 = 1 << 20;

/// The size beyond which nothing is taken in: commits have stood still for long.
pub const TAIL_SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// The batch that commits what was recovered.
const FIRST_BATCH: u64 = 1;

const MAGIC: &[u8; 8] = b"arxtail1";
const HEADER_BYTES: usize = 16;
/// Length and checksum.
const PREFIX_BYTES: usize = 8;
/// A record's length with a building of one byte and no events: anything shorter is not a record.
const RECORD_BYTES_MIN: usize = 2 + 1 + 8 + 4;

/// What was told: events of one building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailRecord {
    /// The building.
    pub building: BuildingId,
    /// The log's position before these events.
    pub position: u64,
    /// How many events these are.
    pub count: u32,
    /// The encoded events.
    pub events: Vec<u8>,
}

/// Why events could not be noted. They must not be told before they are committed.
#[derive(Debug)]
pub enum TailError {
    /// The file cannot be written.
    Io(io::Error),
    /// The segment has this many bytes and may not grow.
    Full(u64),
}

impl fmt::Display for TailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TailError::Io(error) => write!(f, "cannot write the tail: {error}"),
            TailError::Full(bytes) => {
                write!(f, "the tail has {bytes} of at most {TAIL_SEGMENT_BYTES_MAX} bytes and nothing is committed")
            }
        }
    }
}

impl std::error::Error for TailError {}

/// The journal's end for writing. Owned by the hub.
pub struct Tail {
    /// None for the memory engine: it has committed before anybody could be told.
    segments: Option<Segments>,
    /// Records of this turn.
    turn: Vec<u8>,
}

struct Segments {
    /// The one that grows first.
    pair: [Segment; 2],
    generation: u64,
}

struct Segment {
    file: File,
    /// How far it is good; 0 when it is empty.
    bytes: u64,
    /// With the commit of this batch, everything in it is committed.
    settled_by: u64,
    /// A write failed and may have left bytes beyond the good ones.
    ragged: bool,
}

impl Tail {
    /// A tail that keeps nothing.
    pub(crate) fn nowhere() -> Self {
        Tail { segments: None, turn: Vec::new() }
    }

    /// Adds a record to this turn's. Nothing is written yet.
    pub fn add(&mut self, building: &BuildingId, position: u64, count: u32, events: &[u8]) {
        if self.segments.is_some() {
            encode(&mut self.turn, building, position, count, events);
        }
    }

    /// Writes what was added since the last time, in one piece. `batch` is the number of the batch that will commit
    /// it. After an error nothing of it is in the journal.
    pub fn write(&mut self, batch: u64) -> Result<(), TailError> {
        let Some(segments) = &mut self.segments else {
            return Ok(());
        };
        if self.turn.is_empty() {
            return Ok(());
        }
        let written = segments.write(&self.turn, batch);
        self.turn.clear();
        // A turn of exceptional size should not keep its memory.
        self.turn.shrink_to(TAIL_SEGMENT_BYTES as usize);
        written
    }

    /// The batch of this number, and all before it, are committed. Empties what has grown large and is needed no more.
    ///
    /// A file that cannot be emptied costs space and nothing else: its records are known to be committed, and the next
    /// call tries again.
    pub fn committed(&mut self, batch: u64) {
        if let Some(segments) = &mut self.segments {
            segments.committed(batch);
        }
    }

    /// Ends the journal, after the last commit: empties it if all was committed up to `batch`, else makes sure that it
    /// survives the machine too.
    pub fn close(self, batch: u64) -> Result<(), TailError> {
        let Some(segments) = self.segments else {
            return Ok(());
        };
        for mut segment in segments.pair {
            if segment.settled_by <= batch {
                segment.empty().map_err(TailError::Io)?;
            } else {
                segment.file.sync_data().map_err(TailError::Io)?;
            }
        }
        Ok(())
    }
}

impl Segments {
    fn write(&mut self, records: &[u8], batch: u64) -> Result<(), TailError> {
        if self.pair[0].bytes >= TAIL_SEGMENT_BYTES && self.pair[1].bytes == 0 {
            self.pair.swap(0, 1);
        }
        let segment = &mut self.pair[0];
        if segment.bytes + records.len() as u64 > TAIL_SEGMENT_BYTES_MAX {
            return Err(TailError::Full(segment.bytes));
        }
        if segment.bytes == 0 {
            self.generation += 1;
            let mut first = Vec::with_capacity(HEADER_BYTES + records.len());
            first.extend_from_slice(MAGIC);
            first.extend_from_slice(&self.generation.to_le_bytes());
            first.extend_from_slice(records);
            segment.append(&first)
        } else {
            segment.append(records)
        }
        .map_err(TailError::Io)?;
        segment.settled_by = segment.settled_by.max(batch);
        Ok(())
    }

    fn committed(&mut self, batch: u64) {
        for (at, segment) in self.pair.iter_mut().enumerate() {
            // The first one is worth emptying when it is large, the other one always: it waits to take its turn.
            let in_the_way = if at == 0 { segment.bytes >= TAIL_SEGMENT_BYTES } else { segment.bytes > 0 };
            if in_the_way && segment.settled_by <= batch {
                let _ = segment.empty();
            }
        }
    }
}

impl Segment {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.ragged {
            self.file.set_len(self.bytes)?;
            self.ragged = false;
        }
        if let Err(error) = self.file.write_all_at(bytes, self.bytes) {
            // Whatever part of it was written must go: behind a shorter record it could look like a good one.
            self.ragged = self.file.set_len(self.bytes).is_err();
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.bytes = 0;
        Ok(())
    }
}

/// What was found in the journal.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What continues the committed logs, in order for each building.
    pub(super) records: Vec<TailRecord>,
    /// Records that continue no log.
    pub(super) dropped: u64,
}

/// Opens both segments beside `path` and reads what they hold beyond the committed positions.
///
/// The segments go on behind what they hold: it stays until the hub has committed it again, for the case that this
/// run ends sooner.
pub(super) fn open(path: &Path, committed: &[BuildingMeta]) -> Result<(Tail, Found), StoreError> {
    let mut segments = [open_segment(&beside(path, ".tail-0"))?, open_segment(&beside(path, ".tail-1"))?];
    segments.sort_by_key(|read| Reverse(read.generation));
    let generation = segments[0].generation;
    let oldest_first = segments.iter_mut().rev().flat_map(|read| mem::take(&mut read.records));
    let found = place(oldest_first, committed);
    let mut pair = segments.map(|read| read.segment);
    if found.records.is_empty() {
        for segment in &mut pair {
            segment.empty().map_err(|error| StoreError::file(path, "empty the tail of", error))?;
        }
    }
    Ok((Tail { segments: Some(Segments { pair, generation }), turn: Vec::new() }, found))
}

/// A segment and what was in it.
struct ReadSegment {
    segment: Segment,
    /// 0 when it was empty.
    generation: u64,
    records: Vec<TailRecord>,
}

fn open_segment(path: &PathBuf) -> Result<ReadSegment, StoreError> {
    let failed = |doing| move |error| StoreError::file(path, doing, error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed("open"))?;
    let bytes = std::fs::read(path).map_err(failed("read"))?;
    let (generation, records, good) = decode(&bytes);
    file.set_len(good as u64).map_err(failed("shorten"))?;
    let segment = Segment { file, bytes: good as u64, settled_by: FIRST_BATCH, ragged: false };
    Ok(ReadSegment { segment, generation, records })
}

/// Keeps the records that continue the committed logs.
///
/// A record that begins before the end of an earlier one takes its place and that of everything after it: the hub had
/// gone back to that position, because a commit had failed.
fn place(records: impl Iterator<Item = TailRecord>, committed: &[BuildingMeta]) -> Found {
    let committed: HashMap<&str, u64> = committed.iter().map(|it| (it.id.as_str(), it.position)).collect();
    let mut placed: BTreeMap<BuildingId, Vec<TailRecord>> = BTreeMap::new();
    let mut found = Found::default();
    for record in records {
        let start = committed.get(record.building.as_str()).copied().unwrap_or(0);
        if record.position < start {
            continue;
        }
        let chain = placed.entry(record.building.clone()).or_default();
        while chain.last().is_some_and(|last| last.position >= record.position) {
            chain.pop();
        }
        if chain.last().map_or(start, TailRecord::end) == record.position {
            chain.push(record);
        } else {
            found.dropped += 1;
        }
    }
    found.records = placed.into_values().flatten().collect();
    found
}

impl TailRecord {
    /// The log's position after these events.
    fn end(&self) -> u64 {
        self.position + u64::from(self.count)
    }
}

fn encode(out: &mut Vec<u8>, building: &BuildingId, position: u64, count: u32, events: &[u8]) {
    let start = out.len();
    let id = building.as_str().as_bytes();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    let id_len = u16::try_from(id.len()).expect("an id has at most 256 bytes");
    out.extend_from_slice(&id_len.to_le_bytes());
    out.extend_from_slice(id);
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(events);
    let body = &out[start + PREFIX_BYTES..];
    let length = u32::try_from(body.len()).expect("a turn's events are far below 4 GiB");
    let checksum = crc32fast::hash(body);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + PREFIX_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// A segment's generation and records, and how many of its bytes these are.
fn decode(bytes: &[u8]) -> (u64, Vec<TailRecord>, usize) {
    let Some((MAGIC, rest)) = bytes.split_first_chunk() else {
        return (0, Vec::new(), 0);
    };
    let Some((generation, mut rest)) = rest.split_first_chunk() else {
        return (0, Vec::new(), 0);
    };
    let mut records = Vec::new();
    while let Some((record, after)) = decode_record(rest) {
        records.push(record);
        rest = after;
    }
    (u64::from_le_bytes(*generation), records, bytes.len() - rest.len())
}

/// The record at the beginning of `bytes` and what follows it, if there is a whole and good one.
fn decode_record(bytes: &[u8]) -> Option<(TailRecord, &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    let (checksum, bytes) = bytes.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    // A stretch of zeros would otherwise be a run of empty records with the right checksum.
    if length < RECORD_BYTES_MIN {
        return None;
    }
    let (body, after) = bytes.split_at_checked(length)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (id_len, body) = body.split_first_chunk()?;
    let (id, body) = body.split_at_checked(usize::from(u16::from_le_bytes(*id_len)))?;
    let (position, body) = body.split_first_chunk()?;
    let (count, events) = body.split_first_chunk()?;
    let building = BuildingId::new(std::str::from_utf8(id).ok()?).ok()?;
    let (position, count) = (u64::from_le_bytes(*position), u32::from_le_bytes(*count));
    Some((TailRecord { building, position, count, events: events.to_vec() }, after))
}
