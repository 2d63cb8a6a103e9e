//! Who talks to the origin of documents while the hub goes on?
//!
//! Two tasks on the ordinary runtime: one loads documents, one writes them. The hub asks through an [`OriginHandle`],
//! which never waits, and is answered through a channel that its thread reads. So a slow disk makes first edits slow,
//! and nothing else.
//!
//! What is to be written is kept in [`super::pending`] until it is: gathered for a window, tried again after a failure,
//! and at the end of the daemon written before the process ends. At most [`LOADS_MAX`] loads wait; another one is
//! refused at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arxosrt_core::id::{BuildingId, ResourceId};
use tokio::runtime;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::directory::Trouble;
use super::document;
use super::documents::{Document, Kind};
use super::pending::{BYTES_MAX, DOCUMENTS_MAX, Pending, Turn};
use super::store::DocumentStore;
use super::write_back::{Outcome, Report, Stored};
use crate::metrics::Metrics;

/// How many loads may wait.
pub const LOADS_MAX: usize = 1024;
/// How many loads are carried out at once.
const LOADS_AT_ONCE: usize = 16;
/// How many answers may wait for the hub; beyond, the origin waits for it.
const ANSWERS_MAX: usize = 1024;
/// How long the end of the daemon waits for documents that cannot be written.
const FINISH_PATIENCE: Duration = Duration::from_secs(10);
/// How often it tries in that time.
const FINISH_PAUSE: Duration = Duration::from_millis(200);

/// How the origin is used.
#[derive(Clone, Copy, Debug)]
pub struct OriginSettings {
    /// Whether edits get into the folder.
    pub write_back: bool,
    /// For how long changes of a building are gathered.
    pub window: Duration,
}

/// What the origin has to say to the hub.
#[derive(Debug)]
pub enum OriginAnswer {
    /// A load is over.
    Loaded {
        /// The building that was named.
        building: BuildingId,
        /// What was asked for.
        resource: ResourceId,
        /// Its document, or nothing when there is none.
        result: Result<Option<Document>, Trouble>,
    },
    /// These versions are in the folder, and on the disk.
    Written {
        /// The building.
        building: BuildingId,
        /// The things, with the version that was written.
        resources: Vec<(ResourceId, u64)>,
    },
    /// This version will never be in the folder: it does not fit into it. The log still has it.
    Refused {
        /// The building.
        building: BuildingId,
        /// The thing.
        resource: ResourceId,
        /// The version.
        version: u64,
        /// Why.
        why: String,
    },
}

/// What became of documents that were handed over.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Taken {
    /// They will be written, and an answer says when. Newer versions of the same things may replace them until then.
    Pending,
    /// Nothing is written back: there is no folder, or it is not to be changed. The log has them.
    InLogOnly,
    /// These were too many; the others are pending. They may be handed over again when something was written.
    Full(Vec<Stored>),
}

/// More than [`LOADS_MAX`] loads wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyLoads;

impl fmt::Display for TooManyLoads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the origin is {LOADS_MAX} loads behind")
    }
}

impl std::error::Error for TooManyLoads {}

/// Documents were not written before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// How many.
    pub documents: usize,
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} documents could not be written to the origin", self.documents)
    }
}

/// The hub's end.
#[derive(Clone, Debug)]
pub struct OriginHandle {
    loads: mpsc::Sender<(BuildingId, ResourceId)>,
    shared: Arc<Shared>,
}

/// The daemon's end: it lets the origin finish.
#[derive(Debug)]
pub struct Origin {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    loader: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    documents: Option<DocumentStore>,
    settings: OriginSettings,
    pending: Mutex<Pending>,
    /// Something became due, or the end has come.
    changed: Notify,
    ending: AtomicBool,
    /// Something was refused, and nothing has been taken since: said once.
    is_full: AtomicBool,
    /// The last load failed: said once.
    loads_fail: AtomicBool,
    metrics: Arc<Metrics>,
}

/// Starts the origin's tasks. Without a place of documents every load finds nothing.
pub fn start(
    runtime: &runtime::Handle,
    settings: OriginSettings,
    documents: Option<DocumentStore>,
    metrics: Arc<Metrics>,
) -> (Origin, OriginHandle, mpsc::Receiver<OriginAnswer>) {
    let (loads_in, loads) = mpsc::channel(LOADS_MAX);
    let (answers_in, answers) = mpsc::channel(ANSWERS_MAX);
    let shared = Arc::new(Shared {
        documents: documents.clone(),
        settings,
        pending: Mutex::default(),
        changed: Notify::new(),
        ending: AtomicBool::new(false),
        is_full: AtomicBool::new(false),
        loads_fail: AtomicBool::new(false),
        metrics,
    });
    let loader = runtime.spawn(load_all(shared.clone(), loads, answers_in.clone()));
    let writer = documents
        .filter(|_| settings.write_back)
        .map(|documents| runtime.spawn(write_all(shared.clone(), documents, answers_in)));
    (Origin { shared: shared.clone(), writer, loader }, OriginHandle { loads: loads_in, shared }, answers)
}

