//! How does an operator watch a list change, without the hub paying for it?
//!
//! The hub knows no watchers. It is asked for the list again, page by page, and what differs is told. So that looking
//! never becomes a load:
//!
//! - nobody watches: nothing is asked, and the hub has no observer;
//! - all who watch the same kind share one look, made by one task that lives as long as they do;
//! - a look follows a change, at the earliest [`PAUSE_MIN`] after the last one, and not sooner than [`PAUSE_FACTOR`]
//!   times what the last one took, but at most [`PAUSE_MAX`]: each page is a small piece of the hub's time;
//! - whoever begins to watch begins with a look that was begun after that, so nothing is shown that was gone already;
//! - what passes with time alone (a holder becomes idle) makes no event; therefore a look at least every
//!   [`LOOK_AGAIN`] while somebody watches.
//!
//! A slow reader misses looks, never changes: it is told the difference between what it was told last and how things
//! are now. Figures that change by themselves (`idle_ms`, `expires_in_ms`) are told as of the look but are no change; a
//! lease that was renewed is one, once it ends more than [`RENEWED_BY`] later than was told.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arxosrt_core::control::code::Code;
use arxosrt_core::control::conflict::ConflictRow;
use arxosrt_core::control::document::{Line, LineType};
use arxosrt_core::control::{LockRow, RoomRow, UserRow};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{Notify, mpsc, watch as latest};
use tokio::time::Instant;

use super::STREAM_QUEUE_MAX;
use super::conflicts;
use super::extract::{Params, Viewer};
use super::failure::Failure;
use super::lists;
use super::server::Server;
use super::stream::{self, Ended, Lines};
use crate::hub::ask::Observed;

/// Between two looks.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// Between two looks, as a multiple of what a look took.
const PAUSE_FACTOR: u32 = 20;

/// Between two looks at most, however long a look took: nobody waits longer than this and a look for the first list.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The longest time without a look.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A lease's end must move by this much to be a change: while somebody works it moves with every stroke.
const RENEWED_BY: Duration = Duration::from_secs(1);

/// What can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Rooms,
    Users,
    Locks,
    Conflicts,
}

impl Kind {
    fn of_object(self) -> &'static str {
        match self {
            Kind::Rooms => "Room",
            Kind::Users => "User",
            Kind::Locks => "Lock",
            Kind::Conflicts => "Conflict",
        }
    }

    /// An event of this topic may have changed the list.
    fn depends_on(self, topic: &str) -> bool {
        match self {
            // A room's row holds its sequence number.
            Kind::Rooms => matches!(topic, "room" | "session" | "lock" | "broadcast"),
            Kind::Users => matches!(topic, "room" | "session" | "lock"),
            // A holder may lose its socket.
            Kind::Locks => matches!(topic, "session" | "lock"),
            Kind::Conflicts => topic == "conflict",
        }
    }
}

/// The query of `/v1/watch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchParams {
    kind: Kind,
}

/// `GET /v1/watch`: the list, then `snapshot_end`, then its changes.
pub(super) async fn watch(
    State(server): State<Arc<Server>>,
    _: Viewer,
    Params(WatchParams { kind }): Params<WatchParams>,
) -> Result<Response, Failure> {
    let (lines, response) = stream::open(&server)?;
    let joined = Instant::now();
    let looks = server.watches.join(&server, kind);
    tokio::spawn(async move {
        // The reader is gone or was cut: there is nobody to tell.
        let _ = pump(&server, kind, joined, looks, lines).await;
    });
    Ok(response)
}

type Look = Option<Arc<Snapshot>>;

/// One list at one time.
struct Snapshot {
    revision: u64,
    /// When its first page was asked for.
    began: Instant,
    rows: Vec<Row>,
    places: HashMap<String, usize>,
}

struct Row {
    id: String,
    object: Box<RawValue>,
    /// Digest of the row without the figures that change by themselves.
    stamp: u64,
    /// When its lease ends, as it was when the row last changed.
    lease_end: Option<Instant>,
    /// The revision in which the row last changed.
    changed_in: u64,
}

impl Snapshot {
    /// What the hub answered at `now`, beside what it answered before.
    fn new<T: Watched>(things: Vec<T>, revision: u64, now: Instant, before: Option<&Snapshot>) -> Self {
        let rows = things.into_iter().map(|thing| {
            let mut row = Row::new(thing, revision, now);
            if let Some(old) = before.and_then(|before| before.row(&row.id)).filter(|old| old.is_same(&row)) {
                (row.lease_end, row.changed_in) = (old.lease_end, old.changed_in);
            }
            row
        });
        let rows: Vec<Row> = rows.collect();
        let places = rows.iter().enumerate().map(|(place, row)| (row.id.clone(), place)).collect();
        Snapshot { revision, began: now, rows, places }
    }

