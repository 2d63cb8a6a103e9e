//! What both engines promise.

use std::collections::BTreeMap;

use super::*;

/// Runs `check` on a new store of each kind.
fn on_both(check: impl Fn(&Bench)) {
    for kind in [EngineKind::Memory, EngineKind::Embedded] {
        println!("{kind:?}");
        let (_dir, path) = place();
        check(&Bench::open(kind, &path));
    }
}

#[test]
fn a_new_store_is_empty_and_has_names_of_its_own() {
    on_both(|bench| {
        let it = &bench.recovered;
        assert_eq!(it.epoch.len(), 8);
        assert!(it.epoch.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{}", it.epoch);
        assert_ne!(it.session_key, [0; 32]);
        assert_eq!((it.last_token, it.clean, it.power_lost, it.tail_dropped), (0, true, false, 0));
        assert!(it.buildings.is_empty() && it.tail.is_empty());
        assert_eq!(bench.store.load(&building("nowhere")).unwrap(), Loaded::default());
        assert!(bench.store.load_all_with_locks().unwrap().is_empty());
        assert!(bench.store.audit_list(10).unwrap().is_empty());
    });
}

#[test]
fn what_is_committed_is_loaded_in_order() {
    on_both(|bench| {
        bench.commit(batch(1, vec![part("a", 0, b"one two", 2), part("b", 0, b"x", 1)])).unwrap();
        bench.commit(batch(2, vec![part("a", 2, b"three", 1)])).unwrap();
        let a = bench.store.load(&building("a")).unwrap();
        assert_eq!(a.position, 3);
        assert_eq!(a.batches, [(0, b"one two".to_vec()), (2, b"three".to_vec())]);
        assert_eq!(bench.store.load(&building("b")).unwrap().batches, [(0, b"x".to_vec())]);
    });
}

#[test]
fn a_batch_that_was_decided_elsewhere_leaves_no_trace_and_the_store_goes_on() {
    on_both(|bench| {
        bench.commit(batch(1, vec![part("a", 0, b"one", 1)])).unwrap();
        for (number, wrong) in
            [(2, part("a", 0, b"again", 1)), (3, part("a", 7, b"later", 1)), (4, part("n", 5, b"", 1))]
        {
            let mut bad = batch(number, vec![part("b", 0, b"sound", 1), wrong]);
            bad.audit.push(audit("never"));
            let error = bench.commit(bad).unwrap_err();
            assert!(error.contains("at position"), "{error}");
            assert_eq!(bench.next(), Outcome::Writable);
        }
        assert_eq!(bench.store.load(&building("b")).unwrap(), Loaded::default());
        assert!(bench.store.audit_list(10).unwrap().is_empty());
        bench.commit(batch(5, vec![part("a", 1, b"two", 1), part("b", 0, b"sound", 1)])).unwrap();
        assert_eq!(bench.store.load(&building("a")).unwrap().position, 2);
    });
}

#[test]
fn a_snapshot_replaces_the_log_up_to_its_position() {
    on_both(|bench| {
        bench.commit(batch(1, vec![part("a", 0, b"one", 1), part("b", 0, b"b", 1)])).unwrap();
        let mut with_state = part("a", 1, b"two three", 2);
        with_state.snapshot = Some(b"state at 3".to_vec());
        bench.commit(batch(2, vec![with_state])).unwrap();
        bench.commit(batch(3, vec![part("a", 3, b"four", 1)])).unwrap();
        let a = bench.store.load(&building("a")).unwrap();
        assert_eq!(a.position, 4);
        assert_eq!(a.snapshot, Some((3, b"state at 3".to_vec())));
        assert_eq!(a.batches, [(3, b"four".to_vec())]);

        let mut newer = part("a", 4, b"", 0);
        newer.snapshot = Some(b"state at 4".to_vec());
        bench.commit(batch(4, vec![newer])).unwrap();
        let a = bench.store.load(&building("a")).unwrap();
        assert_eq!((a.position, a.snapshot, a.batches.len()), (4, Some((4, b"state at 4".to_vec())), 0));
        assert_eq!(bench.store.load(&building("b")).unwrap().batches.len(), 1);
    });
}

#[test]
fn buildings_with_locks_are_loaded_in_one_pass() {
    on_both(|bench| {
        let locked = |name, position, locks| Part { live: locks, ..part(name, position, name.as_bytes(), 1) };
        bench.commit(batch(1, vec![locked("a", 0, 1), locked("b", 0, 0), locked("c", 0, 3)])).unwrap();
        bench.commit(batch(2, vec![locked("c", 1, 2), locked("d", 0, 1)])).unwrap();
        let mut freed = locked("d", 1, 0);
        freed.snapshot = Some(b"d".to_vec());
        bench.commit(batch(3, vec![freed])).unwrap();

        let all = bench.all_with_locks();
        assert_eq!(all.keys().map(BuildingId::as_str).collect::<Vec<_>>(), ["a", "c"]);
        for (id, loaded) in all {
            assert_eq!(loaded, bench.store.load(&id).unwrap(), "{id}");
        }
    });
}

#[test]
fn audit_is_kept_with_its_batch_and_listed_newest_first() {
    on_both(|bench| {
        let of = |number, audit| Batch { number, audit, ..Batch::default() };
        bench.commit(of(1, vec![audit("one"), audit("two")])).unwrap();
        bench.commit(of(2, vec![audit("three")])).unwrap();
        let rows = bench.store.audit_list(2).unwrap();
        let rows: Vec<_> = rows.into_iter().map(|row| (row.id, row.record)).collect();
        assert_eq!(rows, [(3, audit("three")), (2, audit("two"))]);
    });
}

#[test]
fn the_oldest_audit_records_go_first() {
    on_both(|bench| {
        let many = (0..AUDIT_RECORDS_MAX).map(|i| audit(&i.to_string())).collect();
        bench.commit(Batch { number: 1, audit: many, ..Batch::default() }).unwrap();
        bench.commit(Batch { number: 2, audit: vec![audit("last")], ..Batch::default() }).unwrap();
        let rows = bench.store.audit_list(usize::MAX).unwrap();
        assert_eq!(rows.len() as u64, AUDIT_RECORDS_MAX);
        assert_eq!((rows[0].id, &*rows[0].record.target), (AUDIT_RECORDS_MAX + 1, "last"));
        assert_eq!(rows.last().map(|row| (row.id, &*row.record.target)), Some((2, "1")));
    });
}

/// Random batches, beside the simplest thing that could hold them.
#[test]
fn a_store_holds_what_a_map_would_hold() {
    let mut random = Random(seed(20_261_123));
    for kind in [EngineKind::Memory, EngineKind::Embedded] {
        let (_dir, path) = place();
        let mut bench = Bench::open(kind, &path);
        let mut model: BTreeMap<BuildingId, (u32, Loaded)> = BTreeMap::new();
        let (mut number, mut last_token) = (0, 0);
        for step in 0..300 {
            number += 1;
            last_token += random.below(3);
            let names = ["a", "b", "c/d", "🏢", "e"];
            let mut parts = Vec::new();
            for name in names.iter().filter(|_| random.below(3) == 0).collect::<Vec<_>>() {
                let (locks, loaded) = model.entry(building(name)).or_default();
                let events = vec![random.next() as u8; random.below(5000) as usize];
                let mut part = part(name, loaded.position, &events, random.below(4) as u32);
                part.live = random.below(3) as u32;
                part.snapshot = (random.below(8) == 0).then(|| vec![random.next() as u8; random.below(9000) as usize]);
                *locks = part.live;
                loaded.position += u64::from(part.count);
                if let Some(state) = &part.snapshot {
                    loaded.snapshot = Some((loaded.position, state.clone()));
                    loaded.batches.clear();
                } else if part.count > 0 {
                    loaded.batches.push((part.expected_position, events));
                }
                parts.push(part);
            }
            bench.commit(Batch { number, parts, last_token, audit: Vec::new() }).unwrap();

            if kind == EngineKind::Embedded && random.below(30) == 0 {
                if random.below(2) == 0 {
                    bench.store.close().unwrap();
                } else {
                    drop(bench.store);
                }
                bench = Bench::open(kind, &path);
                number = 0;
                assert_eq!(bench.recovered.last_token, last_token, "step {step}");
                let mut found = bench.recovered.buildings.clone();
                found.sort_by(|a, b| a.id.cmp(&b.id));
                let expected = model.iter().map(|(id, (live, loaded))| BuildingMeta {
                    id: id.clone(),
                    position: loaded.position,
                    live: *live,
                });
                assert_eq!(found, expected.collect::<Vec<_>>(), "step {step}");
            }
        }
        for (id, (_, expected)) in &model {
            assert_eq!(&bench.store.load(id).unwrap(), expected, "{kind:?} {id}");
        }
        let locked = bench.all_with_locks();
        let expected = model.into_iter().filter(|(_, (locks, _))| *locks > 0).map(|(id, (_, loaded))| (id, loaded));
        assert_eq!(locked, expected.collect::<BTreeMap<_, _>>(), "{kind:?}");
    }
}
