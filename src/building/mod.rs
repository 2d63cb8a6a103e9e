//! A building is a log: a deterministic state machine over a sequence of events.
//!
//! [`Building::decide`] looks at the state and says what a command leads to; [`Building::apply`] lets it happen;
//! [`Building::evolve`] is the part of that which the log repeats after a restart. Nothing here knows whether what
//! was decided is committed yet: the shell tells nobody of a settled event before it is.

mod acquire;
mod answers;
mod asking;
mod check;
pub mod codec;
pub mod command;
pub mod conflict;
mod dedup;
mod document;
mod draft;
mod editing;
pub mod event;
mod log_clock;
pub mod notice;
mod release;
mod resources;
mod rooms;
mod settings;
mod settling;
mod snapshot;
mod soft;
mod stored;
mod tick;
mod unwritten;
mod view;

use std::sync::Arc;

use smallvec::SmallVec;

use self::acquire::Wish;
use self::answers::Answers;
use self::codec::Corrupt;
use self::command::{Actor, Command, Facts, LockView, Reply, Target, Targets};
use self::conflict::Conflicts;
use self::dedup::Dedup;
use self::draft::Draft;
use self::event::{Broadcast, Event, Sighting};
use self::log_clock::LogClock;
use self::notice::Notify;
pub use self::resources::DocumentView;
use self::resources::Resources;
use self::rooms::Rooms;
pub use self::rooms::{Gap, Missed};
pub use self::settings::{EditSettings, LockSettings, Settings};
use self::soft::Soft;
pub use self::unwritten::{Agreed, Unwritten};
pub use self::view::BLOCKERS_SHOWN_MAX;
use crate::id::{BuildingId, IdMap, ResourceId, RoomId, SessionId, UserId};
use crate::lock::guard::{Guard, Guards};
use crate::lock::queue::Queue;
use crate::lock::request::Requests;
use crate::lock::table::Table;
use crate::lock::timer::{Timer, Timers};
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
    soft: Vec<Soft>,
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
    pub targets: Targets,
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

/// The state of one building: what the log says, and the soft state that goes with it until the process ends.
#[derive(Clone, Debug)]
pub struct Building {
    id: BuildingId,
    settings: Arc<Settings>,
    guards: Guards,
    // The fold of the log.
    position: u64,
    rooms: Rooms,
    dedup: Dedup,
    table: Table,
    clock: LogClock,
    resources: Resources,
    answers: Answers,
    conflicts: Conflicts,
    // Soft.
    queue: Queue,
    requests: Requests,
    timers: Timers,
    suspended: IdMap<SessionId, Mono>,
}

