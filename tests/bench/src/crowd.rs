//! Bringing many clients into their rooms before a measurement begins.

use std::io;
use std::time::{Duration, Instant};

use crate::dialect::{Dialect, Heard};
use crate::server::Server;
use crate::swarm::{Happening, Id, Swarm};
use crate::sys::Receiver;

/// Connections that are being made at the same time.
const IN_FLIGHT_MAX: usize = 32;
/// Longer than this without anybody joining means that nobody will.
const STALL: Duration = Duration::from_secs(20);
/// After the last join, the room is quiet when nothing was heard for this long.
const QUIET: Duration = Duration::from_millis(80);
const QUIET_DEADLINE: Duration = Duration::from_secs(30);

/// Connects one client per entry of `rooms` and has it join that room; client and user number are the entry's index.
pub fn gather(
    server: &Server,
    dialect: &Dialect,
    rooms: impl ExactSizeIterator<Item = usize>,
    receiver: impl Fn(Id) -> Receiver,
) -> io::Result<Swarm> {
    let mut swarm = Swarm::new()?;
    let count = rooms.len();
    let mut waiting = rooms.enumerate();
    let mut room_of = Vec::with_capacity(count);
    let (mut started, mut joined) = (0, 0);
    let mut opened = Vec::new();
    let mut ended = None;
    let mut frames = Vec::new();
    let mut progress = Instant::now();
    while joined < count {
        while started - joined < IN_FLIGHT_MAX
            && let Some((user, room)) = waiting.next()
        {
            let id = swarm.connect(server.address, &dialect.path(user), receiver(user))?;
            debug_assert_eq!(id, user, "nobody leaves a swarm that is being gathered");
            room_of.push(room);
            started += 1;
        }
        let before = joined;
        swarm.turn(|id, happening, _| match happening {
            Happening::Opened => opened.push(id),
            Happening::Message(message) => joined += usize::from(dialect.understand(message) == Heard::Joined),
            Happening::Closed(reason) => ended = Some(reason),
        })?;
        for id in opened.drain(..) {
            frames.clear();
            dialect.push_join(&mut frames, room_of[id]);
            swarm.send(id, &frames)?;
        }
        if let Some(reason) = ended {
            return Err(io::Error::other(format!("after {joined} of {count} had joined: {reason}")));
        }
        if joined > before {
            progress = Instant::now();
        } else if progress.elapsed() > STALL {
            return Err(io::Error::other(format!("{joined} of {count} had joined, then nobody for {STALL:?}")));
        }
    }
    settle(&mut swarm)?;
    Ok(swarm)
}

/// Reads until the server has nothing more to say.
pub fn settle(swarm: &mut Swarm) -> io::Result<()> {
    let began = Instant::now();
    let mut heard = Instant::now();
    while heard.elapsed() < QUIET && began.elapsed() < QUIET_DEADLINE {
        swarm.turn(|_, _, now| heard = now)?;
    }
    Ok(())
}
