//! The floors that are edited: a real one where there is one, else one of the same size; and one large document beside
//! a small one.

use std::fs;
use std::io;
use std::path::Path;

use memchr::memmem;

/// The building, floor and folder that are looked for.
const BUILDING: &str = "office-a";
const LEVEL: &str = "level-1";

/// How many objects the real floor has, and so the generated one.
pub const OBJECTS: usize = 604;

/// How many of them must have properties that can be edited.
pub const EDITED_MIN: usize = 100;

/// What the real floor's objects are together, and so the large document.
pub const LARGE_BYTES: usize = 1_150_000;

/// Members of a floor's document that can be edited, each an object.
pub const ZONES: usize = 16;

/// A floor, and the ids of its objects that can be edited.
pub struct Floor {
    pub room: String,
    pub objects: Vec<String>,
    pub is_real: bool,
}

/// Puts a floor below `into`: the real one, if `buildings` has it.
pub fn floor(buildings: &Path, into: &Path) -> io::Result<Floor> {
    let room = format!("{BUILDING}:{LEVEL}");
    let target = into.join(BUILDING).join("floors").join(LEVEL);
    fs::create_dir_all(&target)?;
    let source = buildings.join(BUILDING).join("floors").join(LEVEL);
    let is_real = source.join("objects.json").is_file();
    if is_real {
        for file in fs::read_dir(source)? {
            let file = file?;
            fs::copy(file.path(), target.join(file.file_name()))?;
        }
    } else {
        let object = |n: usize| {
            let filler = "x".repeat(LARGE_BYTES / OBJECTS - 100);
            format!(r#"{{"id":"object-{n}","floor_id":"{room}","version":1,"properties":{{"note":"{filler}"}}}}"#)
        };
        let objects: Vec<String> = (0..OBJECTS).map(object).collect();
        fs::write(target.join("objects.json"), format!("[{}]", objects.join(",\n")))?;
        let floor = format!(r#"{{"id":"{room}","building_id":"{BUILDING}","level":0,"version":1}}"#);
        fs::write(target.join("floor.json"), floor)?;
    }
    // Only this floor: the others are not measured.
    let building = format!(r#"{{"id":"{BUILDING}","name":"{BUILDING}","floors":["{room}"],"version":1}}"#);
    fs::write(into.join(BUILDING).join("building.json"), building)?;
    let objects = ids(&fs::read(target.join("objects.json"))?);
    if objects.len() < EDITED_MIN {
        let what = format!("{} objects with properties in {}, not {EDITED_MIN}", objects.len(), target.display());
        return Err(io::Error::other(what));
    }
    Ok(Floor { room, objects, is_real })
}

/// Puts the building `lab` with the floors `lab:small` and `lab:large` below `into`: the same members, and in the large
/// one as many others as it takes.
pub fn small_and_large(into: &Path) -> io::Result<[String; 2]> {
    let rooms = ["small", "large"].map(|name| format!("lab:{name}"));
    for (room, bytes) in rooms.iter().zip([0, LARGE_BYTES]) {
        let folder = into.join("lab/floors").join(&room[4..]);
        fs::create_dir_all(&folder)?;
        let mut text = format!(r#"{{"id":"{room}","building_id":"lab","level":{},"version":1"#, bytes.min(1));
        text.push_str(r#","zones":{"z":{}"#);
        for zone in 0..ZONES {
            text.push_str(&format!(r#","z{zone}":{{"name":"Zone {zone}","n":0}}"#));
        }
        // Mostly text, since the bound for documents is about memory, where small numbers weigh more than as JSON.
        let note = "x".repeat(400);
        let mut n = 0;
        while text.len() < bytes {
            text.push_str(&format!(r#","room-{n}":{{"name":"Room {n}","area":{n}.5,"note":"{note}"}}"#));
            n += 1;
        }
        text.push_str("}}");
        fs::write(folder.join("floor.json"), text)?;
        fs::write(folder.join("objects.json"), "[]")?;
    }
    let building = format!(r#"{{"id":"lab","name":"Lab","floors":["{}","{}"],"version":1}}"#, rooms[0], rooms[1]);
    fs::write(into.join("lab/building.json"), building)?;
    Ok(rooms)
}

/// The ids of the objects that have properties.
pub fn ids(objects: &[u8]) -> Vec<String> {
    let has_properties = |(_, text): &(String, &[u8])| memmem::find(text, br#""properties":{"#).is_some();
    elements(objects).into_iter().filter(has_properties).map(|(id, _)| id).collect()
}

/// The objects of a floor's list, each with its id. Each begins with its id and its floor.
pub fn elements(objects: &[u8]) -> Vec<(String, &[u8])> {
    let (begin, floor) = (br#"{"id":""#, br#"","floor_id":"#);
    let whole = |at: usize| {
        let rest = &objects[at + begin.len()..];
        let end = memchr::memchr(b'"', rest)?;
        rest[end..].starts_with(floor).then(|| (at, String::from_utf8_lossy(&rest[..end]).into_owned()))
    };
    let starts: Vec<(usize, String)> = memmem::find_iter(objects, begin).filter_map(whole).collect();
    let ends = starts.iter().skip(1).map(|(at, _)| *at).chain([objects.len()]).collect::<Vec<_>>();
    let text = |((at, id), end): ((usize, String), usize)| {
        let last = objects[at..end].iter().rposition(|byte| *byte == b'}').map_or(end, |last| at + last + 1);
        (id, &objects[at..last])
    };
    starts.into_iter().zip(ends).map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_floor_has_the_size_of_the_real_one() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let floor = floor(&dir.path().join("nowhere"), dir.path()).expect("a floor");
        assert_eq!((floor.objects.len(), floor.is_real), (OBJECTS, false));
        let size = |file: &str| fs::metadata(dir.path().join(file)).expect("a file").len() as usize;
        let bytes = size("office-a/floors/level-1/objects.json");
        assert!(bytes.abs_diff(LARGE_BYTES) < LARGE_BYTES / 20, "{bytes}");
        small_and_large(dir.path()).expect("two floors");
        assert!(size("lab/floors/small/floor.json") < 2000);
        assert!(size("lab/floors/large/floor.json") >= LARGE_BYTES);
    }

    #[test]
    fn only_objects_with_properties_count() {
        let text = br#"[{"id":"a","floor_id":"f","parts":[{"id":"b"}],"properties":{}},{"id":"c","floor_id":"f"},
            {"id":"d","floor_id":"f","properties":{"n":1}}]"#;
        assert_eq!(ids(text), ["a", "d"]);
    }
}
