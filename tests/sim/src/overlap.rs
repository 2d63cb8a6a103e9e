//! When do two locks exclude each other? Said without nodes and modes, to check the table that has them.
//!
//! A lock owns a region: the whole building, a floor, or one thing that lies on some floors. Regions exclude each
//! other when one could contain a change of the other. A view owns nothing.

use arxosrt_core::building::command::{Place, Target};
use arxosrt_core::id::{ResourceId, RoomId};
use arxosrt_core::lock::LockType;

/// What a lock owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Region {
    /// Everything.
    Building,
    /// A floor and what lies on it.
    Floor(RoomId),
    /// A thing, and the floors that it lies on.
    Thing(ResourceId, Vec<RoomId>),
}

/// What a lock of this type on this target owns.
pub fn region(lock_type: LockType, target: &Target) -> Option<Region> {
    use LockType::*;
    Some(match (lock_type, &target.place) {
        (AnalyticsView, _) => return None,
        (FloorEdit | GridCalibration, Place::Building(_)) => Region::Building,
        (FloorEdit | GridCalibration, Place::Floor(floor)) => Region::Floor(floor.clone()),
        (_, Place::Building(_)) => Region::Thing(target.resource.clone(), Vec::new()),
        (_, Place::Floor(floor)) => Region::Thing(target.resource.clone(), vec![floor.clone()]),
        (_, Place::Item(floors)) => Region::Thing(target.resource.clone(), floors.to_vec()),
    })
}

impl Region {
    fn overlaps(&self, other: &Region) -> bool {
        match (self, other) {
            (Region::Building, _) | (_, Region::Building) => true,
            (Region::Floor(a), Region::Floor(b)) => a == b,
            (Region::Floor(floor), Region::Thing(_, floors)) | (Region::Thing(_, floors), Region::Floor(floor)) => {
                floors.contains(floor)
            }
            (Region::Thing(a, _), Region::Thing(b, _)) => a == b,
        }
    }
}

/// Whether two locks of different sessions exclude each other.
pub fn overlap(a: (LockType, &[Target]), b: (LockType, &[Target])) -> bool {
    let regions = |(lock_type, targets): (LockType, &[Target])| -> Vec<Region> {
        targets.iter().filter_map(|target| region(lock_type, target)).collect()
    };
    let theirs = regions(b);
    regions(a).iter().any(|mine| theirs.iter().any(|other| mine.overlaps(other)))
}
