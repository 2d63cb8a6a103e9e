//! What does a connection cost that does nothing, and does its memory come back?

use std::io;
use std::time::Instant;

use super::{Answers, Bound, Case, Goal, Host, Stage};
use crate::crowd;
use crate::figures::{Figures, Metric};
use crate::peers::{Engine, Peer};
use crate::sys::Receiver;

pub static CASES: [Case; 1] = [Case {
    name: "idle, 10 000 in rooms of 10",
    reference: Some(Peer::Floor),
    unit: "connection",
    goals: &[Goal { metric: Metric::KibPerConnection, bound: Bound::AtMost(3.0) }],
}];

const ROOM_MEMBERS: usize = 10;

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let Host { server, .. } = &stage.start(Engine::Memory)?;
    let connections = stage.scale.idle_connections;
    let per_connection = |kib: f64, before: f64| (kib - before) / connections as f64;
    let mut figures = Figures::default();

    let before = server.resident_kib()?;
    let rooms = (0..connections).map(|user| user / ROOM_MEMBERS);
    let mut swarm = crowd::gather(server, &stage.dialect, rooms, |_| Receiver::Usual)?;
    let joined = server.resident_kib()?;
    figures.set(Metric::RssMib, joined / 1024.0);
    figures.set(Metric::KibPerConnection, per_connection(joined, before));

    let mut goodbye = Vec::new();
    stage.dialect.push_goodbye(&mut goodbye);
    for id in 0..connections {
        swarm.send(id, &goodbye)?;
    }
    // They go on reading while they leave, or the last ones would be cut off in the middle of the others' farewells.
    let began = Instant::now();
    while began.elapsed() < stage.scale.after_close {
        swarm.turn(|_, _, _| {})?;
    }
    figures.set(Metric::KibAfterClose, per_connection(server.resident_kib()?, before));
    Ok(vec![(&CASES[0], figures)])
}
