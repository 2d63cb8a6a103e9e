//! What does a delivery cost in many small rooms, where each message has few receivers?
//!
//! Each user moves a cursor at a fixed rate, evenly spread in time. At most one update of a user is under way: a newer
//! one that comes due replaces the one that waits, as a client does that only ever shows the present. Latency counts
//! from the time at which the update that was sent had come due, so waiting for the server is not forgotten.

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

pub static CASES: [Case; 2] = [
    Case {
        name: "rooms 1000x5, presence at 10 Hz",
        reference: Some(Peer::FloorCorked),
        unit: "delivery",
        goals: &[
            Goal { metric: Metric::CpuUs, bound: Bound::AtMostTimesFloor(0.95) },
            Goal { metric: Metric::DeliveredPercent, bound: Bound::AtLeast(99.0) },
        ],
    },
    Case {
        name: "rooms 1000x5, presence at 4 Hz",
        reference: Some(Peer::FloorCorked),
        unit: "delivery",
        goals: &[
            Goal { metric: Metric::CpuUs, bound: Bound::AtMostTimesFloor(1.2) },
            Goal { metric: Metric::P99Us, bound: Bound::AtMost(1000.0) },
        ],
    },
];

const RATES_HZ: [u32; 2] = [10, 4];
const ROOM_MEMBERS: usize = 5;
/// Prime, so that neighbours in time are not neighbours in a room.
const STRIDE: u64 = 7919;
/// An update that is not everywhere after this long is given up.
const STALL: Duration = Duration::from_secs(5);

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let host = stage.start(Engine::Memory)?;
    let users = stage.scale.small_rooms * ROOM_MEMBERS;
    let rooms = (0..users).map(|user| user / ROOM_MEMBERS);
    let mut swarm = crowd::gather(&host.server, &stage.dialect, rooms, |_| Receiver::Usual)?;
    let mut answers = Answers::new();
    for (case, rate_hz) in CASES.iter().zip(RATES_HZ) {
        answers.push((case, load(stage, &mut swarm, &host.server, users, rate_hz)?));
        crowd::settle(&mut swarm)?;
    }
    Ok(answers)
}

fn load(stage: &Stage<'_>, swarm: &mut Swarm, server: &Server, users: usize, rate_hz: u32) -> io::Result<Figures> {
    let dialect = &stage.dialect;
    let mut cursors = Cursors::new(users);
    let tick = Duration::from_secs(1) / (users as u32 * rate_hz);
    let mut frame = Vec::new();
    let began = Instant::now();
    let mut ticks: u64 = 0;
    let mut window = None;
    loop {
        let elapsed = began.elapsed();
        let due = (elapsed.as_nanos() / tick.as_nanos()) as u64;
        while ticks < due {
            let user = (ticks.wrapping_mul(STRIDE) % users as u64) as usize;
            cursors.move_on(user, began + tick * u32::try_from(ticks).unwrap_or(u32::MAX));
            ticks += 1;
        }
        while let Some((user, n)) = cursors.next_to_send() {
            frame.clear();
            dialect.push_presence(&mut frame, user as u32, n);
            swarm.send(user, &frame)?;
        }
        swarm.turn(|id, happening, now| cursors.hear(dialect, id, happening, now))?;
        if let Some(reason) = cursors.ended {
            return Err(io::Error::other(format!("a member was lost: {reason}")));
        }
        match window {
            None if elapsed >= stage.scale.warm_up => {
                cursors.start_counting();
                window = Some((Window::open(swarm, server)?, ticks));
            }
            Some((open, first_tick)) if elapsed >= stage.scale.warm_up + stage.scale.long_window => {
                let mut figures = open.close(swarm, server, cursors.deliveries)?;
                let offered = (ticks - first_tick) * (ROOM_MEMBERS as u64 - 1);
                cursors.describe(swarm, offered, &mut figures);
                return Ok(figures);
            }
            _ => {}
        }
    }
}

struct Cursors {
    users: Vec<Cursor>,
    /// Users who have something to send and nothing under way.
    sendable: Vec<usize>,
    deliveries: u64,
    /// Deliveries to others than the sender.
    wanted: u64,
    latency: Histogram,
    ended: Option<&'static str>,
}

#[derive(Clone, Copy)]
struct Cursor {
    /// Number of the update that is or was last under way.
    n: u32,
    due: Instant,
    still_missing: usize,
    /// When the update that waits for the one under way came due.
    waiting: Option<Instant>,
}

impl Cursors {
    fn new(users: usize) -> Self {
        let start = Cursor { n: 0, due: Instant::now(), still_missing: 0, waiting: None };
        let (users, sendable, latency) = (vec![start; users], Vec::with_capacity(users), Histogram::new());
        Self { users, sendable, deliveries: 0, wanted: 0, latency, ended: None }
    }

    fn move_on(&mut self, user: usize, due: Instant) {
        let cursor = &mut self.users[user];
        let first = cursor.waiting.replace(due).is_none();
        let given_up = cursor.still_missing > 0 && due.saturating_duration_since(cursor.due) > STALL;
        if (cursor.still_missing == 0 && first) || given_up {
            cursor.still_missing = 0;
            self.sendable.push(user);
        }
    }

    fn next_to_send(&mut self) -> Option<(usize, u32)> {
        let user = self.sendable.pop()?;
        let cursor = &mut self.users[user];
        cursor.due = cursor.waiting.take().expect("who is sendable has something to send");
        cursor.n += 1;
        cursor.still_missing = ROOM_MEMBERS - 1;
        Some((user, cursor.n))
    }

    fn hear(&mut self, dialect: &Dialect, id: Id, happening: Happening<'_>, now: Instant) {
        let message = match happening {
            Happening::Message(message) => message,
            Happening::Closed(reason) => return self.ended = Some(reason),
            Happening::Opened => return,
        };
        let Heard::Presence { user, n } = dialect.understand(message) else {
            return;
        };
        self.deliveries += 1;
        let sender = user as usize;
        // A server may tell the sender too: it pays for it, but nobody waits for it.
        if sender == id {
            return;
        }
        let Some(cursor) = self.users.get_mut(sender).filter(|c| c.n == n && c.still_missing > 0) else {
            return;
        };
        self.wanted += 1;
        self.latency.record(now.saturating_duration_since(cursor.due));
        cursor.still_missing -= 1;
        if cursor.still_missing == 0 && cursor.waiting.is_some() {
            self.sendable.push(sender);
        }
    }

    fn start_counting(&mut self) {
        self.deliveries = 0;
        self.wanted = 0;
        self.latency.clear();
    }

    fn describe(&self, swarm: &Swarm, offered: u64, figures: &mut Figures) {
        figures.set(Metric::P50Us, us(self.latency.percentile(50.0)));
        figures.set(Metric::P99Us, us(self.latency.percentile(99.0)));
        figures.set(Metric::MaxUs, us(self.latency.max()));
        figures.set(Metric::DeliveriesPerRead, self.deliveries as f64 / swarm.reads as f64);
        figures.set(Metric::DeliveredPercent, 100.0 * self.wanted as f64 / offered as f64);
    }
}
