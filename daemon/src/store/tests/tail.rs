//! What was told is found again, and nothing that was not.

use super::super::sys::beside;
use super::*;

fn record(name: &str, position: u64, count: u32, events: &[u8]) -> TailRecord {
    TailRecord { building: building(name), position, count, events: events.to_vec() }
}

/// Writes each list as one turn.
fn tell(tail: &mut Tail, batch: u64, turns: &[&[TailRecord]]) {
    for turn in turns {
        for it in *turn {
            tail.add(&it.building, it.position, it.count, &it.events);
        }
        tail.write(batch).unwrap();
    }
}

/// Lets the store go without a clean end and opens it again.
fn reopen(bench: Bench, path: &Path) -> Bench {
    drop(bench);
    Bench::open(EngineKind::Embedded, path)
}

fn segment_bytes(path: &Path) -> u64 {
    [".tail-0", ".tail-1"].iter().map(|suffix| std::fs::metadata(beside(path, suffix)).unwrap().len()).sum()
}

#[test]
fn told_events_are_recovered_until_they_are_committed() {
    let (_dir, path) = place();
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    bench.commit(batch(1, vec![part("a", 0, b"settled", 1)])).unwrap();
    let told = [record("a", 1, 1, b"one"), record("b", 0, 2, b"two three"), record("a", 2, 1, b"four")];
    tell(&mut bench.tail, 2, &[&told[..2], &told[2..]]);

    let in_order = [told[0].clone(), told[2].clone(), told[1].clone()];
    // Twice: this run may end before the hub has committed them.
    for _ in 0..2 {
        bench = reopen(bench, &path);
        assert_eq!(bench.recovered.tail, in_order);
        assert_eq!(bench.recovered.tail_dropped, 0);
    }
    // This run tells more before it ends.
    tell(&mut bench.tail, 1, &[&[record("b", 2, 1, b"five")]]);
    bench = reopen(bench, &path);
    assert_eq!(bench.recovered.tail.len(), 4);

    let parts = vec![part("a", 1, b"onefour", 2), part("b", 0, b"two threefive", 3)];
    bench.commit(batch(1, parts)).unwrap();
    bench = reopen(bench, &path);
    assert!(bench.recovered.tail.is_empty());
    assert_eq!(segment_bytes(&path), 0);
}

#[test]
fn whatever_the_last_write_left_whole_records_are_found() {
    let (_dir, path) = place();
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    let told = [record("a", 0, 1, b"first"), record("b", 0, 3, b""), record("a", 1, 1, &[7; 40])];
    let mut ends = vec![];
    for it in &told {
        tell(&mut bench.tail, 1, &[std::slice::from_ref(it)]);
        ends.push(segment_bytes(&path) as usize);
    }
    drop(bench);
    let whole = std::fs::read(beside(&path, ".tail-0")).unwrap();

    let recovered_from = |bytes: &[u8]| {
        std::fs::write(beside(&path, ".tail-0"), bytes).unwrap();
        let mut tail = Bench::open(EngineKind::Embedded, &path).recovered.tail;
        tail.sort_by_key(|it| (it.events.len() == 40, it.building.clone()));
        tail
    };
    for cut in 0..=whole.len() {
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(recovered_from(&whole[..cut]), told[..expected], "cut at {cut}");
        let mut zeros = whole[..cut].to_vec();
        zeros.resize(whole.len() + 64, 0);
        // A record whose last bytes are zeros is whole again.
        let expected = ends.iter().filter(|end| zeros[..**end] == whole[..**end]).count();
        assert_eq!(recovered_from(&zeros), told[..expected], "zeros from {cut}");
    }
    // A flipped bit costs the record that it is in and those behind it, never more, and is never taken for another.
    for at in ends[0]..ends[1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        assert_eq!(recovered_from(&flipped), told[..1], "flipped at {at}");
    }
}

