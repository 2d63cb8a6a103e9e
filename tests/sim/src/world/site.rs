//! One building with its disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use arxosrt_core::building::codec::decode_events;
use arxosrt_core::building::command::{Place, Target};
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{Building, Settings};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use arxosrt_core::lock::Token;
use arxosrt_core::lock::guard::Guards;
use smallvec::smallvec;

use crate::model::Model;

use super::FLOORS;

/// One building with its disk, and what should be true of it.
pub(super) struct Site {
    pub(super) building: Building,
    pub(super) model: Model,
    pub(super) rooms: Vec<RoomId>,
    pub(super) targets: Vec<Target>,
    pub(super) disk: Disk,
    /// Decided and not yet committed.
    pub(super) tail: Vec<Event>,
    /// Grants that somebody was told of.
    pub(super) told: Vec<Token>,
    /// Grants of the tail.
    pub(super) untold: Vec<Token>,
}

pub(super) struct Disk {
    pub(super) snapshot: Option<Vec<u8>>,
    pub(super) log: Vec<Vec<u8>>,
    /// What the log says, as the model and the digest have it.
    pub(super) model: Model,
    pub(super) digest: u64,
    pub(super) granted: Vec<Token>,
}

impl Site {
    pub(super) fn new(n: usize, settings: Arc<Settings>, guards: Guards) -> Self {
        let room = |name: String| RoomId::new(&name).expect("a good id");
        let resource = |name: &str| ResourceId::new(name).expect("a good id");
        let floors: Vec<RoomId> = (0..FLOORS).map(|f| room(format!("b{n}f{f}"))).collect();
        let own = room(format!("b{n}"));
        let mut targets = vec![Target { resource: resource(own.as_str()), place: Place::Building(own.clone()) }];
        for floor in &floors {
            targets.push(Target { resource: resource(floor.as_str()), place: Place::Floor(floor.clone()) });
            for object in 0..2 {
                let name = format!("{floor}o{object}");
                let place = Place::Item(smallvec![floor.clone()]);
                targets.push(Target { resource: resource(&name), place });
            }
        }
        for pair in floors.windows(2) {
            let name = format!("{}r{}", pair[0], pair[1]);
            targets.push(Target { resource: resource(&name), place: Place::Item(pair.iter().cloned().collect()) });
        }
        let mut building = Building::new(BuildingId::of_lone_room(&own), settings);
        building.set_guards(guards);
        let mut rooms = floors;
        rooms.push(own);
        let disk = Disk {
            snapshot: None,
            log: Vec::new(),
            model: Model::default(),
            digest: building.digest(),
            granted: Vec::new(),
        };
        let (tail, told, untold) = (Vec::new(), Vec::new(), Vec::new());
        Site { building, model: Model::default(), rooms, targets, disk, tail, told, untold }
    }

    pub(super) fn read_back(&self, settings: Arc<Settings>) -> Result<Building, String> {
        let id = self.building.id().clone();
        let mut back = match &self.disk.snapshot {
            Some(bytes) => Building::restore(id, bytes, settings).map_err(|why| format!("L11: {why}"))?,
            None => Building::new(id, settings),
        };
        for bytes in &self.disk.log {
            for event in decode_events(bytes).map_err(|why| format!("L11: {why}"))? {
                back.evolve(&event);
            }
        }
        Ok(back)
    }

    /// Those who must reclaim their locks are exactly those who hold some.
    pub(super) fn judge_owners(&self) -> Result<(), String> {
        let owners = self.building.sessions_with_locks();
        let named: BTreeMap<_, _> = owners.iter().map(|(session, user, ..)| (session, user)).collect();
        let should: BTreeMap<_, _> = self.model.held.iter().map(|held| (&held.session, &held.user)).collect();
        if named != should || owners.len() != should.len() {
            return Err(format!("owners are {named:?}, should be {should:?}"));
        }
        Ok(())
    }
}
