//! Who makes a building's log durable, and how does it come back after a restart?
//!
//! The hub decides, hands a [`Batch`] to [`Store::commit`], and releases what the batch means once it is committed.
//! [`open`] gives the three things that this takes: the [`Store`], the [`Tail`] in which passing events are noted
//! before they are told, and [`Recovered`], what an earlier run left behind.
//!
//! What always holds:
//! - a batch is committed whole or not at all, its audit with it, and batches are committed in the order in which they
//!   were handed over;
//! - `commit` never waits for the disk;
//! - a part is committed only at the position it was decided at, so two writers of one log can never both succeed;
//! - **once a batch fails, so does every later one, until [`Outcome::Writable`] says otherwise.** Later batches were
//!   decided on top of the failed one. The hub forgets them, waits, loads its buildings anew and goes on;
//! - after [`Outcome::Committed`] the batch survives the death of the process and of the machine.
//!
//! The store knows bytes and positions. What an event is, when a snapshot is due and what a client is told are the
//! hub's business.

mod embedded;
mod error;
mod memory;
mod queue;
mod reader;
mod schema;
mod sys;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

use arxosrt_core::id::BuildingId;

pub use error::StoreError;
pub use tail::{TAIL_SEGMENT_BYTES, TAIL_SEGMENT_BYTES_MAX, Tail, TailError, TailRecord};

/// How many batches may wait for the writer. The hub makes at most one per turn, so this is a disk that has stood
/// still for at least a thousand turns.
pub const QUEUE_BATCHES_MAX: usize = 1024;

/// How many bytes of batches may wait for the writer.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// How many bytes the memory engine keeps; it has no disk to fill.
pub const MEMORY_BYTES_MAX: usize = 1 << 30;

/// How many audit records are kept; the oldest go first.
pub const AUDIT_RECORDS_MAX: u64 = 100_000;

/// Who commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Nobody: everything is committed at once and gone with the process.
    Memory,
    /// A SQLite file beside the daemon.
    Embedded,
}

/// An opened store.
pub struct Opened {
    /// Where batches go.
    pub store: Store,
    /// Where passing events are noted before they are told.
    pub tail: Tail,
    /// What an earlier run left behind.
    pub recovered: Recovered,
}

/// What an earlier run left behind.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Eight characters of `a-z0-9`, born with the store. A new one is given when told events may have been lost.
    pub epoch: Box<str>,
    /// The largest fencing token that was ever committed.
    pub last_token: u64,
    /// A secret born with the store, for signing resume tokens.
    pub session_key: [u8; 32],
    /// Every building that has a log.
    pub buildings: Vec<BuildingMeta>,
    /// The last run ended with [`Store::close`], or there was none.
    pub clean: bool,
    /// The machine died with the last run, or so it must be assumed: what was told but not committed may be lost.
    pub power_lost: bool,
    /// Told but not committed, in order for each building. The hub folds them and commits them again, **all of them
    /// with its first batch**: after that their only copy is the log's.
    pub tail: Vec<TailRecord>,
    /// Tail records that could not be placed on any log. Not 0 means that something told is lost.
    pub tail_dropped: u64,
    /// When the store was born, in milliseconds since 1970.
    pub born_ms: i64,
}

/// A building as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildingMeta {
    /// The building.
    pub id: BuildingId,
    /// Events in its log since it began.
    pub position: u64,
    /// Locks that were held at this position.
    pub live: u32,
}

/// What is committed together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The hub's number for it: 1 for the first of a run, larger for each later one.
    pub number: u64,
    /// At most one part for each building.
    pub parts: Vec<Part>,
    /// The largest fencing token that was given out so far.
    pub last_token: u64,
    /// What operators did.
    pub audit: Vec<AuditRecord>,
}

/// What a batch adds to one building's log.
#[derive(Clone, Debug)]
pub struct Part {
    /// The building.
    pub building: BuildingId,
    /// The log's position at which this was decided.
    pub expected_position: u64,
    /// The encoded events. They come back as one piece.
    pub events: Vec<u8>,
    /// How many events these are: the log's position grows by as much. With 0 nothing is added, which lets a part
    /// carry a snapshot alone.
    pub count: u32,
    /// Locks held after these events.
    pub live: u32,
    /// The building's state after these events. It replaces everything in the log up to here, these events included.
    pub snapshot: Option<Vec<u8>>,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who: `uid 1000 (alice)`.
    pub actor: Box<str>,
    /// The peer's uid.
    pub uid: u32,
    /// The peer's process, 0 when it cannot be seen.
    pub pid: i32,
    /// `view`, `operate` or `admin`.
    pub role: Box<str>,
    /// `lock.force_release` and the like.
    pub action: Box<str>,
    /// To what.
    pub target: Box<str>,
    /// The stated reason; empty when none was asked for.
    pub reason: Box<str>,
    /// `done`, or the code of a refusal.
    pub result: Box<str>,
}

/// An audit record and its number, which grows by one with each record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The number.
    pub id: u64,
    /// The record.
    pub record: AuditRecord,
}

/// A building's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The log's position at its end: 0 when the building has no log.
    pub position: u64,
    /// The newest snapshot and the position that it stands for.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// The batches after it, each with the position before its first event. Nothing is missing between them.
    pub batches: Vec<(u64, Vec<u8>)>,
}

