//! How many editing locks can be taken and given back per second, over WebSocket?
//!
//! Each of 64 people is in a room of their own and has some objects in hand; for each, the lock is acquired, the answer
//! awaited, released, the answer awaited, and so on. Nobody wants what another has. The latency is the acquisition's.
//! An operation is a whole cycle: two requests, two answers, and the two messages that the room is told.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::{Answers, Bound, Case, Goal, Stage, Window, us};
use crate::crowd;
use crate::dialect::{Dialect, Heard};
use crate::figures::{Figures, Metric};
use crate::histogram::Histogram;
use crate::peers::{Engine, Peer};
use crate::server::Server;
use crate::swarm::{Happening, Id, Swarm};
use crate::sys::Receiver;

pub static CASES: [Case; 4] = [
    case(
        "locks, in memory, 64 people x 1 object",
        &[
            Goal { metric: Metric::PerSecond, bound: Bound::AtLeast(50_000.0) },
            Goal { metric: Metric::P99Us, bound: Bound::AtMost(2000.0) },
        ],
    ),
    case("locks, in memory, 64 people x 8 objects", &[]),
    case("locks, durable, 64 people x 1 object", &[]),
    case(
        "locks, durable, 64 people x 8 objects",
        &[Goal { metric: Metric::PerSecond, bound: Bound::AtLeast(20_000.0) }],
    ),
];

const fn case(name: &'static str, goals: &'static [Goal]) -> Case {
    Case { name, reference: None, unit: "cycle", goals }
}

const PEOPLE: usize = 64;
const OBJECTS: [usize; 2] = [1, 8];
const STALL: Duration = Duration::from_secs(5);

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let engines: &[Engine] =
        if stage.peer == Peer::Arxosrtd { &[Engine::Memory, Engine::Embedded] } else { &[Engine::Memory] };
    let mut answers = Answers::new();
    for (engine, cases) in engines.iter().zip(CASES.chunks_exact(OBJECTS.len())) {
        let host = stage.start(*engine)?;
        let mut swarm = crowd::gather(&host.server, &stage.dialect, 0..PEOPLE, |_| Receiver::Usual)?;
        for (case, objects) in cases.iter().zip(OBJECTS) {
            answers.push((case, load(stage, &mut swarm, &host.server, objects)?));
        }
    }
    Ok(answers)
}

fn load(stage: &Stage<'_>, swarm: &mut Swarm, server: &Server, objects: usize) -> io::Result<Figures> {
    let mut cycles = Cycles::new(objects);
    cycles.begin(&stage.dialect);
    let began = Instant::now();
    let end = stage.scale.warm_up + stage.scale.window;
    let mut window = None;
    let mut figures = None;
    let mut progress = (0, began);
    // After the window each cycle is finished, so that the next load finds no lock held.
    while figures.is_none() || cycles.under_way > 0 {
        for id in 0..PEOPLE {
            if !cycles.out[id].is_empty() {
                swarm.send(id, &cycles.out[id])?;
                cycles.out[id].clear();
            }
        }
        swarm.turn(|id, happening, now| cycles.hear(&stage.dialect, id, happening, now))?;
        if let Some(problem) = cycles.problem.take() {
            return Err(io::Error::other(problem));
        }
        let elapsed = began.elapsed();
        if cycles.answers > progress.0 {
            progress = (cycles.answers, Instant::now());
        } else if progress.1.elapsed() > STALL {
            return Err(io::Error::other(format!("{} cycles wait for an answer since {STALL:?}", cycles.under_way)));
        }
        match window {
            None if elapsed >= stage.scale.warm_up => {
                cycles.done = 0;
                cycles.latency.clear();
                window = Some(Window::open(swarm, server)?);
            }
            Some(_) if elapsed >= end && figures.is_none() => {
                let mut found = window.take().expect("matched").close(swarm, server, cycles.done)?;
                found.set(Metric::P50Us, us(cycles.latency.percentile(50.0)));
                found.set(Metric::P99Us, us(cycles.latency.percentile(99.0)));
                found.set(Metric::MaxUs, us(cycles.latency.max()));
                figures = Some(found);
                cycles.stopping = true;
            }
            _ => {}
        }
    }
    crowd::settle(swarm)?;
    Ok(figures.expect("the loop ends with figures"))
}

struct Cycles {
    objects: usize,
    /// What each person says next.
    out: Vec<Vec<u8>>,
    /// Requests without an answer, in the order in which they were made: the order in which they are answered.
    acquiring: Vec<VecDeque<(usize, Instant)>>,
    releasing: Vec<VecDeque<usize>>,
    under_way: usize,
    answers: u64,
    done: u64,
    stopping: bool,
    latency: Histogram,
    problem: Option<String>,
}

impl Cycles {
    fn new(objects: usize) -> Self {
        Self {
            objects,
            out: vec![Vec::new(); PEOPLE],
            acquiring: vec![VecDeque::new(); PEOPLE],
            releasing: vec![VecDeque::new(); PEOPLE],
            under_way: 0,
            answers: 0,
            done: 0,
            stopping: false,
            latency: Histogram::new(),
            problem: None,
        }
    }

    fn begin(&mut self, dialect: &Dialect) {
        let now = Instant::now();
        for id in 0..PEOPLE {
            for object in 0..self.objects {
                self.acquire(dialect, id, object, now);
                self.under_way += 1;
            }
        }
    }

    fn acquire(&mut self, dialect: &Dialect, id: Id, object: usize, now: Instant) {
        dialect.push_acquire(&mut self.out[id], id, object);
        self.acquiring[id].push_back((object, now));
    }

    fn hear(&mut self, dialect: &Dialect, id: Id, happening: Happening<'_>, now: Instant) {
        let message = match happening {
            Happening::Message(message) => message,
            Happening::Closed(reason) => {
                return self.problem = Some(format!("a member was lost: {reason}"));
            }
            Happening::Opened => return,
        };
        match dialect.understand(message) {
            Heard::LockGranted(lock_id) => {
                let Some((object, asked)) = self.acquiring[id].pop_front() else {
                    return;
                };
                self.answers += 1;
                self.latency.record(now.saturating_duration_since(asked));
                dialect.push_release(&mut self.out[id], lock_id);
                self.releasing[id].push_back(object);
            }
            Heard::LockReleased => {
                let Some(object) = self.releasing[id].pop_front() else {
                    return;
                };
                self.answers += 1;
                self.done += 1;
                if self.stopping {
                    self.under_way -= 1;
                } else {
                    self.acquire(dialect, id, object, now);
                }
            }
            Heard::Refused => self.problem = Some(format!("refused: {}", String::from_utf8_lossy(message))),
            _ => {}
        }
    }
}
