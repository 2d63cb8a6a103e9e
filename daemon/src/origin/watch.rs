//! Has somebody else changed the folder of buildings?
//!
//! The kernel tells of changed files; where it cannot, the folder is looked over every [`LOOK_EVERY`]. What changes within
//! [`GATHER`] is told once, per floor. What the daemon itself writes into a file is not told: see `own_writes`. Floors that
//! it makes and removes are.
//!
//! At most [`FLOORS_MAX`] floors are gathered; beyond, and when the kernel has lost events, all buildings have changed.
//! A floor or a building that is new is not taken in: which there are is read at the start. That is said in the log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arxosrt_core::id::{BuildingId, RoomId};
use notify::{Event, EventKind, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::runtime;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::documents::Documents;
use super::layout::About;

/// For how long changes are gathered.
const GATHER: Duration = Duration::from_millis(150);
/// How often the folder is looked over where the kernel does not tell.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How many floors and unknown folders are gathered.
const FLOORS_MAX: usize = 4096;
/// How many unknown folders are remembered as told.
const TOLD_MAX: usize = 1024;

/// Something in the folder is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// In this building.
    pub building: BuildingId,
    /// On this floor; else the building itself, or nobody knows where in it.
    pub floor: Option<RoomId>,
}

/// Watches for as long as it lives.
pub struct Watch {
    /// Stops when it is dropped.
    _watcher: Box<dyn Watcher + Send>,
    teller: JoinHandle<()>,
}

/// What was seen and not told yet.
#[derive(Default)]
struct Seen {
    changed: BTreeSet<Changed>,
    unknown: BTreeSet<PathBuf>,
    is_everything: bool,
}

struct Shared {
    documents: Arc<Documents>,
    /// The folder without links, as the kernel names it.
    real: PathBuf,
    seen: Mutex<Seen>,
    wake: Notify,
}

impl Watch {
    /// Watches the folder of these documents. `tell` is called on a task and must not block.
    pub fn start(
        runtime: &runtime::Handle,
        documents: Arc<Documents>,
        tell: impl Fn(Changed) + Send + 'static,
    ) -> notify::Result<Watch> {
        Watch::start_with(runtime, documents, false, LOOK_EVERY, tell)
    }

    pub(super) fn start_with(
        runtime: &runtime::Handle,
        documents: Arc<Documents>,
        by_looking: bool,
        look_every: Duration,
        tell: impl Fn(Changed) + Send + 'static,
    ) -> notify::Result<Watch> {
        let real = documents.root.real().to_owned();
        let shared = Arc::new(Shared { documents, real, seen: Mutex::default(), wake: Notify::new() });
        let watcher = match by_looking {
            false => by_events(&shared).or_else(|error| {
                let why = error.to_string();
                tracing::warn!(
                    why,
                    every_s = look_every.as_secs(),
                    "the folder of buildings is looked over instead of watched"
                );
                by_looks(&shared, look_every)
            }),
            true => by_looks(&shared, look_every),
        }?;
        let teller = runtime.spawn(tell_all(shared, tell));
        Ok(Watch { _watcher: watcher, teller })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.teller.abort();
    }
}

fn by_events(shared: &Arc<Shared>) -> notify::Result<Box<dyn Watcher + Send>> {
    let to = shared.clone();
    let mut watcher = RecommendedWatcher::new(move |event| to.note(event), notify::Config::default())?;
    watcher.watch(&shared.real, RecursiveMode::Recursive)?;
    Ok(Box::new(watcher))
}

fn by_looks(shared: &Arc<Shared>, every: Duration) -> notify::Result<Box<dyn Watcher + Send>> {
    let to = shared.clone();
    let config = notify::Config::default().with_poll_interval(every).with_compare_contents(true);
    let mut watcher = PollWatcher::new(move |event| to.note(event), config)?;
    watcher.watch(&shared.real, RecursiveMode::Recursive)?;
    Ok(Box::new(watcher))
}

impl Shared {
    /// On the watcher's own thread.
    fn note(&self, event: notify::Result<Event>) {
        if event.as_ref().is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
            return;
        }
        // Asked before anything is locked: it may have to wait until a file is in place.
        let is_news =
            |path: &&Path| !path.as_os_str().is_empty() && !is_hidden(path) && !self.documents.is_own_write(path);
        let paths = event.as_ref().map_or(&[][..], |event| &event.paths);
        let news: Vec<&Path> =
            paths.iter().filter_map(|path| path.strip_prefix(&self.real).ok()).filter(is_news).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Ok(event) if event.need_rescan() => seen.is_everything = true,
            Ok(_) => {
                for path in news {
                    let changed = match self.documents.state().layout.about(path) {
                        About::Floor(building, floor) => Changed { building, floor: Some(floor) },
                        About::Building(building) => Changed { building, floor: None },
                        About::Unknown => {
                            seen.unknown.insert(path.to_owned());
                            continue;
                        }
                    };
                    seen.changed.insert(changed);
                }
            }
            // What it was about is not known.
            Err(_) => seen.is_everything = true,
        }
        if seen.changed.len() + seen.unknown.len() > FLOORS_MAX {
            *seen = Seen { is_everything: true, ..Seen::default() };
        }
        drop(seen);
        self.wake.notify_one();
    }
}

/// Files that are being written, floors that were deleted, and what editors leave behind.
fn is_hidden(path: &Path) -> bool {
    path.iter().any(|name| name.as_encoded_bytes().starts_with(b"."))
}

async fn tell_all(shared: Arc<Shared>, tell: impl Fn(Changed)) {
    let mut told = BTreeSet::new();
    loop {
        shared.wake.notified().await;
        sleep(GATHER).await;
        let Seen { mut changed, unknown, is_everything } =
            std::mem::take(&mut *shared.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if is_everything {
            let state = shared.documents.state();
            changed
                .extend(state.layout.buildings().map(|building| Changed { building: building.clone(), floor: None }));
        }
        changed.into_iter().for_each(&tell);
        if unknown.is_empty() {
            continue;
        }
        let looking = shared.clone();
        // A floor that people have made is known by now.
        let news =
            spawn_blocking(move || unknown.iter().filter_map(|path| looking.new_folder(path)).collect::<BTreeSet<_>>());
        for folder in news.await.unwrap_or_default() {
            if told.len() < TOLD_MAX && told.insert(folder.clone()) {
                let folder = folder.display();
                tracing::warn!(%folder, "a floor or building has come into the folder; the next start takes it in");
            }
        }
    }
}

impl Shared {
    /// The folder of a floor or building that is there and not known.
    fn new_folder(&self, path: &Path) -> Option<PathBuf> {
        path.ancestors().filter(|folder| !folder.as_os_str().is_empty()).find_map(|folder| {
            let is_unknown = matches!(self.documents.state().layout.about(folder), About::Unknown);
            let is_such =
                ["floor.json", "building.json"].iter().any(|file| self.real.join(folder).join(file).is_file());
            (is_unknown && is_such).then(|| folder.to_owned())
        })
    }
}