/// A building's log, or what is wrong with it.
pub type LoadedOrNot = Result<Loaded, StoreError>;

/// What became of a batch, when [`Store::commit`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Commit {
    /// It is committed.
    Done,
    /// An [`Outcome`] with its number will follow.
    Pending,
    /// It failed, for this reason, and no outcome with its number will follow. Everything after it fails too, until
    /// [`Outcome::Writable`].
    Refused(String),
}

/// What the store reports by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The batch is durable.
    Committed {
        /// Its number.
        batch: u64,
    },
    /// The batch is not durable, nor is any later one.
    Failed {
        /// Its number.
        batch: u64,
        /// What stood in the way.
        error: String,
    },
    /// Batches are taken again. Comes exactly once after each run of failures.
    Writable,
}

/// Opens the store.
///
/// `path` is the SQLite file of [`EngineKind::Embedded`]; beside it lie `PATH.lock`, held as long as the store lives,
/// and the tail, `PATH.tail-0` and `PATH.tail-1`. `notices` is called on the writer's thread, for the memory engine
/// inside `commit`; it must not wait and must not call the store.
pub fn open(kind: EngineKind, path: &Path, notices: impl Fn(Outcome) + Send + 'static) -> Result<Opened, StoreError> {
    match kind {
        EngineKind::Memory => {
            let (memory, recovered) = memory::Memory::open(Box::new(notices))?;
            Ok(Opened { store: Store(Engine::Memory(memory)), tail: Tail::nowhere(), recovered })
        }
        EngineKind::Embedded => {
            let (embedded, tail, recovered) = embedded::Embedded::open(path, Box::new(notices))?;
            Ok(Opened { store: Store(Engine::Embedded(embedded)), tail, recovered })
        }
    }
}

/// A store of either engine. Shared by reference between threads.
///
/// A store that is dropped without [`Store::close`] commits what waits and lets the file go, but the next run will
/// see an unclean end.
pub struct Store(Engine);

enum Engine {
    Memory(memory::Memory),
    Embedded(embedded::Embedded),
}

type Notices = Box<dyn Fn(Outcome) + Send>;

impl Store {
    /// Hands a batch over. Never waits.
    pub fn commit(&self, batch: Batch) -> Commit {
        match &self.0 {
            Engine::Memory(memory) => memory.commit(batch),
            Engine::Embedded(embedded) => embedded.commit(batch),
        }
    }

    /// The building's committed log. Reads the disk: a fraction of a millisecond, more for a long log.
    pub fn load(&self, building: &BuildingId) -> Result<Loaded, StoreError> {
        match &self.0 {
            Engine::Memory(memory) => Ok(memory.load(building)),
            Engine::Embedded(embedded) => embedded.reader().load(building),
        }
    }

    /// The committed logs of all buildings in which locks are held, in one pass over the store. A log in which something
    /// is missing is told as such, beside the others.
    pub fn load_all_with_locks(&self) -> Result<Vec<(BuildingId, LoadedOrNot)>, StoreError> {
        match &self.0 {
            Engine::Memory(memory) => Ok(memory.load_all_with_locks()),
            Engine::Embedded(embedded) => embedded.reader().load_all_with_locks(),
        }
    }

    /// The newest audit records, the newest first.
    pub fn audit_list(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        match &self.0 {
            Engine::Memory(memory) => Ok(memory.audit_list(limit)),
            Engine::Embedded(embedded) => embedded.reader().audit_list(limit),
        }
    }

    /// Commits what waits, marks the end as clean and lets the file go. Waits for the disk.
    ///
    /// Everything that was taken in is answered before it returns. Fails when the last write fails: then the end is
    /// not clean, and the next run recovers.
    pub fn close(self) -> Result<(), StoreError> {
        match self.0 {
            Engine::Memory(_) => Ok(()),
            Engine::Embedded(embedded) => embedded.close(),
        }
    }
}

impl Loaded {
    /// Events after the newest snapshot.
    pub fn since_snapshot(&self) -> u64 {
        self.position - self.snapshot.as_ref().map_or(0, |(position, _)| *position)
    }
}

impl Batch {
    /// About how much memory the batch holds.
    fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum::<usize>() + self.audit.iter().map(AuditRecord::bytes).sum::<usize>()
    }
}

impl Part {
    fn bytes(&self) -> usize {
        size_of::<Part>() + self.events.len() + self.snapshot.as_ref().map_or(0, Vec::len)
    }
}

impl AuditRecord {
    fn bytes(&self) -> usize {
        let texts = [&self.actor, &self.role, &self.action, &self.target, &self.reason, &self.result];
        size_of::<AuditRecord>() + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

/// Eight characters of `a-z0-9`, each equally likely.
fn new_epoch() -> Result<Box<str>, StoreError> {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut epoch = String::with_capacity(8);
    while epoch.len() < 8 {
        let mut byte = [0];
        getrandom::fill(&mut byte).map_err(StoreError::Random)?;
        // 252 is the largest multiple of 36 in a byte: beyond it the first letters would be likelier.
        if byte[0] < 252 {
            epoch.push(char::from(ALPHABET[usize::from(byte[0] % 36)]));
        }
    }
    Ok(epoch.into_boxed_str())
}

/// A secret.
fn new_key() -> Result<[u8; 32], StoreError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(StoreError::Random)?;
    Ok(key)
}

/// Milliseconds since 1970 by the wall clock: for people.
fn wall_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
