//! What every engine promises, and what the embedded one promises beyond.

mod contract;
mod crash;
mod disk_full;
mod embedded;
mod tail;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use arxosrt_core::id::BuildingId;
use tempfile::TempDir;

use super::*;

/// Longer than anything here may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// A store and what it says.
struct Bench {
    store: Store,
    tail: Tail,
    recovered: Recovered,
    outcomes: mpsc::Receiver<Outcome>,
}

impl Bench {
    fn open(kind: EngineKind, path: &Path) -> Self {
        Self::try_open(kind, path).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_open(kind: EngineKind, path: &Path) -> Result<Self, StoreError> {
        let (tell, outcomes) = mpsc::channel();
        // The receiver may be gone: a store that is dropped still reports its last batches.
        let Opened { store, tail, recovered } = open(kind, path, move |outcome| drop(tell.send(outcome)))?;
        Ok(Bench { store, tail, recovered, outcomes })
    }

    fn next(&self) -> Outcome {
        self.outcomes.recv_timeout(DEADLINE).expect("an outcome before the deadline")
    }

    /// The logs of all buildings with locks, none of which is damaged.
    fn all_with_locks(&self) -> BTreeMap<BuildingId, Loaded> {
        let all = self.store.load_all_with_locks().unwrap().into_iter();
        all.map(|(id, loaded)| (id, loaded.unwrap())).collect()
    }

    /// Commits and waits.
    fn commit(&self, batch: Batch) -> Result<(), String> {
        let number = batch.number;
        match self.store.commit(batch) {
            Commit::Done => Ok(()),
            Commit::Refused(error) => Err(error),
            Commit::Pending => match self.next() {
                Outcome::Committed { batch } if batch == number => Ok(()),
                Outcome::Failed { batch, error } if batch == number => Err(error),
                other => panic!("batch {number} was answered by {other:?}"),
            },
        }
    }
}

/// A directory of one test's own and a store's path in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    (dir, path)
}

fn building(name: &str) -> BuildingId {
    BuildingId::new(name).unwrap()
}

fn part(name: &str, expected_position: u64, events: &[u8], count: u32) -> Part {
    Part { building: building(name), expected_position, events: events.to_vec(), count, live: 0, snapshot: None }
}

fn batch(number: u64, parts: Vec<Part>) -> Batch {
    Batch { number, parts, ..Batch::default() }
}

fn audit(target: &str) -> AuditRecord {
    AuditRecord {
        at_ms: 1_795_495_569_123,
        actor: "uid 1000 (alice)".into(),
        uid: 1000,
        pid: 4242,
        role: "operate".into(),
        action: "lock.force_release".into(),
        target: target.into(),
        reason: "gone home".into(),
        result: "done".into(),
    }
}

/// Small and good enough to shuffle with; the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The seed of a random test: from `ARXOSRT_SEED`, else `default`. Printed, so a failure can be repeated.
fn seed(default: u64) -> u64 {
    let seed = std::env::var("ARXOSRT_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    println!("ARXOSRT_SEED={seed}");
    seed
}

/// Names the store of a test that runs as its own child process.
const CHILD: &str = "ARXOSRT_TEST_STORE_OF_CHILD";

/// The store to work on, if this is the child.
fn child_store() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// This very test, named as in `crash::some_test`, as a process of its own.
fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("store::tests::{test}"), "--exact", "--nocapture"]).env(CHILD, path);
    command
}