#[test]
fn a_run_writes_on_behind_what_it_found_whole() {
    let (_dir, path) = place();
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    tell(&mut bench.tail, 1, &[&[record("a", 0, 1, b"one")], &[record("a", 1, 1, b"torn off")]]);
    drop(bench);
    let segment = beside(&path, ".tail-0");
    let whole = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, &whole[..whole.len() - 1]).unwrap();

    let mut bench = Bench::open(EngineKind::Embedded, &path);
    tell(&mut bench.tail, 1, &[&[record("a", 1, 1, b"two")]]);
    bench = reopen(bench, &path);
    assert_eq!(bench.recovered.tail, [record("a", 0, 1, b"one"), record("a", 1, 1, b"two")]);
}

#[test]
fn after_a_failed_commit_what_is_told_anew_counts() {
    let (_dir, path) = place();
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    let old = [record("a", 0, 1, b"kept"), record("a", 1, 2, b"gone"), record("a", 3, 1, b"gone too")];
    tell(&mut bench.tail, 1, &[&old, &[record("a", 1, 1, b"anew")]]);
    bench = reopen(bench, &path);
    assert_eq!(bench.recovered.tail, [record("a", 0, 1, b"kept"), record("a", 1, 1, b"anew")]);
}

#[test]
fn a_record_that_continues_nothing_is_counted_and_begins_a_new_epoch() {
    let (_dir, path) = place();
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    let epoch = bench.recovered.epoch.clone();
    tell(&mut bench.tail, 1, &[&[record("a", 0, 1, b"one"), record("a", 5, 1, b"six")]]);
    bench = reopen(bench, &path);
    assert_eq!(bench.recovered.tail, [record("a", 0, 1, b"one")]);
    assert_eq!(bench.recovered.tail_dropped, 1);
    assert_ne!(bench.recovered.epoch, epoch);
}

#[test]
fn the_files_stay_small_though_something_is_always_on_its_way() {
    let (_dir, path) = place();
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    let events = [7; 10_000];
    for turn in 1..=2000_u64 {
        tell(&mut bench.tail, turn, &[&[record("a", turn - 1, 1, &events)]]);
        bench.tail.committed(turn.saturating_sub(3));
        assert!(segment_bytes(&path) < 3 * TAIL_SEGMENT_BYTES, "turn {turn}");
    }
    // Of what is left, the newest records are in order over both segments.
    bench.commit(batch(1, vec![part("a", 0, b"all but three", 1997)])).unwrap();
    let bench = reopen(bench, &path);
    let positions: Vec<_> = bench.recovered.tail.iter().map(|it| it.position).collect();
    assert_eq!(positions, [1997, 1998, 1999]);
}

#[test]
fn a_tail_that_nobody_commits_is_full_at_its_bound() {
    let (_dir, path) = place();
    let mut tail = Bench::open(EngineKind::Embedded, &path).tail;
    let events = vec![7; 1 << 20];
    let mut position = 0;
    let error = loop {
        tail.add(&building("a"), position, 1, &events);
        match tail.write(1) {
            Ok(()) => position += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, TailError::Full(_)), "{error}");
    assert!(segment_bytes(&path) <= TAIL_SEGMENT_BYTES_MAX + TAIL_SEGMENT_BYTES * 2);
    // What could not be noted is not noted later, behind the hub's back.
    tail.committed(1);
    assert_eq!(segment_bytes(&path), 0);
    tail.add(&building("a"), position, 1, b"small");
    tail.write(2).unwrap();
    assert!(segment_bytes(&path) < 100);
}

#[test]
fn a_clean_end_leaves_nothing_that_is_committed() {
    let (_dir, path) = place();
    for (committed, left) in [(1, true), (2, false)] {
        let mut bench = Bench::open(EngineKind::Embedded, &path);
        tell(&mut bench.tail, 2, &[&[record("a", 0, 1, b"one")]]);
        bench.tail.close(committed).unwrap();
        bench.store.close().unwrap();
        assert_eq!(segment_bytes(&path) > 0, left);
    }
}
