//! What does a delivery cost in one large room?
//!
//! Closed loop: the next message is sent when all subscribers have an earlier one, so that neither side queues without
//! bound and a slow server is not flattered. With one message in flight each delivery is a write of its own; with eight,
//! a server that gathers what belongs together shows it.

use std::io;
use std::time::{Duration, Instant};

use super::flight::Flight;
use super::{Answers, Bound, Case, Goal, Stage, Window};
use crate::crowd;
use crate::dialect::Dialect;
use crate::figures::{Figures, Metric};
use crate::peers::{Engine, Peer};
use crate::server::Server;
use crate::swarm::{Id, Swarm};
use crate::sys::Receiver;

const CPU_BESIDE_PLAIN: &[Goal] = &[Goal { metric: Metric::CpuUs, bound: Bound::AtMostTimesFloor(1.08) }];
const CPU_BESIDE_CORKED: &[Goal] = &[Goal { metric: Metric::CpuUs, bound: Bound::AtMostTimesFloor(0.7) }];

pub static CASES: [Case; 4] = [
    case("fanout 1x1000, 100 B, 1 in flight", Peer::Floor, CPU_BESIDE_PLAIN),
    case("fanout 1x1000, 100 B, 8 in flight", Peer::FloorCorked, CPU_BESIDE_CORKED),
    case("fanout 1x1000, 1 KiB, 1 in flight", Peer::Floor, &[]),
    case("fanout 1x1000, 1 KiB, 8 in flight", Peer::FloorCorked, &[]),
];

const fn case(name: &'static str, reference: Peer, goals: &'static [Goal]) -> Case {
    Case { name, reference: Some(reference), unit: "delivery", goals }
}

const LOADS: [(usize, usize); 4] = [(100, 1), (100, 8), (1024, 1), (1024, 8)];

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let host = stage.start(Engine::Memory)?;
    let subscribers = stage.scale.room_members;
    // The publisher is one more. What it hears of itself is counted, since the server pays for it, but not waited for.
    let everybody = std::iter::repeat_n(0, subscribers + 1);
    let mut swarm = crowd::gather(&host.server, &stage.dialect, everybody, |_| Receiver::Usual)?;
    let mut answers = Answers::new();
    for (case, (body_bytes, in_flight)) in CASES.iter().zip(LOADS) {
        let load = Load {
            readers: 0..subscribers,
            publisher: subscribers,
            body_bytes,
            in_flight,
            warm_up: stage.scale.warm_up,
            window: stage.scale.window,
        };
        answers.push((case, load.run(&mut swarm, &host.server, &stage.dialect)?));
    }
    Ok(answers)
}

/// A closed loop in one room.
pub(super) struct Load {
    /// Who must have a message before the next one is sent. Others may hear it too.
    pub readers: std::ops::Range<Id>,
    pub publisher: Id,
    pub body_bytes: usize,
    pub in_flight: usize,
    pub warm_up: Duration,
    pub window: Duration,
}

/// A message that is not everywhere after this long is lost.
const STALL: Duration = Duration::from_secs(5);

impl Load {
    pub(super) fn run(&self, swarm: &mut Swarm, server: &Server, dialect: &Dialect) -> io::Result<Figures> {
        let mut flight = Flight::new(self.readers.clone());
        let mut message = Vec::new();
        dialect.push_broadcast(&mut message, 0, self.body_bytes);
        let mut burst = Vec::new();

        let began = Instant::now();
        let mut window = None;
        let mut progress = Instant::now();
        let mut figures = loop {
            let missing = self.in_flight - flight.in_flight();
            if missing > 0 {
                progress = Instant::now();
                burst.clear();
                for _ in 0..missing {
                    burst.extend_from_slice(&message);
                    flight.depart(progress);
                }
                swarm.send(self.publisher, &burst)?;
            }
            swarm.turn(|id, happening, now| flight.hear(dialect, id, happening, now))?;
            let elapsed = began.elapsed();
            if let Some(reason) = flight.ended {
                return Err(io::Error::other(format!("a member was lost: {reason}")));
            }
            if progress.elapsed() > STALL {
                break Figures::default();
            }
            match window {
                None if elapsed >= self.warm_up => {
                    flight.start_counting();
                    window = Some(Window::open(swarm, server)?);
                }
                Some(open) if elapsed >= self.warm_up + self.window => {
                    let mut figures = open.close(swarm, server, flight.deliveries)?;
                    flight.describe(swarm, &mut figures);
                    break figures;
                }
                _ => {}
            }
        };
        // The next load begins with nothing under way.
        while flight.in_flight() > 0 && flight.ended.is_none() && progress.elapsed() < STALL {
            swarm.turn(|id, happening, now| flight.hear(dialect, id, happening, now))?;
        }
        if flight.in_flight() > 0 {
            figures.set(Metric::StalledMs, STALL.as_secs_f64() * 1e3);
        }
        crowd::settle(swarm)?;
        Ok(figures)
    }
}
