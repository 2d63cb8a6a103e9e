//! What a store beside the daemon promises beyond the contract.

use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use rusqlite::Connection;

use super::*;

/// Changes the file as nobody should.
fn tamper(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn refusal(path: &Path) -> String {
    Bench::try_open(EngineKind::Embedded, path).err().expect("must be refused").to_string()
}

#[test]
fn a_store_comes_back_with_its_names_and_says_how_it_ended() {
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    let first = bench.recovered;
    bench.store.close().unwrap();

    let bench = Bench::open(EngineKind::Embedded, &path);
    assert!(bench.recovered.clean && !bench.recovered.power_lost);
    assert_eq!((&bench.recovered.epoch, bench.recovered.session_key), (&first.epoch, first.session_key));
    assert_eq!(bench.recovered.born_ms, first.born_ms);
    drop(bench.store);

    // The process died, the machine did not.
    let bench = Bench::open(EngineKind::Embedded, &path);
    assert!(!bench.recovered.clean && !bench.recovered.power_lost);
    assert_eq!(bench.recovered.epoch, first.epoch);
}

#[test]
fn an_unclean_end_before_another_boot_begins_a_new_epoch_once() {
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    let first = bench.recovered.epoch;
    drop(bench.store);
    tamper(&path, "UPDATE meta SET value = 'another boot' WHERE key = 'boot_id'");

    let bench = Bench::open(EngineKind::Embedded, &path);
    assert!(bench.recovered.power_lost);
    let second = bench.recovered.epoch;
    assert_ne!(second, first);
    bench.store.close().unwrap();

    // A clean end loses nothing, whatever happens to the machine after it.
    tamper(&path, "UPDATE meta SET value = 'another boot' WHERE key = 'boot_id'");
    let bench = Bench::open(EngineKind::Embedded, &path);
    assert!(!bench.recovered.power_lost);
    assert_eq!(bench.recovered.epoch, second);
}

#[test]
fn closing_commits_what_waits_and_answers_in_order() {
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    for n in 0..500 {
        let batch = Batch { last_token: n, ..batch(n + 1, vec![part("a", n, b"e", 1)]) };
        assert_eq!(bench.store.commit(batch), Commit::Pending);
    }
    bench.store.close().unwrap();
    let answers: Vec<_> = bench.outcomes.iter().collect();
    assert_eq!(answers, (1..=500).map(|batch| Outcome::Committed { batch }).collect::<Vec<_>>());

    let bench = Bench::open(EngineKind::Embedded, &path);
    assert_eq!(bench.recovered.buildings, [BuildingMeta { id: building("a"), position: 500, live: 0 }]);
    assert_eq!(bench.recovered.last_token, 499);
    assert_eq!(bench.store.load(&building("a")).unwrap().batches.len(), 500);
}

#[test]
fn sound_batches_of_a_group_are_committed_and_everything_behind_a_wrong_one_fails() {
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    // Whether these make one group or several must not matter.
    let wrong = |number| batch(number, vec![part("a", 9, b"wrong", 1)]);
    let all = [batch(1, vec![part("a", 0, b"one", 1)]), wrong(2), batch(3, vec![part("b", 0, b"late", 1)])];
    let mut refused = Vec::new();
    for batch in all {
        let number = batch.number;
        if let Commit::Refused(_) = bench.store.commit(batch) {
            refused.push(number);
        }
    }
    assert_eq!(bench.next(), Outcome::Committed { batch: 1 });
    loop {
        match bench.next() {
            Outcome::Failed { batch, .. } => refused.push(batch),
            Outcome::Writable => break,
            Outcome::Committed { batch } => {
                panic!("batch {batch} was committed behind a wrong one")
            }
        }
    }
    refused.sort_unstable();
    assert_eq!(refused, [2, 3]);
    assert_eq!(bench.store.load(&building("b")).unwrap(), Loaded::default());
    bench.commit(batch(4, vec![part("a", 1, b"two", 1)])).unwrap();
}

#[test]
fn one_store_has_one_owner() {
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    let message = refusal(&path);
    assert!(message.contains("in use by process") && message.contains("store.db"), "{message}");
    assert!(message.ends_with(&std::process::id().to_string()), "{message}");
    bench.store.close().unwrap();
    Bench::open(EngineKind::Embedded, &path);
}

#[test]
fn a_store_that_cannot_be_used_is_named_with_the_reason() {
    let (dir, path) = place();
    let missing = dir.path().join("no/such/dir/store.db");
    assert!(refusal(&missing).starts_with(&format!("cannot open {}", missing.display())));

    // Takes no new files, not even from root.
    assert!(refusal(Path::new("/sys/store.db")).starts_with("cannot open /sys/store.db"));

    std::fs::write(&path, "not a database, but long enough to be taken for one\n".repeat(100)).unwrap();
    assert!(refusal(&path).contains("store.db is damaged: "), "{}", refusal(&path));

    std::fs::remove_file(&path).unwrap();
    tamper(&path, "CREATE TABLE recipes (name TEXT)");
    assert!(refusal(&path).ends_with("store.db is a SQLite file of another program, not a store"));

    std::fs::remove_file(&path).unwrap();
    Bench::open(EngineKind::Embedded, &path).store.close().unwrap();
    tamper(&path, "PRAGMA user_version = 99");
    assert!(refusal(&path).contains("has version 99, this release knows versions up to 1"), "{}", refusal(&path));

    tamper(&path, "PRAGMA user_version = 1; DELETE FROM meta WHERE key = 'session_key'");
    assert!(refusal(&path).ends_with("is damaged: it has no session_key"), "{}", refusal(&path));
}

#[test]
fn a_log_with_a_gap_is_reported_and_not_given_out() {
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    for n in 0..4 {
        bench.commit(batch(n + 1, vec![Part { live: 1, ..part("a", n, b"e", 1) }])).unwrap();
    }
    bench.commit(batch(5, vec![part("b", 0, b"e", 1)])).unwrap();
    for (damage, message) in [
        ("DELETE FROM log WHERE position = 1", "the log of building a has a gap before 2"),
        ("DELETE FROM log WHERE position = 3", "the log of building a has a gap before 2"),
        ("DELETE FROM log WHERE position = 2", "the log of building a ends at 1, not at 4"),
    ] {
        tamper(&path, damage);
        let error = bench.store.load(&building("a")).unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
        let mut all = bench.store.load_all_with_locks().unwrap();
        let (id, not_loaded) = all.pop().unwrap();
        let error = not_loaded.unwrap_err();
        assert!(all.is_empty() && id == building("a") && error.is_damage(), "{error}");
        assert!(error.to_string().ends_with(message), "{error}");
        assert_eq!(bench.store.load(&building("b")).unwrap().position, 1);
    }
}

#[test]
fn only_the_owner_may_read_the_files() {
    let (dir, path) = place();
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    bench.tail.add(&building("a"), 0, 1, b"e");
    bench.tail.write(1).unwrap();
    bench.commit(batch(1, vec![part("a", 0, b"e", 1)])).unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // SQLite's index of the -wal file holds page numbers only, but it has the store's mode as well.
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        names.push(name);
    }
    names.sort();
    let expected = ["", "-shm", "-wal", ".lock", ".tail-0", ".tail-1"];
    assert_eq!(names, expected.map(|suffix| format!("store.db{suffix}")));
}

