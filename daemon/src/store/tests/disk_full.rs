//! A disk without space: batches fail, reads go on, and when there is space again the store recovers by itself.
//!
//! The kernel's limit on the size of a file stands for the full disk. It holds for a whole process, so each test runs
//! as a child of its own.
#![allow(unsafe_code)] // Two calls into libc, which have no safe equivalent.

use super::*;

/// Lets no file of this process grow beyond `bytes`.
fn limit_files_to(bytes: u64) {
    // SAFETY: ignoring a signal and setting a limit touch no memory of ours but `limit`, which outlives the call.
    unsafe {
        // Without this the kernel would end the process instead of failing the write.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}

fn run_as_child(test: &str, path: &Path) {
    let output = child(test, path).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "the child failed:\n{out}\n{err}");
}

#[test]
fn a_full_disk_fails_batches_until_there_is_space() {
    let Some(path) = child_store() else {
        let (_dir, path) = place();
        run_as_child("disk_full::a_full_disk_fails_batches_until_there_is_space", &path);
        // What was acknowledged before and after is there, what failed is not.
        let bench = Bench::open(EngineKind::Embedded, &path);
        let loaded = bench.store.load(&building("a")).unwrap();
        let committed: Vec<_> = loaded.batches.iter().map(|(_, events)| events[0]).collect();
        assert_eq!(committed.last(), Some(&255));
        assert!(
            committed.len() > 5 && committed[..committed.len() - 1].iter().enumerate().all(|(i, n)| i == *n as usize)
        );
        assert!(bench.recovered.clean);
        return;
    };
    let bench = Bench::open(EngineKind::Embedded, &path);
    limit_files_to(2 << 20);
    let big = |number: u64, position: u64, mark: u8| batch(number, vec![part("a", position, &[mark; 100_000], 1)]);
    let mut position = 0;
    let error = loop {
        match bench.commit(big(position + 1, position, position as u8)) {
            Ok(()) => position += 1,
            Err(error) => break error,
        }
        assert!(position < 200, "the limit does not hold");
    };
    println!("after {position} batches: {error}");

    // The door is closed, and no outcome will follow for what is refused at it.
    let refused = bench.store.commit(big(300, position, 1));
    assert!(matches!(refused, Commit::Refused(_)), "{refused:?}");
    let loaded = bench.store.load(&building("a")).unwrap();
    assert_eq!((loaded.position, loaded.batches.len() as u64), (position, position));

    limit_files_to(u64::MAX);
    assert_eq!(bench.next(), Outcome::Writable);
    bench.commit(big(301, position, 255)).unwrap();
    bench.store.close().unwrap();
    assert_eq!(bench.outcomes.iter().next(), None);
}

#[test]
fn a_tail_that_cannot_grow_keeps_exactly_what_was_noted() {
    let Some(path) = child_store() else {
        let (_dir, path) = place();
        run_as_child("disk_full::a_tail_that_cannot_grow_keeps_exactly_what_was_noted", &path);
        let tail = Bench::open(EngineKind::Embedded, &path).recovered.tail;
        let positions: Vec<_> = tail.iter().map(|it| (it.position, it.events[0])).collect();
        assert_eq!(positions, [(0, 1), (1, 1), (2, 3), (3, 3)]);
        return;
    };
    let mut bench = Bench::open(EngineKind::Embedded, &path);
    let mut note = |records: &[(u64, u8, usize)]| {
        for (position, mark, bytes) in records {
            bench.tail.add(&building("a"), *position, 1, &vec![*mark; *bytes]);
        }
        bench.tail.write(1)
    };
    note(&[(0, 1, 100), (1, 1, 100)]).unwrap();
    limit_files_to(1000);
    // The first record of this turn would fit: had it stayed, it would be taken for told.
    let error = note(&[(2, 2, 100), (3, 2, 100), (4, 2, 2000)]).unwrap_err();
    assert!(matches!(error, TailError::Io(_)), "{error}");
    limit_files_to(u64::MAX);
    note(&[(2, 3, 100), (3, 3, 10)]).unwrap();
}
