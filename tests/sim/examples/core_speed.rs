//! How fast is the core alone? Prints one `name value unit` line per figure.
//!
//! Times are the time that this thread ran, so that what else the machine does counts as little as possible.
//!
//! `cargo run --release -p arxosrt-sim --example core_speed`
//!
//! Named parts run alone (`-- cycles replay`), which is how their instructions are counted under callgrind.

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::building::codec::{decode_events, encode_events};
use arxosrt_core::building::command::{Actor, Command, Facts, Place, Reply, Target, Targets};
use arxosrt_core::building::event::Event;
use arxosrt_core::building::{Building, LockSettings, Settings};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use arxosrt_core::lock::{LockType, Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use smallvec::smallvec;

const LOCKS: usize = 100_000;
const FLOORS: usize = 200;
const SESSIONS: usize = 500;
const CYCLES: usize = 1_000_000;
const BATCH: usize = 64;

/// A part that can be run alone, by name.
type Part = (&'static str, fn(&Bench));

fn main() {
    let bench = Bench::new();
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let parts: [Part; 4] = [("cycles", cycles), ("expiry", expiry), ("replay", replay), ("restart", restart)];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            part(&bench);
        }
    }
}

/// People and things, made beforehand so that only the core is measured.
struct Bench {
    tokens: TokenSource,
    actors: Vec<Actor>,
    targets: Vec<Targets>,
    settings: Arc<Settings>,
}

impl Bench {
    fn new() -> Self {
        let actor = |n: usize| Actor {
            session: SessionId::new(&format!("session-{n:08}")).expect("a good id"),
            user: UserId::new(&format!("user-{n:06}")).expect("a good id"),
            username: Arc::from(format!("Person {n}")),
            legacy: false,
        };
        let floor = |n: usize| RoomId::new(&format!("floor_{n}")).expect("a good id");
        let floors: Vec<RoomId> = (0..FLOORS).map(floor).collect();
        let targets = |n: usize| {
            let resource = ResourceId::new(&format!("TCHS_L2_E_Receptacle_{n:06}")).expect("a good id");
            Targets::from([Target { resource, place: Place::Item(smallvec![floors[n % FLOORS].clone()]) }])
        };
        let locks = LockSettings { per_session_max: LOCKS, ..LockSettings::default() };
        Bench {
            tokens: TokenSource::after(Token(0)),
            actors: (0..SESSIONS).map(actor).collect(),
            targets: (0..LOCKS).map(targets).collect(),
            settings: Arc::new(Settings { locks, ..Settings::default() }),
        }
    }

    fn building(&self) -> Building {
        Building::new(BuildingId::new("bench").expect("a good id"), self.settings.clone())
    }

    fn facts(&self, now: u64) -> Facts<'_> {
        Facts { now: Mono(now), wall: Wall(1_800_000_000_000 + now as i64), tokens: &self.tokens }
    }

    fn acquire(&self, n: usize) -> Command {
        Command::Acquire {
            actor: self.actors[n % SESSIONS].clone(),
            lock_type: LockType::ObjectEdit,
            targets: self.targets[n % LOCKS].clone(),
            ttl_ms: None,
            wait_ms: 0,
            metadata: None,
        }
    }

    /// Acquires the first `count` things at time 0; the log of it in batches.
    fn fill(&self, building: &mut Building, count: usize) -> Vec<Vec<u8>> {
        let (mut log, mut batch) = (Vec::new(), Vec::new());
        for n in 0..count {
            let decision = building.decide(&self.facts(0), &self.acquire(n));
            assert!(matches!(decision.reply, Reply::Granted { renewed: false, .. }), "{:?}", decision.reply);
            building.apply(&self.facts(0), &decision);
            batch.extend(decision.events);
            if batch.len() >= BATCH || n + 1 == count {
                log.push(encode_events(&std::mem::take(&mut batch)));
            }
        }
        log
    }
}

/// Counts the time that this thread runs; the kernel keeps it in nanoseconds.
struct Stopwatch(Duration);

impl Stopwatch {
    fn start() -> Self {
        Stopwatch(Self::ran())
    }

    fn elapsed(&self) -> Duration {
        Self::ran() - self.0
    }

    fn ran() -> Duration {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with /proc");
        let ran = stat.split(' ').next().and_then(|ns| ns.parse().ok());
        Duration::from_nanos(ran.expect("nanoseconds come first"))
    }
}

fn print(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}