impl Building {
    /// A building in which nothing has happened.
    pub fn new(id: BuildingId, settings: Arc<Settings>) -> Self {
        Building {
            id,
            settings,
            guards: Guards::default(),
            position: 0,
            rooms: Rooms::default(),
            dedup: Dedup::default(),
            table: Table::default(),
            clock: LogClock::default(),
            resources: Resources::default(),
            answers: Answers::default(),
            conflicts: Conflicts::default(),
            queue: Queue::default(),
            requests: Requests::default(),
            timers: Timers::default(),
            suspended: IdMap::default(),
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
        let mut draft = Draft::new(self, facts);
        let reply = match command {
            Command::Broadcast { room, from, message, client_msg_id } => {
                draft.broadcast(room, from.as_ref(), message, client_msg_id)
            }
            Command::Acquire { actor, lock_type, targets, ttl_ms, wait_ms, metadata } => draft.acquire(Wish {
                actor,
                lock_type: *lock_type,
                targets,
                ttl_ms: *ttl_ms,
                wait_ms: *wait_ms,
                metadata,
            }),
            Command::Release { actor, lock } => draft.release_own(actor, *lock),
            Command::Renew { actor, lock, ttl_ms } => draft.renew(actor, *lock, *ttl_ms),
            Command::TakeOver { actor, lock } => draft.take_over(actor, *lock),
            Command::CancelWait { actor, ticket } => draft.cancel_wait(actor, *ticket),
            Command::RequestLock { actor, lock, message, respond_ms } => {
                draft.request_lock(actor, *lock, message, *respond_ms)
            }
            Command::RespondLockRequest { actor, request, decision, message } => {
                draft.respond(actor, *request, *decision, message)
            }
            Command::RetractLockRequest { actor, request } => draft.retract(actor, *request),
            Command::ForceRelease { lock, expected, reason, by } => draft.force_release(*lock, *expected, reason, by),
            Command::Adopt { resource, kind, version, document } => draft.adopt(resource, *kind, *version, document),
            Command::Edit(wish) => draft.edit(wish),
            Command::ReportConflict { target, parties, kind, severity, description } => {
                draft.report(target, parties, kind, *severity, description)
            }
            Command::ResolveConflict { conflict, by, revision, resolution } => {
                draft.resolve(*conflict, by, *revision, resolution)
            }
            Command::RestoreValue { conflict, by, whose, path } => {
                draft.restore(*conflict, by, whose.as_ref(), path.as_ref())
            }
            Command::Stored { resources } => draft.stored(resources),
            Command::Activity { session, room } => {
                if self.table.count_of_session(session) > 0 {
                    draft.soft.push(Soft::Touch { session: session.clone(), room: room.clone() });
                }
                Reply::Done
            }
            Command::SessionSuspended { session } => {
                draft.soft.push(Soft::Suspended(session.clone()));
                Reply::Done
            }
            Command::SessionResumed { session } => {
                draft.soft.push(Soft::Resumed(session.clone()));
                Reply::Done
            }
            Command::SessionEnded { session } => draft.end_session(session, None),
            Command::Kicked { session, reason, by } => draft.end_session(session, Some((by, reason))),
            Command::Tick => draft.tick(),
        };
        draft.finish(reply)
    }

    /// Lets a decision happen: its events and the soft changes that go with them. The facts are those it was made with.
    pub fn apply(&mut self, facts: &Facts, decision: &Decision) {
        for event in &decision.events {
            self.evolve(event);
            self.start_leases(facts, event);
            self.start_timeouts(facts, event);
        }
        for soft in &decision.soft {
            self.change(facts, soft);
        }
    }

    /// Lets an event of the log happen. Total: any event in any state gives a state.
    pub fn evolve(&mut self, event: &Event) {
        self.position = self.position.saturating_add(1);
        match event {
            Event::Broadcast(broadcast) => {
                self.dedup.advance(broadcast.at, self.settings.dedup_ms);
                if let (Some((session, ..)), Some(name)) = (&broadcast.from, &broadcast.client_msg_id) {
                    self.dedup.remember(session, name, broadcast.seen.seq, self.settings.dedup_max);
                }
            }
            Event::LockGranted(granted) => {
                self.dedup.advance(granted.at, self.settings.dedup_ms);
                self.table.insert(granted);
            }
            Event::LockReleased(released) => {
                self.dedup.advance(released.at, self.settings.dedup_ms);
                if let Some(lock) = self.table.remove(released.token) {
                    self.timers.disarm(lock.lease.armed, Timer::Lease(lock.token));
                }
            }
            _ => self.evolve_documents(event),
        }
        for seen in event.sightings() {
            let room = self.rooms.intern(seen.room);
            self.rooms.record(room, seen.seq, event, seen.target, &self.settings);
        }
    }

    /// When [`Command::Tick`] next has something to do. A shell lets it run before other commands once it is due.
    pub fn due(&self) -> Option<Mono> {
        [self.timers.next(), self.conflicts.next_due()].into_iter().flatten().min()
    }

    /// How many messages the room has seen; 0 when nothing ever happened there.
    pub fn seq(&self, room: &RoomId) -> u64 {
        self.rooms.seq(room)
    }

    /// The smallest `since` for which [`Building::missed`] can still give everything.
    pub fn oldest(&self, room: &RoomId) -> u64 {
        self.rooms.oldest(room)
    }

    /// Everything in `room` after `since`, or why that cannot be given in full.
    pub fn missed(&self, room: &RoomId, since: u64) -> Result<Vec<Missed<'_>>, Gap> {
        self.rooms.missed(room, since)
    }

    /// The tokens of all locks held, in order.
    pub fn locks(&self) -> impl Iterator<Item = Token> {
        self.table.iter().map(|lock| lock.token)
    }

    /// A lock, if it is held.
    pub fn lock_view(&self, facts: &Facts, lock: LockId) -> Option<LockView> {
        self.table.get(lock.0).map(|lock| self.view(facts, lock))
    }

    /// The locks that are seen in a room, in order of token.
    pub fn locks_in_room(&self, facts: &Facts, room: &RoomId) -> Vec<LockView> {
        self.table.in_room(room).map(|lock| self.view(facts, lock)).collect()
    }

