//! The hub of one core: rooms, connections, buildings and outboxes, reached by direct calls.
//!
//! One thread owns a [`Hub`]. Readers call it as bytes arrive; what they cause is encoded once into the turn's
//! [`arena`] and noted at each receiver. [`Hub::end_turn`] then hands what must be durable to the store and writes to
//! each connection once, with the help of [`writers`] where there are many. Nobody is woken per receiver, and nothing is
//! locked or counted per delivery.
//!
//! - `clients`: connections and sessions begin, resume, end; what a client says is carried out in `speech`;
//! - `rooms`: joining, leaving, presence; `editing`: edits and their documents; `conflicts`: who hears of which;
//!   `forecast`: who is warned of one; `locking`: commands to buildings and what their answers mean;
//! - `commit` and `batch`: what waits for the store; `recovery`: back to what is committed; `flush`: the end of a turn, and slow
//!   clients;
//! - `ticks`: everything that is due by the clock; `answer`: questions from REST and the control socket; `lists`: their
//!   lists; `operate`: what they change, with its record; `unwritten`: what the origin has not got yet.

pub mod answer;
pub mod arena;
pub mod ask;
mod batch;
pub mod clients;
pub mod commit;
mod conflicts;
mod editing;
pub mod fail;
pub mod flush;
mod forecast;
pub mod lists;
pub mod locking;
pub mod observe;
pub mod operate;
pub mod outbox;
pub mod recovery;
pub mod rooms;
pub mod settings;
mod settle;
pub mod speech;
pub mod state;
pub mod ticks;
pub mod token;
mod unwritten;
pub mod writers;
pub mod writing;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use arxosrt_core::building::command::Facts;
use arxosrt_core::building::event::Event;
use arxosrt_core::directory::Directory;
use arxosrt_core::id::{BuildingId, RoomId, SessionId, UserId};
use arxosrt_core::lock::{Token, TokenSource};
use arxosrt_core::time::{Mono, Wall};
use slab::Slab;
use tokio::sync::Notify;

use crate::cache::CacheHandle;
use crate::metrics::Metrics;
use crate::origin::service::OriginHandle;
use crate::preload::Signals;
use crate::store::{Store, Tail};
use arena::{Arena, Class, Span};
use settings::Settings;
use state::{Conn, Host, Room, Session, User};
pub use state::{ConnKey, HostKey, RoomKey, SessionKey, UserKey};

/// Both clocks. The monotonic one counts from the start; a test may move either of them.
#[derive(Clone)]
pub struct Clock {
    origin: Instant,
    ahead_ms: Arc<AtomicU64>,
    wall_ahead_ms: Arc<AtomicI64>,
    stalled_ms: Arc<AtomicU64>,
}

impl Clock {
    /// Starts counting now.
    pub fn start() -> Self {
        Clock {
            origin: Instant::now(),
            ahead_ms: Arc::default(),
            wall_ahead_ms: Arc::default(),
            stalled_ms: Arc::default(),
        }
    }

    /// Milliseconds since the start.
    pub fn mono(&self) -> Mono {
        Mono(self.passed_ms().saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }

    /// Milliseconds since the start that really passed, or were stalled.
    fn passed_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        elapsed.saturating_add(self.stalled_ms.load(Ordering::Relaxed))
    }