/// Acquire and release, while 20 000 other locks are held.
fn cycles(bench: &Bench) {
    let mut building = bench.building();
    bench.fill(&mut building, 20_000);
    let commands: Vec<Command> = (20_000..40_000).map(|n| bench.acquire(n)).collect();
    let start = Stopwatch::start();
    for n in 0..CYCLES {
        let facts = bench.facts(n as u64 / 1000);
        let command = &commands[n % commands.len()];
        let granted = building.decide(&facts, command);
        building.apply(&facts, &granted);
        let (Reply::Granted { lock, .. }, Command::Acquire { actor, .. }) = (&granted.reply, command) else {
            unreachable!("nobody else wants it");
        };
        let released = building.decide(&facts, &Command::Release { actor: actor.clone(), lock: lock.id });
        building.apply(&facts, &released);
    }
    print("lock_cycles", CYCLES as f64 / start.elapsed().as_secs_f64(), "per_s");
}

/// 100 000 leases that end in the same millisecond.
fn expiry(bench: &Bench) {
    let mut building = bench.building();
    bench.fill(&mut building, LOCKS);
    let at = bench.settings.locks.ttl_ms;
    // The two warnings of each, so that only the end is measured.
    for before_ms in bench.settings.locks.warn_ms {
        run_due(bench, &mut building, at - before_ms);
    }
    assert_eq!(building.lock_count(), LOCKS);
    let (total, worst, steps) = run_due(bench, &mut building, at);
    assert_eq!(building.lock_count(), 0);
    print("expiry_total", total.as_secs_f64() * 1e3, "ms");
    print("expiry_worst_step", worst.as_secs_f64() * 1e3, "ms");
    print("expiry_steps", steps as f64, "steps");
}

fn run_due(bench: &Bench, building: &mut Building, now: u64) -> (Duration, Duration, usize) {
    let (mut total, mut worst, mut steps) = (Duration::ZERO, Duration::ZERO, 0);
    while building.due().is_some_and(|due| due <= Mono(now)) {
        let start = Stopwatch::start();
        let facts = bench.facts(now);
        let decision = building.decide(&facts, &Command::Tick);
        building.apply(&facts, &decision);
        drop(decision);
        let took = start.elapsed();
        (total, worst, steps) = (total + took, worst.max(took), steps + 1);
    }
    (total, worst, steps)
}

/// Decoding and folding a log of a million events: grants and releases.
fn replay(bench: &Bench) {
    let mut building = bench.building();
    let mut log = Vec::new();
    let mut batch: Vec<Event> = Vec::new();
    let mut count = 0;
    for n in 0..500_000 {
        let facts = bench.facts(0);
        let command = bench.acquire(n);
        let granted = building.decide(&facts, &command);
        building.apply(&facts, &granted);
        let (Reply::Granted { lock, .. }, Command::Acquire { actor, .. }) = (&granted.reply, command) else {
            unreachable!("nobody else wants it");
        };
        let released = building.decide(&facts, &Command::Release { actor, lock: lock.id });
        building.apply(&facts, &released);
        batch.extend(granted.events);
        batch.extend(released.events);
        if batch.len() >= BATCH {
            count += batch.len();
            log.push(encode_events(&std::mem::take(&mut batch)));
        }
    }
    let start = Stopwatch::start();
    let mut again = bench.building();
    for bytes in &log {
        for event in decode_events(bytes).expect("what was just encoded") {
            again.evolve(&event);
        }
    }
    let took = start.elapsed();
    assert_eq!(again.position(), count as u64);
    print("replay", count as f64 / took.as_secs_f64(), "events_per_s");
}

/// A restart with 100 000 locks: from the snapshot, and from the log alone.
fn restart(bench: &Bench) {
    let mut building = bench.building();
    let log = bench.fill(&mut building, LOCKS);
    let snapshot = building.snapshot();
    let now = Mono(1_000_000);
    let start = Stopwatch::start();
    let mut restored =
        Building::restore(building.id().clone(), &snapshot, bench.settings.clone()).expect("what was just encoded");
    restored.after_restart(now, Wall(1_800_000_001_000));
    print("restart_from_snapshot", start.elapsed().as_secs_f64() * 1e3, "ms");
    assert_eq!(restored.lock_count(), LOCKS);
    let start = Stopwatch::start();
    let mut replayed = bench.building();
    for bytes in &log {
        for event in decode_events(bytes).expect("what was just encoded") {
            replayed.evolve(&event);
        }
    }
    replayed.after_restart(now, Wall(1_800_000_001_000));
    print("restart_from_log", start.elapsed().as_secs_f64() * 1e3, "ms");
    assert_eq!(replayed.digest(), restored.digest());
}
