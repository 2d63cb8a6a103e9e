//! How many edits can be committed per second, over WebSocket, while others look on?
//!
//! Two people edit on the floor of a building, and 20 watch. Each has eight edits on their way, each of another object,
//! and sends the next when one is answered. Three loads: everybody has objects of his own; both have the same objects
//! and change different properties on versions that are outdated (the daemon merges); both set the same property, one
//! edit at a time, and whoever contradicts the other gives in (about a third of the edits open a conflict, which is told
//! to the two and settled). The latency is the edit's.
//!
//! An edit must cost what it changes and not what the document holds: two documents of a floor, of 1 KB and of 1.1 MB,
//! are edited in turns in the same daemon, and the CPU per edit is compared. Nothing is written back to the folder
//! there, since a file can only be replaced as a whole.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Answers, Bound, Case, Goal, Host, Stage, Window, us};
use crate::building;
use crate::crowd;
use crate::dialect::{Dialect, Heard};
use crate::figures::{Figures, Metric};
use crate::histogram::Histogram;
use crate::peers::Engine;
use crate::server::Server;
use crate::swarm::{Happening, Id, Swarm};
use crate::sys::Receiver;

pub static CASES: [Case; 8] = [
    case("edits, in memory, own objects", &[]),
    case("edits, in memory, merges", &[]),
    case("edits, in memory, conflicts", &[]),
    case("edits, durable, own objects", &[]),
    case("edits, durable, merges", &[]),
    case("edits, durable, conflicts", &[]),
    case("edits, in memory, document of 1 KB", &[]),
    case("edits, in memory, document of 1.1 MB", &[Goal { metric: Metric::CpuRatio, bound: Bound::AtMost(1.25) }]),
];

/// Which of them are about the size of documents.
const SMALL: usize = 6;
const LARGE: usize = 7;

const fn case(name: &'static str, goals: &'static [Goal]) -> Case {
    Case { name, reference: None, unit: "edit", goals }
}

const EDITORS: usize = 2;
const WATCHERS: usize = 20;
/// Edits that each has on their way.
const LANES: usize = 8;
/// How often the two documents take turns.
const TURNS: usize = 3;
const STALL: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Own,
    Merges,
    Conflicts,
}

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let mut answers = Answers::new();
    for (engine, cases) in [Engine::Memory, Engine::Embedded].into_iter().zip(CASES.chunks(3)) {
        let mut floor = None;
        let host = stage.start_with(engine, |data| {
            let buildings = data.join("buildings");
            floor = Some(building::floor(stage.stable.buildings(), &buildings)?);
            Ok(vec![origin(&buildings)])
        })?;
        let floor = floor.expect("it was made before the start");
        if !floor.is_real {
            eprintln!("edits: a generated floor, since {} has no real one", stage.stable.buildings().display());
        }
        let mut swarm = gather(stage, &host, &floor.room)?;
        for (at, (case, load)) in cases.iter().zip([Load::Own, Load::Merges, Load::Conflicts]).enumerate() {
            // Objects of its own for each load: what one has left behind does not count for the next.
            let first = at * EDITORS * LANES;
            let lanes = |editor: usize| match load {
                Load::Own => own(&floor.objects[first + editor * LANES..], "/properties/n"),
                Load::Merges => own(&floor.objects[first..], &format!("/properties/n{editor}")),
                Load::Conflicts => own(&floor.objects[first..first + 1], "/properties/n"),
            };
            let mut edits = Edits::new(lanes);
            let figures = measure(stage, &mut swarm, &host.server, &mut edits)?;
            let [merged, conflicts] = [edits.merged, edits.conflicts].map(|n| 100.0 * n as f64 / edits.done as f64);
            let (wanted, found) = match load {
                Load::Own => (0.0, merged + conflicts),
                Load::Merges => (20.0, merged),
                Load::Conflicts => (5.0, conflicts),
            };
            if (load == Load::Own && found > 0.0) || found < wanted {
                return Err(io::Error::other(format!("{}: {merged} % merged, {conflicts} % conflicts", case.name)));
            }
            answers.push((case, figures));
        }
    }
    answers.extend(sizes(stage)?);
    Ok(answers)
}

/// Edits a small and a large document in turns.
fn sizes(stage: &Stage<'_>) -> io::Result<Answers> {
    let mut rooms = None;
    let host = stage.start_with(Engine::Memory, |data| {
        let buildings = data.join("buildings");
        rooms = Some(building::small_and_large(&buildings)?);
        Ok(vec![origin(&buildings), "origin.write_back=false".to_owned()])
    })?;
    let rooms = rooms.expect("they were made before the start");
    let mut swarms = Vec::new();
    for room in &rooms {
        swarms.push((gather(stage, &host, room)?, Vec::new()));
    }
    let mut edits = rooms.each_ref().map(|room| {
        let path = |editor: usize, lane: usize| format!("/zones/z{}/n", editor * LANES + lane);
        Edits::new(|editor| (0..LANES).map(|lane| Lane::new(room, path(editor, lane))).collect())
    });
    for turn in 0..TURNS {
        for at in [turn % 2, (turn + 1) % 2] {
            let (swarm, found) = &mut swarms[at];
            found.push(measure(stage, swarm, &host.server, &mut edits[at])?);
        }
    }
    // The turn with the median cost stands for all of them.
    let cost = |figures: &Figures| figures.get(Metric::CpuUs).unwrap_or(f64::NAN);
    let mut of = swarms.into_iter().map(|(_, mut found)| {
        found.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        found.swap_remove(TURNS / 2)
    });
    let (small, mut large) = (of.next().expect("the small one"), of.next().expect("the large one"));
    large.set(Metric::CpuRatio, cost(&large) / cost(&small));
    Ok(vec![(&CASES[SMALL], small), (&CASES[LARGE], large)])
}