#[test]
fn what_is_committed_moves_into_the_store_when_nothing_comes() {
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    let big = 8 << 20;
    bench.commit(batch(1, vec![part("a", 0, &vec![7; big], 1)])).unwrap();
    let until = Instant::now() + DEADLINE;
    while std::fs::metadata(&path).unwrap().len() < big as u64 {
        assert!(Instant::now() < until, "no checkpoint was made");
        std::thread::yield_now();
    }
}

#[test]
fn after_a_clean_end_the_file_alone_is_the_store() {
    let (dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    bench.commit(batch(1, vec![part("a", 0, b"e", 1)])).unwrap();
    bench.store.close().unwrap();
    let copy = dir.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    let bench = Bench::open(EngineKind::Embedded, &copy);
    assert!(bench.recovered.clean);
    assert_eq!(bench.store.load(&building("a")).unwrap().position, 1);
}

#[test]
fn a_hundred_thousand_locked_buildings_come_back() {
    const BUILDINGS: u64 = 100_000;
    let (_dir, path) = place();
    let bench = Bench::open(EngineKind::Embedded, &path);
    let locked = |i: u64| Part { live: 1, ..part(&format!("building {i}"), 0, &i.to_le_bytes(), 1) };
    for number in 1..=100 {
        let parts = (BUILDINGS / 100 * (number - 1)..BUILDINGS / 100 * number).map(locked);
        bench.commit(batch(number, parts.collect())).unwrap();
    }
    bench.store.close().unwrap();

    let bench = Bench::open(EngineKind::Embedded, &path);
    assert_eq!(bench.recovered.buildings.len() as u64, BUILDINGS);
    let begun = Instant::now();
    let all = bench.store.load_all_with_locks().unwrap();
    println!("{} logs in {:?}", all.len(), begun.elapsed());
    assert_eq!(all.len() as u64, BUILDINGS);
    assert!(all.iter().all(|(id, loaded)| {
        let loaded = loaded.as_ref().unwrap();
        let number = u64::from_le_bytes(loaded.batches[0].1[..].try_into().unwrap());
        id.as_str() == format!("building {number}")
    }));
}