    /// The locks on exactly this resource, in order of token.
    pub fn locks_on(&self, facts: &Facts, resource: &ResourceId) -> Vec<LockView> {
        self.table.on_resource(resource).map(|lock| self.view(facts, lock)).collect()
    }

    /// All locks, in order of token.
    pub fn lock_views(&self, facts: &Facts) -> Vec<LockView> {
        self.table.iter().map(|lock| self.view(facts, lock)).collect()
    }

    /// How many locks are held.
    pub fn lock_count(&self) -> usize {
        self.table.len()
    }

    /// How many locks are seen in a room.
    pub fn lock_count_in(&self, room: &RoomId) -> usize {
        self.table.count_in_room(room)
    }

    /// How many locks a session holds.
    pub fn lock_count_of(&self, session: &SessionId) -> usize {
        self.table.count_of_session(session)
    }

    /// How many wait for a lock.
    pub fn waiter_count(&self) -> usize {
        self.queue.len()
    }

    /// All who wait, the first who came first.
    pub fn waiter_views(&self, facts: &Facts) -> Vec<WaiterView> {
        self.queue.iter().map(|waiter| self.view_waiter(facts, waiter)).collect()
    }

    /// Who stands in the way of an exclusive edit of the target: holders (at most [`BLOCKERS_SHOWN_MAX`]), and those
    /// who wait.
    pub fn why(&self, facts: &Facts, target: &Target) -> (Vec<LockView>, Vec<WaiterView>) {
        self.why_not(facts, target)
    }

    /// May the bearer of `token` write `target`? `grid` is a write of the grid calibration.
    pub fn verify(&self, facts: &Facts, token: Token, target: &Target, grid: bool) -> Verify {
        self.check_token(facts, token, target, grid)
    }

    /// The owners of locks, in order of session: session, person, shown name, and whether it never said `hello`.
    pub fn sessions_with_locks(&self) -> Vec<(SessionId, UserId, Arc<str>, bool)> {
        let owner = |lock: &crate::lock::table::Lock| {
            (lock.session.clone(), lock.user.clone(), lock.username.clone(), lock.legacy)
        };
        let mut owners: Vec<_> = self.table.iter().map(owner).collect();
        owners.sort_by(|a, b| a.0.cmp(&b.0));
        owners.dedup_by(|a, b| a.0 == b.0);
        owners
    }

    /// Arms what is due by the clock after a replay: every owner of a lock counts as suspended until it comes back, and
    /// the people of a conflict have all their time again.
    pub fn after_restart(&mut self, now: Mono, wall: Wall) {
        self.start_all_leases(now, wall);
        self.start_all_timeouts(now);
    }

    /// The durable part of the state.
    pub fn snapshot(&self) -> Vec<u8> {
        self.to_image()
    }

    /// The state of which `bytes` are the durable part.
    pub fn restore(id: BuildingId, bytes: &[u8], settings: Arc<Settings>) -> Result<Building, Corrupt> {
        Building::from_image(id, bytes, settings)
    }

    /// A stable hash of the durable part.
    pub fn digest(&self) -> u64 {
        self.hash()
    }

    /// Whether the state contradicts itself. Looks at everything: for tests and simulations.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.check()
    }

    /// Takes safeguards away, to prove that a simulation would notice.
    #[cfg(feature = "broken-guards")]
    pub fn set_guards(&mut self, guards: Guards) {
        self.guards = guards;
    }
}

impl Draft<'_> {
    fn broadcast(
        &mut self,
        room: &RoomId,
        from: Option<&Actor>,
        message: &str,
        client_msg_id: &Option<Box<str>>,
    ) -> Reply {
        let known = from.zip(client_msg_id.as_ref());
        let told = known.and_then(|(actor, name)| self.building.dedup.find(&actor.session, name));
        if let Some(seq) = told.filter(|_| self.holds(Guard::Dedup)) {
            return Reply::Sequenced { seq, duplicate: true };
        }
        let seq = self.next_seq(room);
        self.push(Event::Broadcast(Arc::new(Broadcast {
            at: self.facts.wall,
            seen: Sighting { room: room.clone(), seq },
            from: from.map(|actor| (actor.session.clone(), actor.user.clone(), actor.username.clone())),
            message: message.into(),
            client_msg_id: client_msg_id.clone(),
        })));
        Reply::Sequenced { seq, duplicate: false }
    }
}