impl OriginHandle {
    /// Asks for a thing's document; the answer is [`OriginAnswer::Loaded`].
    pub fn load(&self, building: BuildingId, resource: ResourceId) -> Result<(), TooManyLoads> {
        self.loads.try_send((building, resource)).map_err(|_| TooManyLoads)
    }

    /// Hands over documents to be written. The caller never waits.
    pub fn store(&self, documents: Vec<Stored>) -> Taken {
        let shared = &self.shared;
        let Some(store) = shared.documents.as_ref().filter(|_| shared.settings.write_back) else {
            return Taken::InLogOnly;
        };
        let documents: Vec<Stored> = documents.into_iter().filter(|stored| store.takes(stored.kind)).collect();
        if documents.is_empty() {
            return Taken::InLogOnly;
        }
        let due = Instant::now() + shared.settings.window;
        let mut pending = shared.pending();
        let was_due = pending.due();
        let refused: Vec<Stored> = documents.into_iter().filter_map(|stored| pending.put(stored, due).err()).collect();
        if pending.due() != was_due {
            shared.changed.notify_one();
        }
        let is_full = !refused.is_empty();
        if is_full && !shared.is_full.load(Ordering::Relaxed) {
            tracing::warn!("as many documents wait to be written as may: {DOCUMENTS_MAX}, or {BYTES_MAX} bytes");
        }
        shared.is_full.store(is_full, Ordering::Relaxed);
        if is_full { Taken::Full(refused) } else { Taken::Pending }
    }
}

impl Origin {
    /// Writes what is pending. Nobody hands over documents any more.
    pub async fn finish(self) -> Result<(), Unwritten> {
        self.loader.abort();
        self.shared.ending.store(true, Ordering::Release);
        self.shared.changed.notify_one();
        if let Some(writer) = self.writer {
            // Whether it was in time is seen by what is left.
            let _ = timeout(FINISH_PATIENCE, writer).await;
        }
        match self.shared.pending().len() {
            0 => Ok(()),
            documents => Err(Unwritten { documents }),
        }
    }
}

impl Shared {
    fn pending(&self) -> Counted<'_> {
        // A panic within leaves at worst an entry more than is needed.
        Counted { pending: self.pending.lock().unwrap_or_else(PoisonError::into_inner), metrics: &self.metrics }
    }

    /// What a load finds: what is not written yet goes before what the origin has.
    async fn load(&self, building: BuildingId, resource: ResourceId) -> OriginAnswer {
        let began = Instant::now();
        let waiting = self.pending().get(&building, &resource).cloned();
        let result = match (waiting, &self.documents) {
            (Some(stored), _) => Ok(unwritten(stored)),
            (None, Some(documents)) => documents.load(&building, &resource).await,
            (None, None) => Ok(None),
        };
        self.metrics.origin_load.observe_span(began.elapsed());
        if let Err(trouble) = &result {
            self.metrics.origin_load_failures.inc();
            if !self.loads_fail.load(Ordering::Relaxed) {
                tracing::warn!(building = %building, %trouble, "documents cannot be loaded");
            }
        }
        self.loads_fail.store(result.is_err(), Ordering::Relaxed);
        OriginAnswer::Loaded { building, resource, result }
    }
}

/// The documents that wait. Their number is on record when they are let go.
struct Counted<'a> {
    pending: MutexGuard<'a, Pending>,
    metrics: &'a Metrics,
}

impl std::ops::Deref for Counted<'_> {
    type Target = Pending;
    fn deref(&self) -> &Pending {
        &self.pending
    }
}

impl std::ops::DerefMut for Counted<'_> {
    fn deref_mut(&mut self) -> &mut Pending {
        &mut self.pending
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.origin_pending.set(self.pending.len() as u64);
    }
}

