//! How many people can come in per second, and what does each cost?
//!
//! Each client connects, upgrades, joins, is told the room's state, says goodbye, and is gone when the server has said
//! so too. A fixed number is always under way. Where the generator is the limit, only the CPU time speaks.

use std::io;
use std::time::{Duration, Instant};

use super::{Answers, Bound, Case, Goal, Stage, Window, us};
use crate::dialect::Heard;
use crate::figures::Metric;
use crate::histogram::Histogram;
use crate::peers::{Engine, Peer};
use crate::swarm::{Happening, Swarm};
use crate::sys::Receiver;

pub static CASES: [Case; 1] = [Case {
    name: "joins, 32 in flight",
    reference: Some(Peer::Floor),
    unit: "join",
    goals: &[Goal { metric: Metric::PerSecond, bound: Bound::AtLeast(35_000.0) }],
}];

const IN_FLIGHT: usize = 32;
/// Many more than are under way: a room holds few at a time, and rooms come and go.
const ROOMS: usize = 1024;
const STALL: Duration = Duration::from_secs(10);

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let host = stage.start(Engine::Memory)?;
    let (server, dialect) = (&host.server, &stage.dialect);
    let mut swarm = Swarm::new()?;
    let mut goodbye = Vec::new();
    dialect.push_goodbye(&mut goodbye);
    let mut frame = Vec::new();

    // A just-in-time compiler sees the path of a join for the first time here: it gets longer to warm up.
    let warm_up = stage.scale.long_window;
    let nobody = Visit { user: 0, came: Instant::now(), joined: false };
    let mut visits = [nobody; IN_FLIGHT];
    let (mut opened, mut joined) = (Vec::new(), Vec::new());
    let (mut started, mut under_way) = (0, 0);
    let (mut joins, mut latency, mut ended) = (0, Histogram::new(), None);
    let mut window = None;
    let began = Instant::now();
    let mut progress = began;
    loop {
        while under_way < IN_FLIGHT {
            let came = Instant::now();
            let id = swarm.connect(server.address, &dialect.path(started), Receiver::Usual)?;
            visits[id] = Visit { user: started, came, joined: false };
            started += 1;
            under_way += 1;
        }
        swarm.turn(|id, happening, now| match happening {
            Happening::Opened => opened.push(id),
            Happening::Message(message) if dialect.understand(message) == Heard::Joined => {
                latency.record(now - visits[id].came);
                visits[id].joined = true;
                joined.push(id);
            }
            Happening::Message(_) => {}
            Happening::Closed(_) if visits[id].joined => {
                under_way -= 1;
                joins += 1;
                progress = now;
            }
            Happening::Closed(reason) => ended = Some(reason),
        })?;
        for id in opened.drain(..) {
            frame.clear();
            dialect.push_join(&mut frame, visits[id].user % ROOMS);
            swarm.send(id, &frame)?;
        }
        for id in joined.drain(..) {
            swarm.send(id, &goodbye)?;
        }
        if let Some(reason) = ended {
            return Err(io::Error::other(format!("join {joins}: {reason}")));
        }
        if progress.elapsed() > STALL {
            return Err(io::Error::other(format!("after {joins} joins, none for {STALL:?}")));
        }
        let elapsed = began.elapsed();
        match window {
            None if elapsed >= warm_up => {
                joins = 0;
                latency.clear();
                window = Some(Window::open(&mut swarm, server)?);
            }
            Some(open) if elapsed >= warm_up + stage.scale.window => {
                let mut figures = open.close(&swarm, server, joins)?;
                figures.set(Metric::P50Us, us(latency.percentile(50.0)));
                figures.set(Metric::P99Us, us(latency.percentile(99.0)));
                figures.set(Metric::MaxUs, us(latency.max()));
                return Ok(vec![(&CASES[0], figures)]);
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy)]
struct Visit {
    user: usize,
    came: Instant,
    joined: bool,
}
