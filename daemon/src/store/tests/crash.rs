//! `kill -9` loses nothing that was acknowledged and nothing that was told.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use super::*;

const BUILDINGS: u64 = 5;
const ROUNDS: u64 = 8;
/// Batches that the child has on their way at once.
const IN_FLIGHT: usize = 16;

/// An event of this test is a number; a batch carries the same number to two buildings; state is the set of numbers.
fn numbers(loaded: &Loaded) -> Vec<u64> {
    let state = loaded.snapshot.iter().map(|(_, state)| state);
    let events = loaded.batches.iter().map(|(_, events)| events);
    state.chain(events).flat_map(|bytes| decode(bytes)).collect()
}

fn decode(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
}

fn encode(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn name(n: u64) -> String {
    format!("building {}", n % BUILDINGS)
}

#[test]
fn kill_9_loses_no_acknowledged_batch_and_nothing_told() {
    if let Some(path) = child_store() {
        return tell_and_commit_for_ever(&path);
    }
    let mut random = Random(seed(4711));
    let (_dir, path) = place();
    let mut acknowledged = BTreeSet::new();
    let mut told = BTreeSet::new();
    for round in 0..ROUNDS {
        let lives_for = 20 + random.below(400);
        let mut child = child("crash::kill_9_loses_no_acknowledged_batch_and_nothing_told", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acks = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(number) = line.strip_prefix("ack ").and_then(|n| n.parse::<u64>().ok()) {
                acknowledged.insert(number);
                acks += 1;
                if acks == lives_for {
                    child.kill().unwrap();
                }
            } else if let Some(number) = line.strip_prefix("told ").and_then(|n| n.parse::<u64>().ok()) {
                told.insert(number);
            }
        }
        assert!(!child.wait().unwrap().success() && acks >= lives_for, "round {round}: the child ended by itself");

        // Dropped without `close`: the next child finds the tail as this child left it.
        let bench = Bench::open(EngineKind::Embedded, &path);
        assert!(!bench.recovered.clean && !bench.recovered.power_lost && bench.recovered.tail_dropped == 0);
        let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
        for it in &bench.recovered.buildings {
            let loaded = bench.store.load(&it.id).unwrap();
            assert_eq!(loaded.position, numbers(&loaded).len() as u64);
            numbers(&loaded).iter().for_each(|n| *seen.entry(*n).or_default() += 1);
        }
        assert!(seen.values().all(|times| *times == 2), "round {round}: a batch is there in part or twice: {seen:?}");
        let committed: BTreeSet<_> = seen.into_keys().collect();
        let lost: Vec<_> = acknowledged.difference(&committed).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and lost: {lost:?}");

        let mut known = committed;
        known.extend(bench.recovered.tail.iter().flat_map(|it| decode(&it.events)));
        let lost: Vec<_> = told.difference(&known).collect();
        assert!(lost.is_empty(), "round {round}: told and lost: {lost:?}");
    }
    println!("{} acknowledged, {} told", acknowledged.len(), told.len());
}

/// What a hub does: note, tell, commit; and what was told before the last end is committed first.
fn tell_and_commit_for_ever(path: &Path) {
    let say = |what: &str, number: u64| writeln!(std::io::stdout(), "{what} {number}").unwrap();
    let (tell, outcomes) = mpsc::channel();
    let Opened { store, mut tail, recovered } =
        open(EngineKind::Embedded, path, move |outcome| tell.send(outcome).unwrap()).unwrap();

    let mut state: BTreeMap<BuildingId, Vec<u64>> = BTreeMap::new();
    for it in &recovered.buildings {
        state.insert(it.id.clone(), numbers(&store.load(&it.id).unwrap()));
    }
    let mut again: BTreeMap<BuildingId, Vec<u64>> = BTreeMap::new();
    for it in &recovered.tail {
        again.entry(it.building.clone()).or_default().extend(decode(&it.events));
    }
    let parts = again.into_iter().map(|(id, numbers)| {
        let known = state.entry(id.clone()).or_default();
        let part = part(id.as_str(), known.len() as u64, &encode(&numbers), numbers.len() as u32);
        known.extend(numbers);
        part
    });
    let mut batch_number = 1;
    assert_eq!(store.commit(batch(batch_number, parts.collect())), Commit::Pending);
    let mut in_flight = 1;

    let mut next = state.values().flatten().max().map_or(1, |last| last + 1);
    let mut event_of_batch = BTreeMap::new();
    loop {
        let names = [name(next), name(next + 1)];
        for name in &names {
            tail.add(&building(name), state.entry(building(name)).or_default().len() as u64, 1, &next.to_le_bytes());
        }
        batch_number += 1;
        tail.write(batch_number).unwrap();
        say("told", next);
        let parts = names.iter().map(|name| {
            let known = state.get_mut(&building(name)).unwrap();
            let mut part = part(name, known.len() as u64, &next.to_le_bytes(), 1);
            known.push(next);
            part.snapshot = known.len().is_multiple_of(50).then(|| encode(known));
            part
        });
        assert_eq!(store.commit(batch(batch_number, parts.collect())), Commit::Pending);
        event_of_batch.insert(batch_number, next);
        in_flight += 1;
        next += 1;
        while in_flight >= IN_FLIGHT {
            let Outcome::Committed { batch } = outcomes.recv().unwrap() else { panic!("a commit failed") };
            tail.committed(batch);
            in_flight -= 1;
            if let Some(event) = event_of_batch.remove(&batch) {
                say("ack", event);
            }
        }
    }
}
