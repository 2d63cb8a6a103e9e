//! `arxosrt preload replay`: recorded and made-up accesses in, figures out, and no daemon anywhere.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Ran, arxosrt};

fn replay(words: &[&str]) -> Ran {
    Ran::of(arxosrt(&[&["preload", "replay"], words].concat()).output().unwrap())
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Forty people who all go the same way, in each format.
fn recorded(folder: &Path) -> [(&'static str, PathBuf); 3] {
    let way = ["lobby", "stairs", "office", "roof"];
    let (mut sessions, mut columns, mut log) = (String::new(), "session,item,time,bytes\n".to_owned(), String::new());
    for person in 0..40 {
        sessions += &format!("{}\n", way.join(" "));
        for (step, place) in way.into_iter().enumerate() {
            let at = person * 60 + step * 10;
            columns += &format!("s{person},{place},{at},1000\n");
            let (hour, minute, second) = (at / 3600, at / 60 % 60, at % 60);
            log += &format!(
                "host{person} - - [01/Jul/1995:{hour:02}:{minute:02}:{second:02} -0400] \"GET /{place} HTTP/1.0\" 200 1000\n"
            );
        }
    }
    [
        ("sessions", file(folder, "sessions", &sessions)),
        ("columns", file(folder, "columns", &columns)),
        ("weblog", file(folder, "weblog", &log)),
    ]
}

#[test]
fn every_format_is_read_and_every_output_has_its_figures() {
    let folder = tempfile::tempdir().unwrap();
    for (format, path) in recorded(folder.path()) {
        let path = path.to_str().unwrap();
        let words = [path, "--format", format, "--cache-percent", "60"];
        let ran = replay(&[&words[..], &["-o", "json"]].concat());
        assert_eq!(ran.code, 0, "{format}");
        // Four items: each is a quarter of all, and no cache is twenty times as large as one.
        assert!(ran.err.starts_with("no item fits") && ran.err.lines().count() == 1, "{format}: {ran:?}");
        let document = ran.json();
        assert_eq!((&document["kind"], &document["accesses"]), (&json!("PreloadReplay"), &json!(160)), "{format}");
        assert_eq!(document["items"], 4, "{format}");
        let policies = document["policies"].as_array().unwrap();
        let names: Vec<&str> = policies.iter().map(|row| row["policy"].as_str().unwrap()).collect();
        assert_eq!(names, ["none", "ours", "popular", "markov", "oracle", "limit"], "{format}");
        let percent = |row: &Value| row["hit_percent"].as_f64().unwrap();
        assert!(policies.iter().all(|row| (0.0..=100.0).contains(&percent(row))), "{format}");

        let table = replay(&words);
        assert!(table.code == 0 && table.out.starts_with("160 accesses to 4 items; "), "{table:?}");
        assert!(table.out.contains("\nours ") && table.out.contains("\nPREDICTED  OBSERVED  TRIALS\n"), "{table:?}");
        let lines = replay(&[&words[..], &["-o", "ndjson"]].concat());
        assert_eq!(lines.out.lines().count(), 6, "{lines:?}");
    }
}

#[test]
fn what_is_no_trace_is_named_with_line_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let text = "s1 a 1\ns1 b soon\ns1 c 3\n";
    let mixed = file(folder.path(), "mixed", text);
    let ran = replay(&[mixed.to_str().unwrap(), "--format", "columns", "-o", "json"]);
    assert_eq!((ran.code, &ran.json()["accesses"]), (0, &json!(2)));
    assert!(ran.err.contains("1 of 3 lines") && ran.err.contains("line 2: \"s1 b soon\""), "{ran:?}");

    let ran = replay(&[mixed.to_str().unwrap(), "--format", "weblog"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("none of its 3 lines") && ran.err.contains("line 1: \"s1 a 1\""), "{ran:?}");

    let hostile = file(folder.path(), "hostile", "\u{1b}[2J\n");
    let ran = replay(&[hostile.to_str().unwrap(), "--format", "columns"]);
    assert!(ran.code == 2 && ran.err.contains("\\u{1b}[2J") && !ran.err.contains('\u{1b}'), "{ran:?}");

    let missing = folder.path().join("missing");
    let ran = replay(&[missing.to_str().unwrap(), "--format", "columns", "-o", "json"]);
    assert_eq!((ran.code, &ran.error()["code"]), (2, &json!("unreadable")));
    for bad in [
        &[mixed.to_str().unwrap()][..],
        &["--synthetic", "web", "--building", "/tmp"],
        &["--synthetic", "office", "--cache-percent", "0"],
        &[],
    ] {
        assert_eq!(replay(bad).code, 2, "{bad:?}");
    }
}

#[test]
fn where_nothing_fits_a_larger_cache_is_advised_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..400).map(|step| format!("s{},item{},{step},1000\n", step / 10, step % 40)).collect();
    let path = file(folder.path(), "columns", &text);
    let words = |percent| [path.to_str().unwrap(), "--format", "columns", "--cache-percent", percent];
    let ran = replay(&words("5"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("no item fits") && ran.err.contains("(100 bytes); try --cache-percent 50\n"), "{ran:?}");
    assert_eq!(replay(&words("50")).err, "");
}

#[test]
fn people_walk_through_a_real_buildings_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("building.json"), "{}").unwrap();
    for level in 0..3 {
        let floor = folder.path().join(format!("floors/level-{level}"));
        fs::create_dir_all(&floor).unwrap();
        fs::write(floor.join("floor.json"), format!("{{\"level\": {level}}}")).unwrap();
        fs::write(floor.join("objects.json"), vec![b' '; 5_000]).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let words = ["--synthetic", "office", "--building", path, "--cache-percent", "70"];
    let ran = replay(&[&words[..], &["-o", "json"]].concat());
    assert_eq!((ran.code, &ran.json()["items"]), (0, &json!(3)), "{ran:?}");
    let policies = ran.json()["policies"].clone();
    assert!(policies.as_array().unwrap().iter().any(|row| row["policy"] == "adjacent"), "{policies}");

    let ran = replay(&["--synthetic", "office", "--building", "/nowhere"]);
    assert!(ran.code == 2 && ran.err.contains("/nowhere"), "{ran:?}");
    fs::write(folder.path().join("floors/level-1/floor.json"), "{\"level\":").unwrap();
    let ran = replay(&words);
    assert!(ran.code == 2 && ran.err.contains("level-1/floor.json") && ran.err.contains("line 1"), "{ran:?}");
}
