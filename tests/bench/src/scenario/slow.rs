//! What does one member that never reads do to the others?
//!
//! Its receive buffer is small and its segments are those of a real network: otherwise the kernel swallows the first
//! 2.5 MB for it and the server never notices. Paced, the backlog grows during the whole window without reaching the
//! bound at which a server may cut it off. In the flood, a closed loop of eight messages, it reaches any bound soon.
//!
//! Each run measures with and without, each with a server of its own, in alternating order.

use std::io;
use std::time::{Duration, Instant};

use super::fanout::Load;
use super::flight::Flight;
use super::{Answers, Bound, Case, Goal, Stage, Window};
use crate::crowd;
use crate::dialect::{Dialect, Heard};
use crate::figures::{Figures, Metric};
use crate::peers::{Engine, Peer};
use crate::server::Server;
use crate::swarm::{Happening, Id, Swarm};
use crate::sys::Receiver;

const UNHARMED: &[Goal] = &[Goal { metric: Metric::P99Ratio, bound: Bound::AtMost(1.1) }];

pub static CASES: [Case; 4] = [
    case("slow, paced 50/s, all 1000 read", &[]),
    case("slow, paced 50/s, one never reads", UNHARMED),
    case("slow, flood, all 1000 read", &[]),
    case("slow, flood, one never reads", UNHARMED),
];

const fn case(name: &'static str, goals: &'static [Goal]) -> Case {
    Case { name, reference: Some(Peer::Floor), unit: "delivery", goals }
}

/// 150 KiB/s: the kernel's share of some 90 KiB is full before the window opens, and a backlog of 1 MiB is not reached
/// before it closes.
const PACED_BODY_BYTES: usize = 3 << 10;
const PACE: Duration = Duration::from_millis(20);
const FLOOD_BODY_BYTES: usize = 1 << 10;
/// What is still under way after the window is waited for no longer than this.
const DRAIN: Duration = Duration::from_millis(500);
/// What the hanging client finds in its socket when it wakes up is read until nothing came for this long.
const QUIET: Duration = Duration::from_millis(200);

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let stuck_first = stage.round % 2 == 1;
    let mut answers = Answers::new();
    for (kind, cases) in [Kind::Paced, Kind::Flood].into_iter().zip(CASES.chunks_exact(2)) {
        let mut found = [Figures::default(), Figures::default()];
        for stuck in [stuck_first, !stuck_first] {
            found[usize::from(stuck)] = part(stage, kind, stuck)?;
        }
        let [calm, mut stuck] = found;
        if let (Some(with), Some(without)) = (stuck.get(Metric::P99Us), calm.get(Metric::P99Us)) {
            stuck.set(Metric::P99Ratio, with / without);
        }
        answers.push((&cases[0], calm));
        answers.push((&cases[1], stuck));
    }
    Ok(answers)
}

#[derive(Clone, Copy)]
enum Kind {
    Paced,
    Flood,
}

fn part(stage: &Stage<'_>, kind: Kind, stuck: bool) -> io::Result<Figures> {
    let host = stage.start(Engine::Memory)?;
    let members = stage.scale.room_members;
    let (hanging, publisher) = (members - 1, members);
    let everybody = std::iter::repeat_n(0, members + 1);
    let receiver = |id| {
        if id == hanging { Receiver::Narrow } else { Receiver::Usual }
    };
    let mut swarm = crowd::gather(&host.server, &stage.dialect, everybody, receiver)?;
    if stuck {
        swarm.pause(hanging)?;
    }
    let mut figures = match kind {
        Kind::Paced => paced(stage, &mut swarm, &host.server, 0..hanging, publisher)?,
        Kind::Flood => {
            let load = Load {
                readers: 0..hanging,
                publisher,
                body_bytes: FLOOD_BODY_BYTES,
                in_flight: 8,
                warm_up: stage.scale.warm_up,
                window: stage.scale.window,
            };
            load.run(&mut swarm, &host.server, &stage.dialect)?
        }
    };
    if let (true, Kind::Paced) = (stuck, kind) {
        let sent = (stage.scale.warm_up + stage.scale.long_window).div_duration_f64(PACE);
        let got = wake(&mut swarm, hanging, &stage.dialect)?;
        figures.set(Metric::UnreadPercent, (100.0 * got as f64 / sent).min(100.0));
    }
    Ok(figures)
}

/// Messages at a fixed pace, whatever the server does with them.
fn paced(
    stage: &Stage<'_>,
    swarm: &mut Swarm,
    server: &Server,
    readers: std::ops::Range<Id>,
    publisher: Id,
) -> io::Result<Figures> {
    let dialect = &stage.dialect;
    let mut flight = Flight::new(readers);
    let mut message = Vec::new();
    dialect.push_broadcast(&mut message, 0, PACED_BODY_BYTES);
    let began = Instant::now();
    let end = stage.scale.warm_up + stage.scale.long_window;
    let mut due = Duration::ZERO;
    let mut window = None;
    loop {
        let elapsed = began.elapsed();
        while due <= elapsed && due < end {
            flight.depart(began + due);
            swarm.send(publisher, &message)?;
            due += PACE;
        }
        swarm.turn(|id, happening, now| flight.hear(dialect, id, happening, now))?;
        if let Some(reason) = flight.ended {
            return Err(io::Error::other(format!("a member was lost: {reason}")));
        }
        if window.is_none() && elapsed >= stage.scale.warm_up {
            flight.start_counting();
            window = Some(Window::open(swarm, server)?);
        }
        let over = elapsed >= end && (flight.in_flight() == 0 || elapsed >= end + DRAIN);
        if let Some(window) = window.take_if(|_| over) {
            let mut figures = window.close(swarm, server, flight.deliveries)?;
            flight.count_the_missing(Instant::now());
            flight.describe(swarm, &mut figures);
            return Ok(figures);
        }
    }
}

/// Reads the hanging client's socket at last, and counts the messages in it.
fn wake(swarm: &mut Swarm, hanging: Id, dialect: &Dialect) -> io::Result<u64> {
    swarm.resume(hanging)?;
    let mut got = 0;
    let mut heard = Instant::now();
    while heard.elapsed() < QUIET {
        swarm.turn(|id, happening, now| match happening {
            Happening::Message(message) if id == hanging && dialect.understand(message) == Heard::Broadcast => {
                got += 1;
                heard = now;
            }
            _ => {}
        })?;
    }
    Ok(got)
}
