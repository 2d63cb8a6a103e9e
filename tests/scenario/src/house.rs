//! A small building that a daemon may know.

use arxosrt_core::directory::{BuildingDraft, FloorDraft, ItemDraft};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

/// The building `hq` with the floors `hq:1` and `hq:2`; `door` and `window` on the first, `pump` on the second, the
/// route `cable` on the first and the route `stairs` on both.
pub fn house() -> BuildingDraft {
    let room = |id: &str| RoomId::new(id).expect("an id");
    let floor = |id: &str, level| FloorDraft { room: room(id), name: id.into(), level };
    let item =
        |id: &str, floors: &[usize]| ItemDraft { id: ResourceId::new(id).expect("an id"), floors: floors.to_vec() };
    BuildingDraft {
        id: BuildingId::new("hq").expect("an id"),
        name: "Headquarters".into(),
        floors: vec![floor("hq:1", 1), floor("hq:2", 2)],
        objects: vec![item("door", &[0]), item("window", &[0]), item("pump", &[1])],
        routes: vec![item("cable", &[0]), item("stairs", &[0, 1])],
    }
}