fn origin(buildings: &Path) -> String {
    format!("origin.path={}", buildings.display())
}

fn gather(stage: &Stage<'_>, host: &Host, room: &str) -> io::Result<Swarm> {
    let dialect = stage.dialect.in_room(room);
    crowd::gather(&host.server, &dialect, std::iter::repeat_n(0, EDITORS + WATCHERS), |_| Receiver::Usual)
}

fn own(objects: &[String], path: &str) -> Vec<Lane> {
    objects.iter().take(LANES).map(|object| Lane::new(object, path.to_owned())).collect()
}

fn measure(stage: &Stage<'_>, swarm: &mut Swarm, server: &Server, edits: &mut Edits) -> io::Result<Figures> {
    edits.begin(&stage.dialect);
    let began = Instant::now();
    let end = stage.scale.warm_up + stage.scale.window;
    let (mut window, mut figures) = (None, None);
    let mut progress = (edits.answers, began);
    while figures.is_none() || edits.under_way > 0 {
        for (id, out) in edits.out.iter_mut().enumerate().filter(|(_, out)| !out.is_empty()) {
            swarm.send(id, out)?;
            out.clear();
        }
        swarm.turn(|id, happening, now| edits.hear(&stage.dialect, id, happening, now))?;
        if let Some(problem) = edits.problem.take() {
            return Err(io::Error::other(problem));
        }
        let elapsed = began.elapsed();
        if edits.answers > progress.0 {
            progress = (edits.answers, Instant::now());
        } else if progress.1.elapsed() > STALL {
            return Err(io::Error::other(format!("{} edits wait for an answer since {STALL:?}", edits.under_way)));
        }
        match window {
            None if elapsed >= stage.scale.warm_up => {
                edits.count_anew();
                window = Some(Window::open(swarm, server)?);
            }
            Some(_) if elapsed >= end && figures.is_none() => {
                let mut found = window.take().expect("matched").close(swarm, server, edits.done)?;
                found.set(Metric::P50Us, us(edits.latency.percentile(50.0)));
                found.set(Metric::P99Us, us(edits.latency.percentile(99.0)));
                found.set(Metric::MaxUs, us(edits.latency.max()));
                figures = Some(found);
                edits.stopping = true;
            }
            _ => {}
        }
    }
    crowd::settle(swarm)?;
    Ok(figures.expect("the loop ends with figures"))
}

/// One thing that a person edits again and again, one edit at a time.
struct Lane {
    resource: String,
    path: String,
    /// The version that the person knows.
    version: u64,
    sent: Instant,
}

impl Lane {
    fn new(resource: &str, path: String) -> Self {
        Self { resource: resource.to_owned(), path, version: 1, sent: Instant::now() }
    }
}

struct Edits {
    lanes: [Vec<Lane>; EDITORS],
    /// What each says next.
    out: [Vec<u8>; EDITORS],
    /// The next value: each differs from all others.
    value: u64,
    under_way: usize,
    answers: u64,
    done: u64,
    merged: u64,
    conflicts: u64,
    stopping: bool,
    latency: Histogram,
    problem: Option<String>,
}

impl Edits {
    fn new(lanes: impl Fn(usize) -> Vec<Lane>) -> Self {
        Self {
            lanes: std::array::from_fn(lanes),
            out: Default::default(),
            value: 0,
            under_way: 0,
            answers: 0,
            done: 0,
            merged: 0,
            conflicts: 0,
            stopping: false,
            latency: Histogram::new(),
            problem: None,
        }
    }

    fn begin(&mut self, dialect: &Dialect) {
        self.stopping = false;
        for id in 0..EDITORS {
            for lane in 0..self.lanes[id].len() {
                self.under_way += 1;
                self.edit(dialect, id, lane, Instant::now());
            }
        }
    }

    fn count_anew(&mut self) {
        (self.done, self.merged, self.conflicts) = (0, 0, 0);
        self.latency.clear();
    }

    fn edit(&mut self, dialect: &Dialect, id: Id, lane: usize, now: Instant) {
        self.value += 1;
        let Lane { resource, path, version, sent } = &mut self.lanes[id][lane];
        *sent = now;
        dialect.push_edit(&mut self.out[id], lane, resource, *version, path, self.value);
    }

    fn go_on(&mut self, dialect: &Dialect, id: Id, lane: usize, now: Instant) {
        if self.stopping {
            self.under_way -= 1;
        } else {
            self.edit(dialect, id, lane, now);
        }
    }

    fn hear(&mut self, dialect: &Dialect, id: Id, happening: Happening<'_>, now: Instant) {
        let message = match happening {
            Happening::Message(message) => message,
            Happening::Closed(reason) => return self.problem = Some(format!("a member was lost: {reason}")),
            Happening::Opened => return,
        };
        match dialect.understand(message) {
            Heard::Edited { lane, version, merged, conflict } => {
                let lane = lane as usize;
                self.answers += 1;
                self.done += 1;
                self.merged += u64::from(merged);
                self.latency.record(now.saturating_duration_since(self.lanes[id][lane].sent));
                self.lanes[id][lane].version = version;
                match conflict {
                    None => self.go_on(dialect, id, lane, now),
                    Some(conflict) => {
                        self.conflicts += 1;
                        dialect.push_resolve(&mut self.out[id], conflict);
                    }
                }
            }
            // Only conflicts are settled, and they have one lane.
            Heard::Settled => {
                self.answers += 1;
                self.go_on(dialect, id, 0, now);
            }
            Heard::Refused => self.problem = Some(format!("refused: {}", String::from_utf8_lossy(message))),
            _ => {}
        }
    }
}