fn unwritten(stored: Stored) -> Option<Document> {
    let Stored { kind, floor, document, version, .. } = stored;
    let text = document?;
    let floors = match kind {
        Kind::Floor => vec![floor],
        Kind::Object | Kind::Route => match serde_json::from_str::<document::Item>(&text) {
            Ok(item) => {
                let own = item.floor_id.unwrap_or(floor);
                let others: Vec<_> = item.floors.into_iter().filter(|other| *other != own).collect();
                std::iter::once(own).chain(others).collect()
            }
            Err(_) => vec![floor],
        },
    };
    Some(Document { kind, text: text.as_ref().into(), version, floors })
}

async fn load_all(
    shared: Arc<Shared>,
    mut loads: mpsc::Receiver<(BuildingId, ResourceId)>,
    answers: mpsc::Sender<OriginAnswer>,
) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            asked = loads.recv(), if under_way.len() < LOADS_AT_ONCE => {
                let Some((building, resource)) = asked else { break };
                let (shared, answers) = (shared.clone(), answers.clone());
                under_way.spawn(async move {
                    let answer = shared.load(building, resource).await;
                    // A hub that has gone needs no answer.
                    let _ = answers.send(answer).await;
                });
            }
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn write_all(shared: Arc<Shared>, documents: DocumentStore, answers: mpsc::Sender<OriginAnswer>) {
    let mut is_hurried = false;
    loop {
        let now = Instant::now();
        let (ready, due) = {
            let mut pending = shared.pending();
            if shared.ending.load(Ordering::Acquire) {
                if pending.is_empty() {
                    return;
                }
                // What fails from now on is tried again soon, but not without a pause.
                pending.hurry(if is_hurried { now + FINISH_PAUSE } else { now });
                is_hurried = true;
            }
            (pending.ready(now), pending.due())
        };
        if let Some((building, stored)) = ready {
            write(&shared, &documents, &answers, building, stored).await;
            continue;
        }
        tokio::select! {
            () = shared.changed.notified() => {}
            () = async { sleep_until(due.expect("it is only waited for when it is there")).await }, if due.is_some() => {}
        }
    }
}

/// One attempt to write what waits for a building.
async fn write(
    shared: &Shared,
    documents: &DocumentStore,
    answers: &mpsc::Sender<OriginAnswer>,
    building: BuildingId,
    stored: Vec<Stored>,
) {
    let versions: Vec<(ResourceId, u64)> =
        stored.iter().map(|stored| (stored.resource.clone(), stored.version)).collect();
    let reports = documents
        .store(&building, stored)
        .await
        .unwrap_or_else(|trouble| vec![Report { outcome: Outcome::Failed(trouble), diverged: None }; versions.len()]);
    let (mut written, mut refused, mut failure) = (Vec::new(), Vec::new(), None);
    let mut diverged = Vec::new();
    for ((resource, version), report) in versions.into_iter().zip(reports) {
        diverged.extend(report.diverged.map(|diverged| (resource.clone(), diverged)));
        match report.outcome {
            Outcome::Written => written.push((resource, version)),
            Outcome::Refused(why) => refused.push((resource, version, why)),
            Outcome::Failed(trouble) => failure = failure.or(Some(trouble)),
        }
    }
    let metrics = &shared.metrics;
    metrics.origin_written.add(written.len() as u64);
    metrics.origin_diverged.add(diverged.len() as u64);
    metrics.origin_write_failures.add(u64::from(failure.is_some()));
    if let Some((resource, found)) = diverged.first() {
        tracing::warn!(
            building = %building,
            resource = %resource,
            expected = found.expected,
            found = found.found,
            things = diverged.len(),
            "somebody else had changed the origin; what was agreed on was written over it"
        );
    }
    let done: Vec<(ResourceId, u64)> = written
        .iter()
        .cloned()
        .chain(refused.iter().map(|(resource, version, _)| (resource.clone(), *version)))
        .collect();
    let turn = {
        let window = shared.settings.window;
        shared.pending().settled(&building, &done, failure.is_some(), Instant::now(), window)
    };
    match (turn, failure) {
        (Turn::Fails, Some(trouble)) => {
            tracing::warn!(building = %building, %trouble, "documents cannot be written; they are kept and tried again");
        }
        (Turn::Recovers(failures), _) => {
            tracing::info!(building = %building, failures, "documents can be written again");
        }
        _ => {}
    }
    let refused = refused.into_iter().map(|(resource, version, why)| {
        tracing::error!(building = %building, resource = %resource, version, why, "a document does not fit the origin");
        OriginAnswer::Refused { building: building.clone(), resource, version, why }
    });
    // A hub that has gone needs no answer.
    for answer in refused {
        let _ = answers.send(answer).await;
    }
    if !written.is_empty() {
        let _ = answers.send(OriginAnswer::Written { building, resources: written }).await;
    }
}
