//! A building is a log: a deterministic state machine over a sequence of events.
//!
//! [`Building::decide`] looks at the state and says what a command leads to; [`Building::apply`] lets it happen;
//! [`Building::evolve`] is the part of that which the log repeats after a restart. Nothing here knows whether what
//! was decided is committed yet: the shell tells nobody of a settled event before it is.

pub mod codec;
pub mod command;
mod dedup;
pub mod event;
pub mod notice;
mod rooms;
mod settings;

use std::sync::Arc;

use smallvec::SmallVec;

use self::codec::Corrupt;
use self::command::{Command, Facts, LockView, Refusal, Reply, Target};
use self::dedup::Dedup;
use self::event::{Broadcast, Event, Sighting};
use self::notice::Notify;
pub use self::rooms::{Gap, Missed};
use self::rooms::{Rooms, sightings};
pub use self::settings::{LockSettings, Settings};
use crate::id::{BuildingId, ResourceId, RoomId, SessionId, UserId};
use crate::lock::{LockId, LockType, Ticket, Token};
use crate::time::{Mono, Wall};

/// What a command leads to: nothing has happened yet.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What will have happened, in order.
    pub events: SmallVec<[Event; 1]>,
    /// The answer to the asker.
    pub reply: Reply,
    /// What single sessions are to be told.
    pub notices: Vec<Notify>,
}

/// A session in the queue, as it is shown to people.
#[derive(Clone, Debug, PartialEq)]
pub struct WaiterView {
    /// The place in the queue.
    pub ticket: Ticket,
    /// Who waits.
    pub session: SessionId,
    /// The person.
    pub user: UserId,
    /// The kind of lock.
    pub lock_type: LockType,
    /// What for.
    pub targets: SmallVec<[Target; 1]>,
    /// Since when.
    pub waiting_ms: u64,
    /// The locks in the way.
    pub blocked_by: Vec<LockId>,
}

/// May the bearer of a token write?
#[derive(Clone, Debug, PartialEq)]
pub struct Verify {
    /// The token is of a lock that is held now and covers the target for this purpose.
    pub valid: bool,
    /// Why not.
    pub reason: Option<VerifyFault>,
    /// The lock of the token, if it is held.
    pub lock: Option<LockView>,
    /// The token of the exclusive lock that covers the target now, whoever holds it.
    pub fence: Option<Token>,
}

/// Why a token does not permit a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyFault {
    /// No lock with this token is held now.
    UnknownToken,
    /// The lock is on something else.
    NotCovered,
    /// The lock is of a type that does not permit this kind of write.
    Scope,
}

impl VerifyFault {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            VerifyFault::UnknownToken => "unknown_token",
            VerifyFault::NotCovered => "not_covered",
            VerifyFault::Scope => "scope",
        }
    }
}

/// The state of one building.
#[derive(Clone, Debug)]
pub struct Building {
    id: BuildingId,
    settings: Arc<Settings>,
    position: u64,
    rooms: Rooms,
    dedup: Dedup,
}

impl Building {
    /// A building in which nothing has happened.
    pub fn new(id: BuildingId, settings: Arc<Settings>) -> Self {
        Building {
            id,
            settings,
            position: 0,
            rooms: Rooms::default(),
            dedup: Dedup::default(),
        }
    }

    /// Its name.
    pub fn id(&self) -> &BuildingId {
        &self.id
    }

    /// How many events its log holds.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What `command` leads to. Looks only; of the facts, minting a token is the one thing that leaves a trace.
    pub fn decide(&self, facts: &Facts, command: &Command) -> Decision {
        let mut events = SmallVec::new();
        let reply = match command {
            Command::Broadcast {
                room,
                from,
                message,
                client_msg_id,
            } => {
                let seen = Sighting {
                    room: room.clone(),
                    seq: self.seq(room) + 1,
                };
                let seq = seen.seq;
                events.push(Event::Broadcast(Broadcast {
                    at: facts.wall,
                    seen,
                    from: from
                        .as_ref()
                        .map(|a| (a.session.clone(), a.user.clone(), a.username.clone())),
                    message: message.clone(),
                    client_msg_id: client_msg_id.clone(),
                }));
                Reply::Sequenced {
                    seq,
                    duplicate: false,
                }
            }
            _ => Reply::Refused(Refusal::LockNotFound),
        };
        Decision {
            events,
            reply,
            notices: Vec::new(),
        }
    }

