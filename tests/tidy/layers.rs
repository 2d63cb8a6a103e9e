//! Arrows point inward: the tool and the daemon know the core, the core knows neither, and no clock, socket or file.
//! Within the core, the domain does not know how it is spoken of on the wire.

use crate::packages::metadata;
use crate::{complain, tree};

/// Which packages of the workspace each part of the product may use.
const INWARD: [(&str, &[&str]); 4] = [
    ("arxosrt-core", &[]),
    ("arxosrt-replay", &["arxosrt-core"]),
    ("arxosrtd", &["arxosrt-core"]),
    ("arxosrt", &["arxosrt-core", "arxosrt-replay"]),
];

/// What the core is made with: data structures and encodings, nothing that could reach out.
const CORE_USES: [&str; 5] = ["foldhash", "postcard", "serde", "serde_json", "smallvec"];

/// What would make the core depend on when and where it runs.
const WORLD: [&str; 17] = [
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::",
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::io::std",
    "println!",
    "eprintln!",
    "rand::",
    "getrandom",
    "tokio",
    "hash_map::RandomState",
    "thread_local!",
];

/// The domain: everything in the core but the wire itself, and what operators are told.
const DOMAIN: [&str; 8] =
    ["src/building", "src/cache", "src/edit", "src/lock", "src/directory", "src/preload", "src/id.rs", "src/time.rs"];

#[test]
fn packages_depend_inward_only() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let names: Vec<&str> = INWARD.iter().map(|(name, _)| *name).collect();
    let ours = |name: &str| packages.iter().any(|p| p["name"] == name && p["source"].is_null());
    let mut complaints = Vec::new();
    for (name, allowed) in INWARD {
        let package = packages.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("no package {name}"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let in_product = dependency["kind"] != "dev";
            if in_product && ours(used) && !allowed.contains(&used) {
                complaints.push(format!("{name} uses {used}"));
            }
            if in_product && name == "arxosrt-core" && !CORE_USES.contains(&used) {
                complaints.push(format!("{name} uses {used}, which is not in CORE_USES"));
            }
        }
    }
    assert!(names.iter().all(|name| ours(name)));
    complain("packages may only use what lies further inside", complaints);
}

#[test]
fn the_core_touches_nothing_of_the_world() {
    let mut complaints = Vec::new();
    for file in tree::program_files("src") {
        for (number, line) in file.program() {
            complaints.extend(
                WORLD
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}:{number} has {word}", file.path)),
            );
        }
    }
    complain("time, facts and chance are given to the core; it fetches nothing", complaints);
}

#[test]
fn the_domain_does_not_know_the_wire() {
    let mut complaints = Vec::new();
    for file in tree::program_files("src").iter().filter(|file| DOMAIN.iter().any(|part| file.path.starts_with(part))) {
        for (number, line) in file.program() {
            if line.contains("crate::wire") || line.contains("super::wire") {
                complaints.push(format!("{}:{number} knows the wire", file.path));
            }
        }
    }
    complain("the domain does not know how it is spoken of on the wire", complaints);
}
