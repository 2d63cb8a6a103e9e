//! The durable part of a building as bytes.
//!
//! Everything that the fold of the log gives and nothing else: no lease, no queue, no request. The order of everything
//! is fixed, so equal states give equal bytes, and their hash compares a running state with a replayed one.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::answers::{Answers, AnswersImage};
use super::codec::{self, Corrupt};
use super::conflict::{Conflicts, ConflictsImage};
use super::dedup::{Dedup, DedupImage};
use super::event::{Event, GrantCause, LockGranted, Seqs};
use super::log_clock::LogClock;
use super::resources::{ResourceImage, Resources};
use super::rooms::Rooms;
use super::{Building, Settings};
use crate::id::{BuildingId, RoomId};
use crate::lock::Token;
use crate::lock::table::Lock;

/// Fields are only appended.
#[derive(Serialize, Deserialize)]
struct Image {
    position: u64,
    last_token: Option<Token>,
    dedup: DedupImage,
    /// What rooms keep; an event that several messages share is here once.
    events: Vec<Event>,
    rooms: Vec<RoomImage>,
    locks: Vec<Arc<LockGranted>>,
    clock: LogClock,
    resources: Vec<ResourceImage>,
    answers: AnswersImage,
    conflicts: ConflictsImage,
}

#[derive(Serialize, Deserialize)]
struct RoomImage {
    id: RoomId,
    seq: u64,
    /// An index into the events, and the target that the message is about.
    kept: Vec<(u32, u32)>,
}

impl Building {
    pub(super) fn to_image(&self) -> Vec<u8> {
        let mut events = Vec::new();
        let mut shared: HashMap<usize, u32> = HashMap::new();
        let mut rooms = Vec::new();
        for room in self.rooms.sorted() {
            let mut kept = Vec::with_capacity(room.kept.len());
            for one in &room.kept {
                let index = *shared.entry(one.event.address()).or_insert_with(|| {
                    events.push(one.event.clone());
                    events.len() as u32 - 1
                });
                kept.push((index, one.target));
            }
            rooms.push(RoomImage { id: room.id.clone(), seq: room.seq, kept });
        }
        let image = Image {
            position: self.position,
            last_token: self.table.last(),
            dedup: self.dedup.image(),
            events,
            rooms,
            locks: self.table.iter().map(|lock| Arc::new(lock_image(lock))).collect(),
            clock: self.clock,
            resources: self.resources.image(),
            answers: self.answers.image(),
            conflicts: self.conflicts.image(),
        };
        codec::encode(&image, "snapshot")
    }

    pub(super) fn from_image(id: BuildingId, bytes: &[u8], settings: Arc<Settings>) -> Result<Building, Corrupt> {
        let image: Image = codec::decode(bytes, "snapshot")?;
        let mut building = Building::new(id, settings);
        building.position = image.position;
        building.dedup = Dedup::from_image(image.dedup);
        for room in &image.rooms {
            restore_room(&mut building.rooms, room, &image.events, &building.settings)?;
        }
        for lock in &image.locks {
            building.table.insert(lock);
        }
        building.table.set_last(image.last_token);
        building.clock = image.clock;
        building.resources = Resources::from_image(image.resources, &building.settings.edits);
        building.answers = Answers::from_image(image.answers);
        building.conflicts = Conflicts::from_image(image.conflicts);
        Ok(building)
    }

    pub(super) fn hash(&self) -> u64 {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        self.to_image().iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
    }
}

fn restore_room(rooms: &mut Rooms, image: &RoomImage, events: &[Event], bounds: &Settings) -> Result<(), Corrupt> {
    let kept_len = image.kept.len() as u64;
    let first = image.seq.checked_sub(kept_len).ok_or(Corrupt::Malformed("room history"))?;
    let room = rooms.intern(&image.id);
    rooms.start_at(room, first);
    for (&(index, target), seq) in image.kept.iter().zip(first.saturating_add(1)..) {
        let event = events.get(index as usize).ok_or(Corrupt::Malformed("event index"))?;
        let target = target as usize;
        let told = event.sightings().any(|s| s.target == target && *s.room == image.id && s.seq == seq);
        if !told {
            return Err(Corrupt::Malformed("room history"));
        }
        rooms.record(room, seq, event, target, bounds);
    }
    Ok(())
}

/// A lock in the form of the event that would grant it. The numbers of its messages belong to the rooms and are left out.
fn lock_image(lock: &Lock) -> LockGranted {
    LockGranted { seqs: Seqs::new(), cause: GrantCause::Asked, ..LockGranted::clone(&lock.granted) }
}
