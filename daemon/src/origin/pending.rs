//! Which documents are still to be written, and when?
//!
//! One entry per thing, and only its newest version: whoever drags an object about for a minute makes one entry and a
//! few writes. An entry stays until just this version is in the folder, so a load sees what is not written yet, and a
//! failed write loses nothing. Each building has a time of its own: the first change of a building starts a short
//! window in which others are gathered, and a building that cannot be written waits longer and longer without holding
//! up the others.
//!
//! Bounded by [`DOCUMENTS_MAX`] and [`BYTES_MAX`]; what would go beyond is given back.

use std::collections::HashMap;
use std::time::Duration;

use arxosrt_core::id::{BuildingId, ResourceId};
use tokio::time::Instant;

use super::write_back::Stored;

/// How many documents wait at most.
pub const DOCUMENTS_MAX: usize = 100_000;
/// How many bytes they may have together.
pub const BYTES_MAX: usize = 256 << 20;

/// The first pause after a failed write; each further one is twice as long.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Documents by building.
#[derive(Debug, Default)]
pub struct Pending {
    buildings: HashMap<BuildingId, Queue>,
    documents: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    documents: HashMap<ResourceId, Stored>,
    due: Instant,
    failures: u32,
}

/// What an attempt changed about a building.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It could be written before and cannot be now.
    Fails,
    /// It can be written again, after this many failures.
    Recovers(u32),
    /// Nothing.
    Same,
}

impl Pending {
    /// Takes a document in, or gives it back when there are too many. A version older than the one that waits is
    /// superseded already.
    pub fn put(&mut self, stored: Stored, due: Instant) -> Result<(), Stored> {
        let waiting = self.get(&stored.building, &stored.resource);
        if waiting.is_some_and(|waiting| waiting.version > stored.version) {
            return Ok(());
        }
        let (freed, is_new) = waiting.map_or((0, true), |waiting| (size(waiting), false));
        let bytes = self.bytes - freed + size(&stored);
        if bytes > BYTES_MAX || (is_new && self.documents == DOCUMENTS_MAX) {
            return Err(stored);
        }
        self.bytes = bytes;
        self.documents += usize::from(is_new);
        self.buildings
            .entry(stored.building.clone())
            .or_insert_with(|| Queue { documents: HashMap::new(), due, failures: 0 })
            .documents
            .insert(stored.resource.clone(), stored);
        Ok(())
    }

    /// The document that waits for a thing.
    pub fn get(&self, building: &BuildingId, resource: &ResourceId) -> Option<&Stored> {
        self.buildings.get(building)?.documents.get(resource)
    }

    /// When the next building is to be written.
    pub fn due(&self) -> Option<Instant> {
        self.buildings.values().map(|queue| queue.due).min()
    }

    /// The documents of a building whose time has come. They stay here until they are [`Pending::settled`].
    pub fn ready(&self, now: Instant) -> Option<(BuildingId, Vec<Stored>)> {
        let (building, queue) = self.buildings.iter().min_by_key(|(_, queue)| queue.due)?;
        if queue.due > now {
            return None;
        }
        let mut documents: Vec<Stored> = queue.documents.values().cloned().collect();
        documents.sort_unstable_by(|a, b| a.resource.cmp(&b.resource));
        Some((building.clone(), documents))
    }

    /// An attempt is over: these versions need not be written any more. What is left, or has come since, is due after
    /// `window`, or after a pause if the attempt has `failed`.
    pub fn settled(
        &mut self,
        building: &BuildingId,
        done: &[(ResourceId, u64)],
        failed: bool,
        now: Instant,
        window: Duration,
    ) -> Turn {
        let Some(queue) = self.buildings.get_mut(building) else {
            return Turn::Same;
        };
        for (resource, version) in done {
            if let Some(waiting) = queue.documents.get(resource)
                && waiting.version == *version
            {
                self.bytes -= size(waiting);
                self.documents -= 1;
                queue.documents.remove(resource);
            }
        }
        let turn = match (queue.failures, failed) {
            (0, true) => Turn::Fails,
            (0, false) | (_, true) => Turn::Same,
            (failures, false) => Turn::Recovers(failures),
        };
        match failed {
            true => {
                let pause = BACKOFF_FIRST.saturating_mul(1 << queue.failures.min(16)).min(BACKOFF_MAX);
                queue.due = now + pause;
                queue.failures += 1;
            }
            false => {
                queue.due = now + window;
                queue.failures = 0;
            }
        }
        if queue.documents.is_empty() {
            self.buildings.remove(building);
        }
        turn
    }

