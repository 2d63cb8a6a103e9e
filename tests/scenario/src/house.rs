//! A small building that a daemon may know, as a draft and as a folder.

use std::path::{Path, PathBuf};

use arxosrt_core::directory::{BuildingDraft, FloorDraft, ItemDraft};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

use crate::json;

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

/// Writes the floor `hq:1` with `door` and `window` as a folder below `dir`, and answers the folder of buildings.
pub fn house_folder(dir: &Path) -> PathBuf {
    let floor = dir.join("buildings/hq/floors/first");
    std::fs::create_dir_all(&floor).expect("a folder");
    let object =
        |id: &str| json!({"id": id, "floor_id": "hq:1", "type": "door", "version": 1, "properties": {"width": 80}});
    for (name, content) in [
        ("../../building.json", json!({"id": "hq", "name": "Headquarters", "floors": ["hq:1"], "version": 1})),
        ("floor.json", json!({"id": "hq:1", "building_id": "hq", "name": "First", "level": 1, "version": 1})),
        ("objects.json", json!([object("door"), object("window")])),
        ("routes.json", json!([])),
    ] {
        std::fs::write(floor.join(name), content.to_string()).expect("a file");
    }
    dir.join("buildings")
}