    fn row(&self, id: &str) -> Option<&Row> {
        self.places.get(id).map(|&place| &self.rows[place])
    }
}

impl Row {
    fn new<T: Watched>(thing: T, revision: u64, now: Instant) -> Self {
        let object = to_raw_value(&thing).expect("rows are plain data with text keys");
        let (id, lease_end) = (thing.id(), thing.lease_ms().map(|ms| now + Duration::from_millis(ms)));
        let still = serde_json::to_vec(&thing.without_clocks()).expect("rows are plain data with text keys");
        let mut hasher = DefaultHasher::new();
        still.hash(&mut hasher);
        Row { id, object, stamp: hasher.finish(), lease_end, changed_in: revision }
    }

    /// Nothing has changed but clocks.
    fn is_same(&self, later: &Row) -> bool {
        let lease_is_same = match (self.lease_end, later.lease_end) {
            (Some(then), Some(now)) => now.max(then) - now.min(then) <= RENEWED_BY,
            (then, now) => then == now,
        };
        self.stamp == later.stamp && lease_is_same
    }
}

/// Tells the first look since `joined` whole and every later one as a difference.
async fn pump(
    server: &Server,
    kind: Kind,
    joined: Instant,
    mut looks: latest::Receiver<Look>,
    mut lines: Lines,
) -> Result<(), Ended> {
    let mut told: Look = None;
    loop {
        let look = looks.borrow_and_update().clone();
        if let Some(now) = look.filter(|look| look.began >= joined) {
            tell(&mut lines, kind, told.as_deref(), &now).await?;
            told = Some(now);
            lines.flush().await?;
        }
        loop {
            tokio::select! {
                biased;
                () = server.shutdown.cancelled() => return lines.bye(server).await,
                () = lines.hung_up() => return Err(Ended),
                () = lines.silence() => lines.heartbeat().await?,
                changed = looks.changed() => match changed {
                    Ok(()) => break,
                    Err(_hub_has_stopped) => return lines.bye(server).await,
                },
            }
        }
    }
}

async fn tell(lines: &mut Lines, kind: Kind, before: Option<&Snapshot>, now: &Snapshot) -> Result<(), Ended> {
    let line = |kind_of_line, row: &Row| Line {
        kind: Some(kind.of_object().into()),
        revision: Some(now.revision),
        id: Some(row.id.clone()),
        object: Some(row.object.clone()),
        ..Line::bare(kind_of_line)
    };
    for gone in before.into_iter().flat_map(|before| &before.rows).filter(|row| now.row(&row.id).is_none()) {
        lines.push(&line(LineType::Delete, gone)).await?;
    }
    let known =
        |row: &Row| before.and_then(|before| before.row(&row.id)).is_some_and(|old| old.changed_in == row.changed_in);
    for row in now.rows.iter().filter(|row| !known(row)) {
        lines.push(&line(LineType::Put, row)).await?;
    }
    if before.is_none() {
        let end = Line::<()> {
            kind: Some(kind.of_object().into()),
            revision: Some(now.revision),
            ..Line::bare(LineType::SnapshotEnd)
        };
        lines.push(&end).await?;
    }
    Ok(())
}

/// The task of each kind, as long as somebody watches it.
#[derive(Default)]
pub(super) struct Watches {
    rooms: Slot,
    users: Slot,
    locks: Slot,
    conflicts: Slot,
}

/// Where the running task is found. Only the task itself holds it alive.
type Slot = Mutex<Weak<Looking>>;

/// A task that looks, for those who watch.
struct Looking {
    looks: latest::Sender<Look>,
    /// Somebody has joined and waits for a look.
    joined: Notify,
}

impl Watches {
    fn slot(&self, kind: Kind) -> &Slot {
        match kind {
            Kind::Rooms => &self.rooms,
            Kind::Users => &self.users,
            Kind::Locks => &self.locks,
            Kind::Conflicts => &self.conflicts,
        }
    }

    /// Joins the task of this kind, or starts it.
    fn join(&self, server: &Arc<Server>, kind: Kind) -> latest::Receiver<Look> {
        let mut slot = self.slot(kind).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(looking) = slot.upgrade() {
            let looks = looking.looks.subscribe();
            looking.joined.notify_one();
            return looks;
        }
        let (sender, looks) = latest::channel(None);
        let looking = Arc::new(Looking { looks: sender, joined: Notify::new() });
        *slot = Arc::downgrade(&looking);
        tokio::spawn(keep_looking(Arc::clone(server), kind, looking));
        looks
    }

