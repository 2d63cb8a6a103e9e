//! Killed without warning while it holds many locks: how long until it is ready again, and are they all there?

use std::io;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Answers, Bound, Case, Goal, Stage};
use crate::crowd;
use crate::dialect::Heard;
use crate::figures::{Figures, Metric};
use crate::peers::Engine;
use crate::server::Server;
use crate::swarm::{Happening, Swarm};
use crate::sys::Receiver;

pub static CASES: [Case; 1] = [Case {
    name: "restart with 100 000 locks",
    reference: None,
    unit: "lock",
    goals: &[
        Goal { metric: Metric::ReadyMs, bound: Bound::AtMost(1000.0) },
        Goal { metric: Metric::RestoredPercent, bound: Bound::AtLeast(100.0) },
    ],
}];

/// Below the 256 that a session may hold by default.
const LOCKS_PER_CONNECTION: usize = 250;
const STALL: Duration = Duration::from_secs(20);

pub fn run(stage: &Stage<'_>) -> io::Result<Answers> {
    let data = TempDir::new()?;
    let mut figures = Figures::default();
    let mut before = stage.start_in(data.path(), Engine::Embedded)?;
    let (locks, swarm) = take_locks(stage, &before, &mut figures)?;
    before.kill()?;
    drop(swarm);

    let after = stage.start_in(data.path(), Engine::Embedded)?;
    figures.set(Metric::ReadyMs, after.ready_after.as_secs_f64() * 1e3);
    figures.set(Metric::RssMib, after.resident_kib()? / 1024.0);
    figures.set(Metric::RestoredPercent, 100.0 * active_locks(&after)? / locks as f64);
    Ok(vec![(&CASES[0], figures)])
}

/// Has every connection take its locks, all at once, and returns their number when all are granted, with the connections:
/// they must outlive the server, as they do when a machine fails.
fn take_locks(stage: &Stage<'_>, server: &Server, figures: &mut Figures) -> io::Result<(usize, Swarm)> {
    let connections = stage.scale.restart_connections;
    let wanted = connections * LOCKS_PER_CONNECTION;
    let mut swarm = crowd::gather(server, &stage.dialect, 0..connections, |_| Receiver::Usual)?;
    let began = Instant::now();
    let mut frames = Vec::new();
    let (mut granted, mut problem, mut progress) = (0, None, began);
    let mut next = 0;
    while granted < wanted {
        // One connection's requests in each turn, so that answers are read meanwhile.
        if next < connections {
            frames.clear();
            for object in 0..LOCKS_PER_CONNECTION {
                stage.dialect.push_acquire(&mut frames, next, object);
            }
            swarm.send(next, &frames)?;
            next += 1;
        }
        swarm.turn(|_, happening, now| match happening {
            Happening::Message(message) => match stage.dialect.understand(message) {
                Heard::LockGranted(_) => (granted, progress) = (granted + 1, now),
                Heard::Refused => problem = Some(String::from_utf8_lossy(message).into_owned()),
                _ => {}
            },
            Happening::Closed(reason) => problem = Some(reason.to_owned()),
            Happening::Opened => {}
        })?;
        if let Some(problem) = problem {
            return Err(io::Error::other(format!("after {granted} locks: {problem}")));
        }
        if progress.elapsed() > STALL {
            return Err(io::Error::other(format!("{granted} of {wanted} locks, then none for {STALL:?}")));
        }
    }
    figures.set(Metric::PerSecond, wanted as f64 / began.elapsed().as_secs_f64());
    Ok((wanted, swarm))
}

/// What the server itself says about how many locks it holds.
fn active_locks(server: &Server) -> io::Result<f64> {
    let status = server.get("/v1/realtime/connection-status")?;
    number_after(&status, "\"active_locks\":")
        .ok_or_else(|| io::Error::other(format!("connection-status without active_locks: {status}")))
}

fn number_after(json: &str, key: &str) -> Option<f64> {
    let value = json.split_once(key)?.1.trim_start();
    value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_its_key() {
        let status = r#"{"total_users":3,"active_locks": 100000,"active_conflicts":0}"#;
        assert_eq!(number_after(status, "\"active_locks\":"), Some(100_000.0));
        assert_eq!(number_after(status, "\"active_rooms\":"), None);
        assert_eq!(number_after(r#"{"active_locks":null}"#, "\"active_locks\":"), None);
    }
}
