//! The real program and files of what was asked for.

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Ran, arxosrt};

fn replay(words: &[&str]) -> Ran {
    Ran::of(arxosrt(&[&["cache", "replay"], words].concat()).output().unwrap())
}

fn written(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Ten keys in turn, 100 times, as each format has them.
fn in_each_format(dir: &Path) -> [(&'static str, String); 4] {
    let (mut lines, mut be32, mut arc, mut sized) = (String::new(), Vec::new(), String::new(), String::new());
    for round in 0..100_u32 {
        arc += "7 10 0 0\n";
        for key in 7..17_u32 {
            lines += &format!("{key}\n");
            be32.extend(key.to_be_bytes());
            sized += &format!("{round} {key} 1\n");
        }
    }
    [
        ("lines", written(dir, "lines", lines.as_bytes())),
        ("be32", written(dir, "be32", &be32)),
        ("arc", written(dir, "arc", arc.as_bytes())),
        ("sized", written(dir, "sized", sized.as_bytes())),
    ]
}

#[test]
fn every_format_tells_the_same_and_how_far_from_the_optimum() {
    let dir = tempfile::tempdir().unwrap();
    let mut told: Vec<Value> = Vec::new();
    for (format, file) in in_each_format(dir.path()) {
        let ran = replay(&[&file, "--format", format, "--entries", "5,10", "-o", "json"]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{format}");
        told.push(ran.json());
    }
    assert!(told.iter().all(|document| *document == told[0]));
    assert_eq!(told[0]["kind"], json!("CacheReplay"));
    let object = &told[0]["object"];
    assert_eq!((&object["accesses"], &object["items"], &object["is_cut"]), (&json!(1000), &json!(10), &json!(false)));
    let figures = object["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 14, "seven policies at two sizes");
    for row in figures {
        let hits = row["hits"].as_f64().unwrap();
        let optimum = figures.iter().find(|of| of["policy"] == "opt" && of["capacity"] == row["capacity"]).unwrap();
        let below = optimum["hits"].as_f64().unwrap() - hits;
        // Numbers that were read back from JSON may differ in their last digit.
        assert!((row["below_opt"].as_f64().unwrap() - below).abs() < 1e-9, "{row}");
        assert!(row["below_opt"].as_f64().unwrap() >= 0.0, "{row}");
        assert!(row["capacity"] == 5 || hits == 99.0, "all fit: {row}");
        assert_eq!(row["high"], Value::Null);
    }
}

#[test]
fn classes_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let log: String = (0..50).map(|at| format!("floor:{}\nlist:{at}\n", at % 2)).collect();
    let file = written(dir.path(), "log", log.as_bytes());
    let ran = replay(&[&file, "--entries", "10", "--policy", "ours", "--classes", "prefix;high=floor", "-o", "json"]);
    let row = &ran.json()["object"]["figures"][0];
    assert_eq!((&row["high"], &row["low"], &row["medium"]), (&json!(96.0), &json!(0.0), &json!(0.0)), "{ran:?}");
    let table = replay(&[&file, "--entries", "10", "--policy", "ours,opt", "--classes", "prefix;high=floor"]);
    assert!(table.out.starts_with("100 accesses to 52 distinct items\n"), "{}", table.out);
    assert!(table.out.contains("BELOW OPT") && table.out.contains("HIGH %"), "{}", table.out);
}

#[test]
fn what_is_no_trace_is_refused_with_the_place_of_the_fault() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8], format: &str, fault: &str| {
        let ran = replay(&[&written(dir.path(), name, bytes), "--format", format, "--entries", "5"]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        assert!(ran.err.contains(name) && ran.err.contains(fault), "{}", ran.err);
    };
    refused("sized", b"0 a 5\n1 b\n", "sized", "line 2 is not `TIME KEY SIZE`");
    refused("arc", b"1 2 0 0\n3 x 0 0\n", "arc", "line 2 is not `START COUNT");
    refused("be32", &[0, 0, 0, 1, 9], "be32", "the key at byte 4 has 1 of 4 bytes");
    refused("empty", b"\n\n", "lines", "no access");
    refused("packed", b"\xfd7zXZ\0rest", "be32", "xz has compressed it");
    refused("binary", &[b'a', b'\n', 0, 0, 1, 2], "lines", "the byte 0x00 at 2 is no text");
    refused("latin", b"0 caf\xe9 5\n", "sized", "the byte 0xe9 at 5 is no text");
    let missing = dir.path().join("missing");
    assert_eq!(replay(&[missing.to_str().unwrap(), "--entries", "5"]).code, 2);
    let weighed = written(dir.path(), "weighed", b"0 a 5\n1 b 6\n");
    let ran = replay(&[&weighed, "--format", "sized", "--bytes", "8", "--policy", "opt"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("opt counts entries") && ran.err.contains("--entries"), "{}", ran.err);
}