    /// Ends the task of this kind, unless somebody has joined meanwhile.
    fn retire(&self, kind: Kind, looking: &Looking) -> bool {
        let mut slot = self.slot(kind).lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = looking.looks.receiver_count() == 0;
        if is_over {
            *slot = Weak::new();
        }
        is_over
    }
}

async fn keep_looking(server: Arc<Server>, kind: Kind, looking: Arc<Looking>) {
    let sender = &looking.looks;
    // Without an observer there is no hub any more; the sender's drop tells the streams.
    let Ok(mut observed) = server.context.hub.observe(STREAM_QUEUE_MAX).await else {
        return;
    };
    loop {
        let began = Instant::now();
        let before = sender.borrow().clone();
        match look(&server, kind, before.as_deref()).await {
            Ok(snapshot) => {
                sender.send_replace(Some(Arc::new(snapshot)));
            }
            Err(failure) if failure.code == Code::HubGone => return,
            // The next look may do better; until then the streams live by their heartbeats.
            Err(failure) => tracing::debug!(detail = failure.detail, "a list that is watched could not be read"),
        }
        let took = began.elapsed();
        let next = began + took + (took * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX);
        let latest = next.max(began + LOOK_AGAIN);
        tokio::time::sleep_until(next).await;
        tokio::select! {
            biased;
            changed = change(&mut observed, kind) => if changed.is_none() { return },
            () = looking.joined.notified() => {}
            () = sender.closed() => {}
            () = tokio::time::sleep_until(latest) => {}
        }
        if server.watches.retire(kind, &looking) {
            return;
        }
    }
}

/// Waits for something that may have changed the list. `None`: the hub has stopped.
///
/// Events were not taken out while the task paused, so some may have been dropped. That happens only when the queue is
/// full, and then whatever was dropped counts as a change.
async fn change(observed: &mut mpsc::Receiver<Observed>, kind: Kind) -> Option<()> {
    loop {
        let was_full = observed.len() >= STREAM_QUEUE_MAX;
        let mut next = observed.recv().await?;
        let mut is_change = was_full;
        loop {
            is_change |= match &next {
                Observed::Event(event) => kind.depends_on(&event.topic),
                Observed::Gap(_) => true,
            };
            match observed.try_recv() {
                Ok(more) => next = more,
                Err(_) => break,
            }
        }
        if is_change {
            return Some(());
        }
    }
}

/// Asks the hub for the list.
async fn look(server: &Server, kind: Kind, before: Option<&Snapshot>) -> Result<Snapshot, Failure> {
    let revision = server.revision.fetch_add(1, Ordering::Relaxed) + 1;
    let now = Instant::now();
    Ok(match kind {
        Kind::Rooms => Snapshot::new(lists::all::<RoomRow>(server).await?, revision, now, before),
        Kind::Users => Snapshot::new(lists::all::<UserRow>(server).await?, revision, now, before),
        Kind::Locks => Snapshot::new(lists::all::<LockRow>(server).await?, revision, now, before),
        Kind::Conflicts => Snapshot::new(conflicts::all_open(server).await?, revision, now, before),
    })
}

/// A thing whose list can be watched.
trait Watched: Serialize {
    fn id(&self) -> String;

    /// The same without the figures that change by themselves.
    fn without_clocks(self) -> Self;

    /// How long its lease runs, if it has one.
    fn lease_ms(&self) -> Option<u64> {
        None
    }
}

impl Watched for RoomRow {
    fn id(&self) -> String {
        self.room_id.clone()
    }

    fn without_clocks(self) -> Self {
        self
    }
}

impl Watched for UserRow {
    fn id(&self) -> String {
        self.user_id.clone()
    }

    fn without_clocks(self) -> Self {
        UserRow { idle_ms: 0, ..self }
    }
}

impl Watched for LockRow {
    fn id(&self) -> String {
        self.lock_id.clone()
    }

    fn without_clocks(self) -> Self {
        LockRow { idle_ms: 0, expires_in_ms: 0, expires_at: String::new(), ..self }
    }

    fn lease_ms(&self) -> Option<u64> {
        Some(self.expires_in_ms)
    }
}

impl Watched for ConflictRow {
    fn id(&self) -> String {
        self.conflict_id.clone()
    }

    fn without_clocks(self) -> Self {
        ConflictRow { decided_in_ms: None, ..self }
    }
}
