//! What has been written lately, and by whom?
//!
//! The kept versions of one document, each with what it wrote, and an index from every written path to its writers. So
//! whether somebody has been at a place since some version costs a look at that place, however much else has happened.
//!
//! Kept are at most [`HistorySettings::versions_max`] versions, none older than [`HistorySettings::keep_ms`], and so many
//! that they hold [`HistorySettings::bytes_max`] (the newest is kept whatever it holds). Whoever comes with an older base
//! has to load the document again.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::change::Write;
use super::conflict::Author;
use super::path::Path;
use crate::time::Wall;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// The most versions.
    pub versions_max: usize,
    /// For how long.
    pub keep_ms: u64,
    /// About how many bytes of values, before and after.
    pub bytes_max: usize,
}

impl Default for HistorySettings {
    fn default() -> Self {
        HistorySettings { versions_max: 256, keep_ms: 15 * 60 * 1000, bytes_max: 4 << 20 }
    }
}

/// One version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its number.
    pub number: u64,
    /// Who made it.
    pub author: Author,
    /// When, by the wall clock.
    pub wall: Wall,
    /// What it wrote, in order.
    pub writes: Vec<Write>,
    /// When, in milliseconds of the log's own clock: so the same is forgotten wherever the log is replayed.
    pub log_ms: u64,
}

/// One write among those of all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) version: u64,
    pub(crate) write: usize,
}

pub(crate) type Marks = SmallVec<[Mark; 1]>;

/// The kept versions of one document.
#[derive(Clone, Debug, Default)]
pub struct History {
    settings: HistorySettings,
    versions: VecDeque<Version>,
    current: u64,
    bytes: usize,
    /// The writes at each path, oldest first; those of a list's order under the path that stands for it.
    index: BTreeMap<Path, Marks>,
}

impl History {
    /// Of a document whose version is `current`, of which nothing else is known.
    pub fn new(current: u64, settings: HistorySettings) -> Self {
        History { settings, current, ..History::default() }
    }

    /// The version of the document.
    pub fn current(&self) -> u64 {
        self.current
    }

    /// The oldest version from which what has happened since is known.
    pub fn oldest_base(&self) -> u64 {
        self.versions.front().map_or(self.current, |version| version.number - 1)
    }

    /// The kept versions, oldest first.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &Version> {
        self.versions.iter()
    }

    /// About how many bytes of values are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the next version, and forgets what need not be kept. Its number.
    pub fn record(&mut self, author: Author, log_ms: u64, wall: Wall, writes: Vec<Write>) -> u64 {
        self.current += 1;
        self.push(Version { number: self.current, author, wall, writes, log_ms });
        self.prune(log_ms);
        self.current
    }

    /// Forgets what need not be kept any more.
    pub fn prune(&mut self, now_ms: u64) {
        while let Some(oldest) = self.versions.front() {
            let over = self.versions.len() > self.settings.versions_max
                || (self.bytes > self.settings.bytes_max && self.versions.len() > 1);
            if !over && now_ms.saturating_sub(oldest.log_ms) <= self.settings.keep_ms {
                return;
            }
            self.forget_oldest();
        }
    }

    /// After it was read back: how much is kept from now on.
    pub fn bound(&mut self, settings: HistorySettings) {
        self.settings = settings;
    }

    fn push(&mut self, version: Version) {
        for (write, written) in version.writes.iter().enumerate() {
            let key = key(written);
            self.index.entry(key).or_default().push(Mark { version: version.number, write });
            self.bytes += weight(written);
        }
        self.versions.push_back(version);
    }

    fn forget_oldest(&mut self) {
        let Some(version) = self.versions.pop_front() else { return };
        for written in &version.writes {
            self.bytes -= weight(written);
            let key = key(written);
            if let Some(marks) = self.index.get_mut(&key) {
                marks.retain(|mark| mark.version > version.number);
                if marks.is_empty() {
                    self.index.remove(&key);
                }
            }
        }
    }

    pub(crate) fn index(&self) -> &BTreeMap<Path, Marks> {
        &self.index
    }

    pub(crate) fn version(&self, number: u64) -> &Version {
        let first = self.versions.front().map_or(0, |version| version.number);
        &self.versions[(number - first) as usize]
    }

    pub(crate) fn write(&self, mark: Mark) -> &Write {
        &self.version(mark.version).writes[mark.write]
    }
}

fn key(write: &Write) -> Path {
    match write {
        Write::Node { path, .. } => path.clone(),
        Write::Order { path, .. } => path.order(),
    }
}

/// About how many bytes a write holds.
fn weight(write: &Write) -> usize {
    let values = match write {
        Write::Node { before, after, .. } => [before, after].into_iter().flatten().map(|value| value.weight()).sum(),
        Write::Order { .. } => 0,
    };
    size_of::<Write>() + values
}

impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        self.current == other.current && self.versions == other.versions
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        (self.current, &self.versions).serialize(s)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let (current, versions) = <(u64, Vec<Version>)>::deserialize(d)?;
        let first = current.checked_sub(versions.len() as u64);
        let expected = |n: usize| first.map(|first| first + 1 + n as u64);
        if versions.iter().enumerate().any(|(n, version)| Some(version.number) != expected(n)) {
            return Err(serde::de::Error::custom("the versions of a document follow each other"));
        }
        let mut history = History::new(current, HistorySettings::default());
        versions.into_iter().for_each(|version| history.push(version));
        Ok(history)
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Value;
    use super::*;
    use crate::id::UserId;

    fn author() -> Author {
        Author { user: UserId::new("ann").unwrap(), username: "Ann".into(), session: None, edit_id: None }
    }

    fn write(n: usize) -> Write {
        let path = Path::parse(&format!("/a{}", n % 7)).unwrap();
        Write::Node { path, before: None, after: Some(Value::Text("0123456789".into())) }
    }

    fn filled(settings: HistorySettings) -> History {
        let mut history = History::new(10, settings);
        for n in 0..40 {
            history.record(author(), n as u64 * 1000, Wall(0), vec![write(n)]);
        }
        history
    }

    #[test]
    fn history_is_bounded_in_versions_time_and_bytes_and_so_is_its_index() {
        let all = HistorySettings::default();
        assert_eq!(filled(all).oldest_base(), 10);
        for settings in [
            HistorySettings { versions_max: 4, ..all },
            HistorySettings { keep_ms: 3000, ..all },
            HistorySettings { bytes_max: filled(all).bytes() / 10, ..all },
        ] {
            let history = filled(settings);
            assert_eq!((history.oldest_base(), history.current()), (46, 50), "{settings:?}");
            assert_eq!(history.index().values().map(|marks| marks.len()).sum::<usize>(), 4);
        }
        let mut history = filled(all);
        history.prune(u64::MAX);
        assert_eq!((history.oldest_base(), history.bytes(), history.index().len()), (50, 0, 0));
    }

    #[test]
    fn history_survives_storage() {
        let history = filled(HistorySettings::default());
        let bytes = postcard::to_allocvec(&history).unwrap();
        let mut back: History = postcard::from_bytes(&bytes).unwrap();
        back.bound(HistorySettings::default());
        assert_eq!(back.index(), history.index());
        assert_eq!(back, history);
        assert!(postcard::from_bytes::<History>(&bytes[..bytes.len() - 1]).is_err());
    }
}