    /// Lets monotonic time pass as it does for a process that is stopped meanwhile.
    pub fn stall(&self, ms: u64) {
        self.stalled_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// The wall clock.
    pub fn wall(&self) -> Wall {
        let ms = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Wall(ms.saturating_add(self.wall_ahead_ms.load(Ordering::Relaxed)))
    }

    /// Lets monotonic time pass at once. What is due by then is done at the next tick.
    pub fn advance(&self, ms: u64) {
        self.ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Lets the wall clock jump, forwards or backwards.
    pub fn jump_wall(&self, ms: i64) {
        self.wall_ahead_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

/// What the hub is made of.
pub struct Parts {
    /// Bounds and times.
    pub settings: Arc<Settings>,
    /// Bounds and times of buildings.
    pub building: Arc<arxosrt_core::building::Settings>,
    /// Which building and floor a thing is in.
    pub directory: Arc<Directory>,
    /// Where documents come from and go to.
    pub origin: OriginHandle,
    /// Who is told what people have changed.
    pub cache: CacheHandle,
    /// Who is told where people go.
    pub signals: Signals,
    /// The store.
    pub store: Arc<Store>,
    /// Where passing events are noted before they are told.
    pub tail: Tail,
    /// What an earlier run left behind.
    pub recovered: crate::store::Recovered,
    /// `memory` or `embedded`, for people.
    pub engine: &'static str,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What time it is.
    pub clock: Clock,
    /// The threads that help to write; none if the hub's own does it alone.
    pub writers: Option<flush::FlushWriters>,
    /// Tells the world whether the daemon is ready.
    pub ready: tokio::sync::watch::Sender<ReadyState>,
}

/// Whether the daemon can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// Not yet.
    Starting,
    /// Yes.
    Ready,
    /// The store cannot commit: what people agree on is read-only.
    ReadOnly,
    /// It is about to stop.
    Draining,
}

impl ReadyState {
    /// The name that people see.
    pub fn as_str(self) -> &'static str {
        match self {
            ReadyState::Starting => "starting",
            ReadyState::Ready => "ready",
            ReadyState::ReadOnly => "read_only",
            ReadyState::Draining => "draining",
        }
    }
}

/// The hub of one core.
pub struct Hub {
    settings: Arc<Settings>,
    limits_json: String,
    building_settings: Arc<arxosrt_core::building::Settings>,
    directory: Arc<Directory>,
    origin: OriginHandle,
    cache: CacheHandle,
    signals: Signals,
    metrics: Arc<Metrics>,
    ready: tokio::sync::watch::Sender<ReadyState>,
    engine: &'static str,

    clock: Clock,
    now: Mono,
    wall: Wall,
    /// Readers have read the clocks in the turn that is under way.
    clock_read: bool,
    started: Wall,
    tokens: Arc<TokenSource>,
    signer: token::Signer,
    epoch: Box<str>,

    conns: Slab<Conn>,
    sessions: Slab<Session>,
    users: Slab<User>,
    rooms: Slab<Room>,
    hosts: Slab<Host>,
    session_ids: HashMap<SessionId, SessionKey>,
    /// In order, for pages of the list.
    user_ids: BTreeMap<UserId, UserKey>,
    room_ids: HashMap<RoomId, RoomKey>,
    host_ids: HashMap<BuildingId, HostKey>,
    /// Edits that wait for their documents.
    waiting: editing::Waiting,
    /// Conflicts of loaded buildings.
    conflicts: conflicts::ConflictIndex,
    risk: forecast::Risk,
    /// Where things lie that an edit has moved, or that began with an edit: the directory does not know that.
    placed: HashMap<arxosrt_core::id::ResourceId, conflicts::Spot>,
    /// Buildings of which the origin does not have everything.
    edited: BTreeSet<HostKey>,
    /// Every lock held in a loaded building.
    lock_hosts: BTreeMap<Token, HostKey>,
    /// Every room with members or locks, in order, for pages of the list.
    shown_rooms: BTreeMap<RoomId, lists::Shown>,
    /// Buildings that have a log but are not in memory.
    asleep: HashSet<BuildingId>,
    /// Buildings whose log is damaged: as many as there are damaged ones.
    closed: BTreeSet<BuildingId>,
    per_address: HashMap<IpAddr, u32>,
    next_serial: u32,

    arena: Arena,
    dirty: Vec<ConnKey>,
    /// So many of the dirty connections are written to in the flush that is under way.
    flushed: usize,
    /// Not here while they are at work.
    writers: Option<flush::FlushWriters>,
    presence: Vec<(RoomKey, UserKey)>,
    /// Messages taken in since the start; the flusher looks whether more keep coming.
    pub messages: u64,
    flush_wanted: Rc<Notify>,
    drains: Vec<ConnKey>,

    store: Arc<Store>,
    tail: Tail,
    open: batch::OpenBatch,
    inflight: VecDeque<batch::Inflight>,
    batch_number: u64,
    writable: bool,
    /// The store takes batches, as far as it has said.
    store_open: bool,
    /// The first batch that the store did not take in; it fails when the ones before it are reported.
    refused: Option<(u64, String)>,
    broken_hosts: Vec<HostKey>,
    /// What members have heard and no commit has confirmed, by building: the log's position before it, and the events.
    /// They are decided again, before anything else, when the store is back.
    told: HashMap<HostKey, (u64, Vec<Event>)>,
    /// Connections (by serial) that will be told where a room stands: what waits in front of that is not for them.
    newcomers: Vec<(RoomKey, u32)>,

    calendar: BTreeSet<(Mono, HostKey)>,
    graces: BTreeSet<(Mono, SessionKey)>,
    diffs: BTreeSet<(Mono, RoomKey)>,
    wheel: ticks::Wheel,
    drain: Option<ticks::Drain>,
    observers: Vec<observe::Observer>,
    /// Until then a session of the run before may be taken up although nothing is known of it.
    reclaim_until: Mono,
    /// Sessions that have ended before then, and may not.
    ended: HashSet<SessionId>,
}

impl Hub {
    /// Builds the hub and folds what an earlier run left behind.
    pub fn new(parts: Parts) -> Result<Self, crate::store::StoreError> {
        let Parts {
            settings,
            building,
            directory,
            origin,
            cache,
            signals,
            store,
            tail,
            recovered,
            engine,
            metrics,
            clock,
            writers,
            ready,
        } = parts;
        let (now, wall) = (clock.mono(), clock.wall());
        let grace_ms = settings.grace_ms;
        let mut hub = Hub {
            limits_json: settings.limits_json(),
            settings,
            building_settings: building,
            directory,
            origin,
            cache,
            signals,
            waiting: editing::Waiting::default(),
            conflicts: conflicts::ConflictIndex::default(),
            risk: forecast::Risk::new(),
            placed: HashMap::new(),
            edited: BTreeSet::new(),
            metrics,
            ready,
            engine,
            clock,
            now,
            wall,
            clock_read: false,
            started: wall,
            tokens: Arc::new(TokenSource::after(Token(recovered.last_token))),
            signer: token::Signer::new(recovered.session_key),
            epoch: recovered.epoch.clone(),
            conns: Slab::new(),
            sessions: Slab::new(),
            users: Slab::new(),
            rooms: Slab::new(),
            hosts: Slab::new(),
            session_ids: HashMap::new(),
            user_ids: BTreeMap::new(),
            room_ids: HashMap::new(),
            host_ids: HashMap::new(),
            lock_hosts: BTreeMap::new(),
            shown_rooms: BTreeMap::new(),
            asleep: recovered.buildings.iter().map(|meta| meta.id.clone()).collect(),
            closed: BTreeSet::new(),
            per_address: HashMap::new(),
            next_serial: 0,
            arena: Arena::default(),
            dirty: Vec::new(),
            flushed: 0,
            writers,
            presence: Vec::new(),
            messages: 0,
            flush_wanted: Rc::new(Notify::new()),
            drains: Vec::new(),
            store,
            tail,
            open: batch::OpenBatch::default(),
            inflight: VecDeque::new(),
            batch_number: 0,
            writable: true,
            store_open: true,
            refused: None,
            broken_hosts: Vec::new(),
            told: HashMap::new(),
            newcomers: Vec::new(),
            calendar: BTreeSet::new(),
            graces: BTreeSet::new(),
            diffs: BTreeSet::new(),
            wheel: ticks::Wheel::new(now),
            drain: None,
            observers: Vec::new(),
            reclaim_until: now.plus(grace_ms.max(settings::TAKE_UP_LEAST_MS)),
            ended: HashSet::new(),
        };
        hub.metrics.store_writable.set(1);
        hub.metrics.writers.set(hub.writers.as_ref().map_or(0, |writers| writers.count() as u64));
        hub.recover(&recovered)?;
        Ok(hub)
    }

    /// Reads both clocks; called for each input but what clients say.
    #[inline]
    pub fn tick_clock(&mut self) {
        self.now = self.clock.mono().max(self.now);
        self.wall = self.clock.wall();
    }

    /// Reads both clocks for the first thing that is read in a turn. What follows in the same turn has come at the same
    /// time: a turn takes in messages for `hub.turn_budget_us` at most.
    #[inline]
    pub fn tick_clock_in_turn(&mut self) {
        if !self.clock_read {
            self.tick_clock();
            self.clock_read = true;
            // Only the turn's end has the clocks read again, so there must be one.
            self.want_turn();
        }
    }

    /// Notified when somebody has something to write.
    pub fn flush_signal(&self) -> Rc<Notify> {
        self.flush_wanted.clone()
    }

    /// The wall clock, as last read.
    pub fn wall_now(&self) -> Wall {
        self.clock.wall()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Tells the world that the hub is at work.
    pub fn announce_ready(&self) {
        self.set_ready();
    }

    /// The hub's bounds.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    fn facts<'a>(now: Mono, wall: Wall, tokens: &'a TokenSource) -> Facts<'a> {
        Facts { now, wall, tokens }
    }

    fn conn_key(&self, slot: u32) -> ConnKey {
        ConnKey { slot, serial: self.conns[slot as usize].serial }
    }

    fn conn(&mut self, key: ConnKey) -> Option<&mut Conn> {
        self.conns.get_mut(key.slot as usize).filter(|conn| conn.serial == key.serial)
    }

    /// Notes a span at one connection.
    #[inline]
    fn push(&mut self, slot: u32, span: Span) {
        let conn = &mut self.conns[slot as usize];
        if conn.phase == state::Phase::Closing {
            return;
        }
        conn.outbox.push(span);
        self.make_dirty(slot);
    }

    /// The connection is written to at the end of the turn.
    #[inline]
    fn make_dirty(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(ConnKey { slot, serial: conn.serial });
            if self.dirty.len() == 1 {
                self.flush_wanted.notify_one();
            }
        }
    }

    /// Makes sure that a turn ends although nobody has anything to write yet.
    fn want_turn(&self) {
        self.flush_wanted.notify_one();
    }

    /// Encodes a message and notes it at one connection.
    fn tell_conn(&mut self, slot: u32, class: Class, room: Option<RoomKey>, encode: impl FnOnce(&mut Vec<u8>)) {
        let span = self.arena.text(class, room, encode);
        self.count_deliveries(class, 1);
        self.push(slot, span);
    }

    fn count_deliveries(&self, class: Class, receivers: u64) {
        use crate::metrics::DeliveryClass;
        let class = match class {
            Class::Control | Class::State => DeliveryClass::Control,
            Class::Sequenced => DeliveryClass::Sequenced,
            Class::Latest { .. } => DeliveryClass::Latest,
        };
        self.metrics.deliveries.add(class, receivers);
    }

    /// Notes a frame at every connection of a room that `wants` it.
    fn fan_out(&mut self, room: RoomKey, span: Span, class: Class, wants: impl Fn(&Conn) -> bool) {
        let members = std::mem::take(&mut self.rooms[room as usize].members);
        let mut receivers = 0;
        for &slot in &members {
            if wants(&self.conns[slot as usize]) {
                receivers += 1;
                self.push(slot, span);
            }
        }
        self.rooms[room as usize].members = members;
        self.count_deliveries(class, receivers);
    }
}