    /// Everything is due by `at`.
    pub fn hurry(&mut self, at: Instant) {
        for queue in self.buildings.values_mut() {
            queue.due = queue.due.min(at);
        }
    }

    /// How many documents wait.
    pub fn len(&self) -> usize {
        self.documents
    }

    /// Does none wait?
    pub fn is_empty(&self) -> bool {
        self.documents == 0
    }
}

/// What an entry costs: its text, its ids, and what is around them.
fn size(stored: &Stored) -> usize {
    let text = stored.document.as_ref().map_or(0, |text| text.len());
    text + stored.resource.as_str().len() + std::mem::size_of::<Stored>()
}

#[cfg(test)]
mod tests {
    use arxosrt_core::id::RoomId;

    use super::*;
    use crate::origin::documents::Kind;

    const WINDOW: Duration = Duration::from_millis(500);

    fn stored(building: &str, resource: &str, version: u64, bytes: usize) -> Stored {
        Stored {
            building: BuildingId::new(building).unwrap(),
            resource: ResourceId::new(resource).unwrap(),
            kind: Kind::Object,
            floor: RoomId::new("f").unwrap(),
            document: Some(" ".repeat(bytes).into()),
            version,
        }
    }

    fn versions(pending: &Pending, now: Instant) -> Option<(String, Vec<u64>)> {
        let (building, documents) = pending.ready(now)?;
        Some((building.to_string(), documents.iter().map(|stored| stored.version).collect()))
    }

    #[test]
    fn only_the_newest_version_waits_and_only_until_it_is_written() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for version in [1, 3, 2] {
            pending.put(stored("b", "x", version, 10), now + WINDOW).unwrap();
        }
        pending.put(stored("b", "y", 1, 10), now + WINDOW * 9).unwrap();
        assert_eq!((versions(&pending, now), pending.due()), (None, Some(now + WINDOW)), "the first starts the window");
        let now = now + WINDOW;
        assert_eq!(versions(&pending, now), Some(("b".to_owned(), vec![3, 1])));
        let (building, documents) = pending.ready(now).unwrap();
        pending.put(stored("b", "x", 4, 10), now).unwrap();
        let done: Vec<_> = documents.iter().map(|stored| (stored.resource.clone(), stored.version)).collect();
        assert_eq!(pending.settled(&building, &done, false, now, WINDOW), Turn::Same);
        assert_eq!((pending.len(), pending.due()), (1, Some(now + WINDOW)), "what came meanwhile waits for its own");
        let done = [(documents[0].resource.clone(), 4)];
        pending.settled(&building, &done, false, now, WINDOW);
        assert_eq!((pending.len(), pending.bytes, pending.due()), (0, 0, None));
    }

    #[test]
    fn a_building_that_fails_waits_longer_and_holds_up_nobody() {
        let (mut pending, mut now) = (Pending::default(), Instant::now());
        pending.put(stored("a", "x", 1, 10), now).unwrap();
        let mut pauses = Vec::new();
        let building = BuildingId::new("a").unwrap();
        for attempt in 0..9 {
            let turn = pending.settled(&building, &[], true, now, WINDOW);
            assert_eq!(turn, if attempt == 0 { Turn::Fails } else { Turn::Same });
            let due = pending.due().unwrap();
            pauses.push((due - now).as_millis());
            pending.put(stored("b", "y", 1, 10), now).unwrap();
            assert_eq!(versions(&pending, now), Some(("b".to_owned(), vec![1])));
            let other = BuildingId::new("b").unwrap();
            pending.settled(&other, &[(ResourceId::new("y").unwrap(), 1)], false, now, WINDOW);
            now = due;
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        let done = [(ResourceId::new("x").unwrap(), 1)];
        assert_eq!(pending.settled(&building, &done, false, now, WINDOW), Turn::Recovers(9));
        assert!(pending.is_empty());
    }

    #[test]
    fn what_would_be_too_much_is_given_back() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        pending.put(stored("b", "x", 1, BYTES_MAX / 2), now).unwrap();
        let large = stored("b", "y", 1, BYTES_MAX / 2);
        assert_eq!(pending.put(large.clone(), now).unwrap_err().resource, large.resource);
        pending.put(stored("b", "x", 2, BYTES_MAX / 4), now).unwrap();
        pending.put(large, now).unwrap();
        let mut pending = Pending::default();
        for n in 0..DOCUMENTS_MAX {
            pending.put(stored("b", &n.to_string(), 1, 0), now).unwrap();
        }
        assert!(pending.put(stored("b", "x", 1, 0), now).is_err());
        pending.put(stored("b", "7", 2, 0), now).unwrap();
    }
}