    /// Lets a decision happen: its events and the soft changes that go with them.
    pub fn apply(&mut self, facts: &Facts, decision: &Decision) {
        let _ = facts;
        for event in &decision.events {
            self.evolve(event);
        }
    }

    /// Lets an event of the log happen. Total: any event in any state gives a state.
    pub fn evolve(&mut self, event: &Event) {
        self.position += 1;
        let shared = Arc::new(event.clone());
        for (target, seen) in sightings(event) {
            let room = self.rooms.intern(&seen.room);
            self.rooms
                .record(room, seen.seq, &shared, target, &self.settings);
        }
    }

    /// When [`Command::Tick`] next has something to do. A shell lets it run before other commands once it is due.
    pub fn due(&self) -> Option<Mono> {
        None
    }

    /// How many messages the room has seen; 0 when nothing ever happened there.
    pub fn seq(&self, room: &RoomId) -> u64 {
        self.rooms.seq(room)
    }

    /// Everything in `room` after `since`, or why that cannot be given in full.
    pub fn missed(&self, room: &RoomId, since: u64) -> Result<Vec<Missed<'_>>, Gap> {
        self.rooms.missed(room, since)
    }

    /// The tokens of all locks held, in order.
    pub fn oldest(&self, room: &RoomId) -> u64 {
        self.rooms.oldest(room)
    }

    /// The tokens of all locks held, in order.
    pub fn locks(&self) -> impl Iterator<Item = Token> {
        std::iter::empty()
    }

    /// A lock, if it is held.
    pub fn lock_view(&self, facts: &Facts, lock: LockId) -> Option<LockView> {
        let _ = (facts, lock);
        None
    }

    /// The locks that are seen in a room, in order of token.
    pub fn locks_in_room(&self, facts: &Facts, room: &RoomId) -> Vec<LockView> {
        let _ = (facts, room);
        Vec::new()
    }

    /// The locks on exactly this resource, in order of token.
    pub fn locks_on(&self, facts: &Facts, resource: &ResourceId) -> Vec<LockView> {
        let _ = (facts, resource);
        Vec::new()
    }

    /// All locks, in order of token.
    pub fn lock_views(&self, facts: &Facts) -> Vec<LockView> {
        let _ = facts;
        Vec::new()
    }

    /// How many locks are held.
    pub fn lock_count(&self) -> usize {
        0
    }

    /// How many wait for a lock.
    pub fn waiter_count(&self) -> usize {
        0
    }

    /// Who stands in the way of an exclusive edit of the target: holders, and those who wait.
    pub fn why(&self, facts: &Facts, target: &Target) -> (Vec<LockView>, Vec<WaiterView>) {
        let _ = (facts, target);
        (Vec::new(), Vec::new())
    }

    /// May the bearer of `token` write `target`? `grid` is a write of the grid calibration.
    pub fn verify(&self, facts: &Facts, token: Token, target: &Target, grid: bool) -> Verify {
        let _ = (facts, token, target, grid);
        Verify {
            valid: false,
            reason: Some(VerifyFault::UnknownToken),
            lock: None,
            fence: None,
        }
    }

    /// The owners of locks: session, person, shown name, and whether the session never said `hello`.
    pub fn sessions_with_locks(&self) -> Vec<(SessionId, UserId, Arc<str>, bool)> {
        Vec::new()
    }

    /// Arms the leases after a replay: every owner counts as suspended until it comes back.
    pub fn after_restart(&mut self, now: Mono, wall: Wall) {
        let _ = (now, wall);
    }

    /// The durable part of the state.
    pub fn snapshot(&self) -> Vec<u8> {
        vec![1]
    }

    /// The state of which `bytes` are the durable part.
    pub fn restore(
        id: BuildingId,
        bytes: &[u8],
        settings: Arc<Settings>,
    ) -> Result<Building, Corrupt> {
        let _ = bytes;
        Ok(Building::new(id, settings))
    }

    /// A stable hash of the durable part.
    pub fn digest(&self) -> u64 {
        0
    }

    /// Whether the state contradicts itself. For tests and simulations.
    pub fn check_invariants(&self) -> Result<(), String> {
        Ok(())
    }
}
