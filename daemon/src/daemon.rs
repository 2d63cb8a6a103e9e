//! A running daemon: its threads, and how they start and end together.
//!
//! The hub has a thread of its own; REST, the control socket and everything that may block run beside it on an ordinary
//! runtime. They meet in [`crate::hub::ask`] and in the store.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use arxosrt_core::building::{LockSettings, Settings as BuildingSettings};
use arxosrt_core::directory::Directory;
use arxosrt_core::id::RoomId;
use arxosrt_core::lock::LockType;
use arxosrt_core::time::Wall;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::boot::Ready;
use crate::cache::shared::{Shared, State};
use crate::cache::tier::SharedTier;
use crate::cache::warm::Hot;
use crate::cache::{self, Cache, CacheHandle, Heard, Invalidation, RedisTier};
use crate::config::{self, Config, EngineKind, OriginKind};
use crate::control::{self, ControlContext, ControlSettings};
use crate::exit::Exit;
use crate::http::serve::{Rewind, serve_connection};
use crate::http::{HttpContext, HttpLimits, router};
use crate::hub::ask::{Ask, HubHandle};
use crate::hub::settings::{RECLAIM_LEAST_MS, Settings};
use crate::hub::writers::Writers;
use crate::hub::writing::write_all;
use crate::hub::{Clock, Parts, ReadyState, outbox};
use crate::jobs::loader::CacheLoader;
use crate::jobs::{Item, Jobs, Kind, Order};
use crate::metrics::Metrics;
use crate::origin;
use crate::origin::directory_source::DirectorySource;
use crate::origin::documents::Documents;
use crate::origin::http::{self, HttpDocuments, HttpSource, Service};
use crate::origin::service::{Origin, OriginSettings};
use crate::origin::sources::Sources;
use crate::origin::store::DocumentStore;
use crate::origin::watch::{Changed, Watch};
use crate::preload::{self, Signals};
use crate::records::StoreRecords;
use crate::store::{self, Store};
use crate::transport::core::{self, Core};
use crate::transport::handshake::Refusal;
use crate::transport::hosts::Hosts;

/// How many plain HTTP connections may be on their way from the hub's core to the ordinary runtime.
const HAND_OVERS_MAX: usize = 1024;

/// How many resources one `acquire_lock` may name; the bound of the locks themselves.
const RESOURCES_MAX: usize = 64;

/// How many changes one `edit` may hold.
const CHANGES_MAX: usize = 1024;

/// A building that nobody needs is dropped from memory after this time.
const BUILDING_IDLE_MS: u64 = 60_000;

/// How often it is looked whether the database's file is still there.
const DATABASE_LOOK: Duration = Duration::from_secs(1);

/// A value in the shared cache is at most this part of what the local one holds: it must fit there beside others.
const SHARED_VALUE_SHARE: u64 = 16;

/// How long the other nodes have to hear the last of this one.
const PARTING: Duration = Duration::from_millis(500);

/// How long clients that do not go by themselves hold up the end after the drain's window.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// How long the end waits until it is saved what the preloader has learned.
const PRELOAD_PATIENCE: Duration = Duration::from_secs(2);

/// Why the daemon could not start.
#[derive(Debug)]
pub struct StartError {
    /// How the process should end.
    pub exit: Exit,
    /// What is wrong.
    pub what: String,
}

impl StartError {
    fn new(exit: Exit, what: impl std::fmt::Display) -> Self {
        StartError { exit, what: what.to_string() }
    }
}

/// A daemon at work.
pub struct Daemon {
    /// Where it listens.
    pub http: SocketAddr,
    /// Where operators reach it.
    pub control: PathBuf,
    /// Its hub.
    pub hub: HubHandle,
    /// Its readiness.
    pub ready: watch::Receiver<ReadyState>,
    runtime: tokio::runtime::Runtime,
    core: JoinHandle<io::Result<()>>,
    stop_core: CancellationToken,
    stop_rest: CancellationToken,
    store: Arc<Store>,
    origin: Origin,
    _folder_watch: Option<Watch>,
    shared: Shared,
    /// The cache.
    pub cache: Cache,
    hot: Option<Arc<Hot>>,
    jobs: Jobs,
    preloading: tokio::task::JoinHandle<()>,
    stop_preload: CancellationToken,
    drain_window_ms: u64,
    _socket: control::socket::SocketFile,
    _data_dir: Option<crate::data_dir::DataDir>,
}

/// Starts everything; returns when clients can connect.
pub fn start(ready: Ready) -> Result<Daemon, StartError> {
    start_with_clock(ready, Clock::start())
}

/// The same, with a clock that the caller can move.
pub fn start_with_clock(ready: Ready, clock: Clock) -> Result<Daemon, StartError> {
    let Ready { config, data_dir, database, control_socket, capacity, directory, folder } = ready;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("arxosrtd-io")
        .enable_all()
        .build()
        .map_err(|e| StartError::new(Exit::System, format!("no threads: {e}")))?;

    let (outcomes_in, outcomes) = mpsc::unbounded_channel();
    let (kind, engine) = match config.engine.kind {
        EngineKind::Embedded => (store::EngineKind::Embedded, "embedded"),
        EngineKind::Memory => (store::EngineKind::Memory, "memory"),
    };
    let opened = store::open(kind, &database, move |outcome| {
        // Bounded by the batches that are under way; the hub is gone only at the very end.
        let _ = outcomes_in.send(outcome);
    })
    .map_err(|e| StartError::new(Exit::CannotCreate, e))?;
    let store = Arc::new(opened.store);

    let listener = TcpListener::bind(config.http.listen).map_err(|e| {
        StartError::new(Exit::of_create(&e), format!("http.listen: cannot listen on {}: {e}", config.http.listen))
    })?;
    listener.set_nonblocking(true).map_err(|e| StartError::new(Exit::System, e))?;
    let http = listener.local_addr().map_err(|e| StartError::new(Exit::System, e))?;
    let (control_listener, socket_file) =
        runtime.block_on(control::socket::bind(&control_socket)).map_err(|e| StartError::new(Exit::CannotCreate, e))?;

    let hosts = Hosts::new(&config.http.allowed_hosts, !config::listen::is_loopback(config.http.listen.ip()));
    let metrics = Arc::new(Metrics::new());
    let service = match config.origin.uses_http() {
        true => Some(Service::new(&config.origin.http).map_err(|e| StartError::new(Exit::Config, e))?),
        false => None,
    };
    let has_list = config.origin.kind == OriginKind::Http && !config.origin.http.directory_url.is_empty();
    let directory = match service.as_ref().filter(|_| has_list) {
        Some(service) => runtime.block_on(listed_buildings(service)),
        None => directory,
    };
    let directory = Arc::new(directory);
    let folder = folder.map(|folder| Documents::open(folder, directory.clone())).transpose();
    let folder = folder.map_err(|e| StartError::new(Exit::Config, e))?.map(Arc::new);
    let documents = match (config.origin.kind, &folder, &service) {
        (OriginKind::Directory, Some(folder), _) => Some(DocumentStore::Folder(folder.clone())),
        (OriginKind::Http, _, Some(service)) => {
            Some(DocumentStore::Http(Arc::new(HttpDocuments::new(service.clone(), directory.clone()))))
        }
        _ => None,
    };
    let settings = OriginSettings {
        write_back: config.origin.write_back,
        window: Duration::from_millis(config.origin.write_back_ms),
    };
    let has_documents = documents.is_some();
    let (origin, origin_handle, origin_answers) =
        origin::service::start(runtime.handle(), settings, documents, metrics.clone());
    let (hub, questions) = HubHandle::new();
    let sources = Sources::new(
        folder.clone().map(|folder| DirectorySource::new(folder, hub.clone())),
        service.map(|service| HttpSource::new(service, directory.clone(), hub.clone(), has_documents)),
    );
    metrics.origins.set(sources.clone());
    let strategies = config.cache.strategies().map_err(|e| StartError::new(Exit::Config, e))?;
    if config.redis.is_on() && strategies.iter().any(|(_, strategy)| strategy.is_sensitive) {
        cache::hidden::no_core_files()
            .map_err(|e| StartError::new(Exit::System, format!("core files cannot be forbidden: {e}")))?;
    }
    let seed = getrandom::u64().map_err(|e| StartError::new(Exit::System, format!("no random numbers: {e}")))?;
    let heard = Heard::default();
    let shared = {
        let _within = runtime.enter();
        let (heard, strategies) = (heard.clone(), Arc::new(strategies.clone()));
        let value_bytes_max = usize::try_from(config.cache.bytes_max / SHARED_VALUE_SHARE).unwrap_or(usize::MAX);
        Shared::start(&config.redis, strategies, value_bytes_max, metrics.clone(), move |said| heard.hear(said))
            .map_err(|e| StartError::new(Exit::System, format!("no random numbers: {e}")))?
    };
    let (cache, from_cache) = Cache::start(cache::Parts {
        settings: config.cache.settings(),
        strategies,
        directory: directory.clone(),
        source: Arc::new(sources),
        shared: (shared.state() != State::Off).then(|| Arc::new(RedisTier(shared.clone())) as Arc<dyn SharedTier>),
        clock: clock.clone(),
        runtime: runtime.handle().clone(),
        seed,
    });
    heard.tell(&cache);
    metrics.cache.set(cache.clone());
    let loader = CacheLoader { cache: cache.clone(), directory: directory.clone() };
    // No more floors at a time than values are loaded ahead: with more all would get their first part before any got its
    // second, and a job would stand at nothing until it is nearly done.
    let jobs = Jobs::new(Arc::new(loader), cache.ahead_max());
    let (signals, from_hub) = Signals::new();
    let stop_preload = CancellationToken::new();
    let preloading = preload::start(
        runtime.handle(),
        preload::Parts {
            settings: preload::ServiceSettings {
                planner: config.preload.planner(config.cache.bytes_max, seed),
                loads_max: config.preload.loads_max,
                origin_busy: config.cache.loads_max,
                // A daemon that keeps nothing keeps no habits either.
                file: (config.preload.save && config.engine.kind == EngineKind::Embedded)
                    .then(|| database.with_file_name(preload::saved::FILE)),
            },
            cache: cache.clone(),
            directory: directory.clone(),
            clock: clock.clone(),
            from_hub,
            from_cache,
            signals: signals.clone(),
            stop: stop_preload.clone(),
        },
    );
    let floors = directory.clone();
    let folder_watch = folder.and_then(|documents| watch_folder(runtime.handle(), documents, cache.clone()));
    let (ready_in, ready) = watch::channel(ReadyState::Starting);
    let (plain_http, handed_over) = mpsc::channel(HAND_OVERS_MAX);
    let (stop_core, stop_rest) = (CancellationToken::new(), CancellationToken::new());
    let building = Arc::new(building_settings(&config));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let writers = match config.hub.writers.count(cpus) {
        0 => None,
        count => Some(
            Writers::start(count, write_all)
                .map_err(|e| StartError::new(Exit::System, format!("hub.writers: no {count} threads: {e}")))?,
        ),
    };
    let (started, has_started) = std::sync::mpsc::sync_channel(1);
    let core = Core {
        parts: Parts {
            settings: Arc::new(hub_settings(&config, capacity.connections_max)),
            building: building.clone(),
            directory,
            origin: origin_handle,
            cache: CacheHandle::new(cache.clone()),
            signals,
            store: store.clone(),
            tail: opened.tail,
            recovered: opened.recovered,
            engine,
            metrics: metrics.clone(),
            clock,
            writers,
            ready: ready_in,
        },
        listener,
        questions,
        outcomes,
        origin_answers,
        plain_http,
        handshake_time: Duration::from_millis(config.limits.handshake_ms),
        hosts: hosts.clone(),
        stop: stop_core.clone(),
        started,
    };
    let core = std::thread::Builder::new()
        .name("arxosrtd-hub".to_owned())
        .spawn(move || core::run(core))
        .map_err(|e| StartError::new(Exit::System, format!("no thread for the hub: {e}")))?;
    match has_started.recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(StartError::new(Exit::CannotCreate, error)),
        Err(_) => return Err(StartError::new(Exit::System, "the hub's thread ended at once")),
    }

    let limits = HttpLimits {
        body_bytes_max: config.http.body_bytes_max,
        json_depth_max: config.limits.json_depth,
        value_bytes_max: config.limits.metadata_bytes,
        changes_max: CHANGES_MAX,
        head_timeout: Duration::from_millis(config.http.header_timeout_ms),
        ..HttpLimits::default()
    };
    let app = router(HttpContext {
        hub: hub.clone(),
        preload_floor: {
            let (jobs, runtime) = (jobs.clone(), runtime.handle().clone());
            Arc::new(move |floor| preload_floor(&jobs, &runtime, floor))
        },
        cache: cache.clone(),
        ready: ready.clone(),
        metrics: metrics.clone(),
        show_metrics: config.metrics.enabled,
        limits,
        hosts,
    });
    // A daemon that keeps nothing has nowhere to keep names either.
    let folder = database.parent().filter(|_| config.cache.warm && config.engine.kind == EngineKind::Embedded);
    let hot = folder.map(|folder| Arc::new(Hot::new(cache.clone(), folder)));
    if let Some(hot) = hot.clone() {
        let stop = stop_rest.clone();
        runtime.spawn(async move { hot.keep(&stop).await });
    }
    if config.engine.kind == EngineKind::Embedded {
        runtime.spawn(watch_database(database, metrics.clone(), stop_rest.clone()));
    }
    let served_max = config.limits.http_connections_max;
    runtime.spawn(serve_plain_http(handed_over, app, limits, served_max, stop_rest.clone()));
    let context = ControlContext {
        hub: hub.clone(),
        records: Arc::new(StoreRecords {
            store: store.clone(),
            hub: hub.clone(),
            building,
            keeps_log: config.engine.kind == EngineKind::Embedded,
        }),
        jobs: jobs.clone(),
        cache: cache.clone(),
        hot: hot.clone(),
        preload: preloading.handle,
        directory: floors,
        settings: control_settings(&config),
        started_at: wall_now(),
        version: env!("CARGO_PKG_VERSION"),
    };
    runtime.spawn(control::serve(control_listener, context, stop_rest.clone()));

    Ok(Daemon {
        http,
        control: control_socket,
        hub,
        ready,
        runtime,
        core,
        stop_core,
        stop_rest,
        store,
        origin,
        _folder_watch: folder_watch,
        shared,
        cache,
        hot,
        jobs,
        preloading: preloading.task,
        stop_preload,
        drain_window_ms: config.drain.window_ms,
        _socket: socket_file,
        _data_dir: data_dir,
    })
}

/// `POST /preload-floor`: a job like those that operators order. There is nobody to be told that it is refused.
fn preload_floor(jobs: &Jobs, runtime: &tokio::runtime::Handle, floor: &RoomId) {
    let _inside = runtime.enter();
    let order = Order {
        kind: Kind::Preload,
        target: format!("floor {floor}").into(),
        by: "REST".into(),
        reason: None,
        items: vec![Item::Floor(floor.clone())],
        if_missing: true,
    };
    if let Err(error) = jobs.start(order) {
        tracing::warn!(%floor, %error, "a floor is not preloaded");
    }
}

/// The buildings that the service lists.
async fn listed_buildings(service: &Service) -> Directory {
    match http::buildings::read(service).await {
        Ok(directory) => {
            let counts = directory.counts();
            tracing::info!(buildings = counts.buildings, floors = counts.floors, "list of buildings read");
            directory
        }
        Err(why) => {
            tracing::warn!(why, "no building is known until the next start: every room is a building of its own");
            Directory::default()
        }
    }
}

/// What somebody else changes in the folder of buildings makes invalid what is cached of it.
fn watch_folder(runtime: &tokio::runtime::Handle, documents: Arc<Documents>, cache: Cache) -> Option<Watch> {
    let told = move |Changed { building, floor }: Changed| {
        let what = match floor {
            Some(floor) => Invalidation::Floor(floor),
            None => Invalidation::Building(building),
        };
        cache.invalidate(&what);
    };
    match Watch::start(runtime, documents, told) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!(%error, "the folder of buildings is not watched; what others change is seen when it is read");
            None
        }
    }
}

/// Notices when the database's file is removed or replaced: everything goes on as before then, into a file that nobody
/// will find again. Looks beside the hub, since a look may wait for the disk.
async fn watch_database(path: PathBuf, metrics: Arc<Metrics>, stop: CancellationToken) {
    use std::os::unix::fs::MetadataExt as _;
    let identity = async || tokio::fs::metadata(&path).await.map(|meta| (meta.dev(), meta.ino()));
    let Ok(opened) = identity().await else { return };
    while stop.run_until_cancelled(tokio::time::sleep(DATABASE_LOOK)).await.is_some() {
        let is_lost = match identity().await {
            Ok(now) => now != opened,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_lost && metrics.store_lost.get() == 0 {
            let path = path.display();
            tracing::error!(%path, "the database's file is gone or another; what is committed is lost with the process");
        }
        metrics.store_lost.set(u64::from(is_lost));
    }
}

async fn serve_plain_http(
    mut connections: mpsc::Receiver<(std::net::TcpStream, bytes::Bytes)>,
    app: axum::Router,
    limits: HttpLimits,
    served_max: usize,
    stop: CancellationToken,
) {
    let seats = Arc::new(Semaphore::new(served_max));
    while let Some((stream, first)) = connections.recv().await {
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            let message = format!("limits.http_connections_max: {served_max} connections are open");
            let refusal = Refusal { status: 503, code: "limit", message };
            // It fits into any socket's buffer; a client that does not get it learns from the close.
            let _ = (&stream).write(&refusal.answer(wall_now()));
            continue;
        };
        let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
        let served = serve_connection(Rewind::new(first, stream), app.clone(), limits, stop.clone());
        tokio::spawn(async move {
            let _seat = seat;
            if let Err(error) = served.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

impl Daemon {
    /// Runs a future beside the daemon's own.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Tells every client when to come back and parts from them over the window; `hurry` cuts it short.
    pub async fn drain(&self, hurry: impl Future<Output = ()>) {
        let window_ms = self.drain_window_ms;
        if self.hub.ask(|reply| Ask::Drain { window_ms, audit: None, reply }).await.is_err() {
            return;
        }
        let over = tokio::time::Instant::now() + Duration::from_millis(window_ms) + DRAIN_PATIENCE;
        let mut hurry = std::pin::pin!(hurry);
        let mut hurried = false;
        loop {
            match self.hub.ask(|reply| Ask::Status { reply }).await {
                Ok(Ok(status)) if status.connections > 0 && tokio::time::Instant::now() < over => {}
                _ => return,
            }
            tokio::select! {
                () = &mut hurry, if !hurried => {
                    hurried = true;
                    let _ = self.hub.ask(|reply| Ask::Drain { window_ms: 0, audit: None, reply }).await;
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    /// Ends all threads. What was decided is committed and written back, and the end is on record as a clean one.
    pub fn stop(self) -> Result<(), String> {
        self.stop_core.cancel();
        let ended = self.core.join();
        // The hub hands over nothing any more: what it did is to be in the folder before the process ends.
        let written = self.runtime.block_on(self.origin.finish());
        self.jobs.end();
        self.stop_preload.cancel();
        let saved = async { tokio::time::timeout(PRELOAD_PATIENCE, self.preloading).await };
        if self.runtime.block_on(saved).is_err() {
            tracing::warn!("what the preloader has learned could not be saved in time");
        }
        if let Some(hot) = &self.hot {
            hot.save();
        }
        self.runtime.block_on(self.shared.stop(PARTING));
        self.stop_rest.cancel();
        self.runtime.shutdown_timeout(Duration::from_secs(3));
        drop(self.hub);
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("the hub ended badly: {error}")),
            Err(_) => return Err("the hub's thread panicked".to_owned()),
        }
        match Arc::try_unwrap(self.store) {
            Ok(store) => store.close().map_err(|e| e.to_string())?,
            Err(_) => return Err("the store is still in use; the next start recovers".to_owned()),
        }
        written.map_err(|unwritten| unwritten.to_string())
    }

    /// Where it listens and what to try, for a person at a terminal.
    pub fn greet(&self, out: &mut impl io::Write) -> io::Result<()> {
        let (http, control) = (self.http, self.control.display());
        writeln!(out, "arxosrtd {} is ready.\n", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "  clients    ws://{http}/v1/realtime/ws/USER")?;
        writeln!(out, "  REST       http://{http}/v1/realtime/connection-status")?;
        writeln!(out, "  operators  {control}\n")?;
        writeln!(out, "Try, each in a terminal of its own:")?;
        writeln!(out, "  python3 -m websockets ws://{http}/v1/realtime/ws/ana")?;
        writeln!(out, "    {{\"type\":\"join_room\",\"room_id\":\"hq:level-1\"}}")?;
        writeln!(out, "  cargo run --release -p arxosrt -- --socket {control} rooms list\n")?;
        out.flush()
    }
}

/// The start's last words, if anybody is there to read them.
pub fn greet_terminal(daemon: &Daemon) {
    let _ = daemon.greet(&mut io::stdout().lock());
    let _ = io::stdout().flush();
}

fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn hub_settings(config: &Config, connections_max: usize) -> Settings {
    let (hub, limits) = (&config.hub, &config.limits);
    Settings {
        ping_ms: hub.ping_ms,
        pong_ms: hub.pong_ms,
        presence_diff_ms: hub.presence_diff_ms,
        presence_list_max: hub.presence_list_max,
        inactive_ms: hub.inactive_ms,
        grace_ms: config.locks.grace_s * 1000,
        resync_window_ms: hub.resync_window_ms,
        turn_budget_us: hub.turn_budget_us,
        reconnect_min_ms: hub.reconnect_min_ms,
        reconnect_max_ms: hub.reconnect_max_ms,
        snapshot_events: config.store.snapshot_events,
        message_bytes: limits.message_bytes,
        message: arxosrt_core::wire::inbound::Bounds {
            json_depth: limits.json_depth,
            metadata_bytes: limits.metadata_bytes,
            resources_max: RESOURCES_MAX,
            changes_max: CHANGES_MAX,
        },
        outbox: outbox::Bounds { sequenced_bytes: hub.outbox_bytes_max, control_bytes: hub.control_bytes_max },
        rooms_per_connection: limits.rooms_per_connection,
        connections_per_user: limits.connections_per_user,
        connections_per_address: limits.connections_per_address,
        connections_max,
        messages_per_s: u64::from(limits.messages_per_s),
        messages_burst: u64::from(limits.messages_burst),
        building_idle_ms: BUILDING_IDLE_MS,
    }
}

fn building_settings(config: &Config) -> BuildingSettings {
    let locks = &config.locks;
    let defaults = LockSettings::default();
    let mut ttl_by_type = defaults.ttl_by_type;
    for (i, kind) in [
        LockType::FloorEdit,
        LockType::ObjectEdit,
        LockType::RouteEdit,
        LockType::GridCalibration,
        LockType::AnalyticsView,
    ]
    .into_iter()
    .enumerate()
    {
        ttl_by_type[i] = locks.ttl_by_type.get(&kind).map(|s| s * 1000);
    }
    let ttl_ms = locks.ttl_s * 1000;
    let mut warn_ms = [0; 2];
    for (slot, s) in warn_ms.iter_mut().zip(&locks.warn_s) {
        *slot = s * 1000;
    }
    BuildingSettings {
        locks: LockSettings {
            ttl_ms,
            ttl_by_type,
            ttl_min_ms: defaults.ttl_min_ms.min(ttl_ms),
            ttl_max_ms: defaults.ttl_max_ms.max(ttl_ms),
            reclaim_ms: (locks.grace_s * 1000).max(RECLAIM_LEAST_MS),
            max_hold_ms: locks.max_hold_s * 1000,
            warn_ms,
            wait_max_ms: locks.wait_max_s * 1000,
            idle_ms: locks.idle_s * 1000,
            request_respond_ms: locks.request_respond_s * 1000,
            request_idle_grant_ms: locks.request_idle_grant_s * 1000,
            per_session_max: locks.per_session_max,
            targets_max: RESOURCES_MAX,
            ..defaults
        },
        history_events_max: config.hub.history_events_max,
        history_bytes_max: config.hub.history_bytes_max,
        dedup_ms: config.hub.dedup_ms,
        edits: config::editing::settings(&config.edits, &config.conflicts),
        ..BuildingSettings::default()
    }
}

fn control_settings(config: &Config) -> ControlSettings {
    use arxosrt_core::control::hello::Role;
    ControlSettings {
        admin_groups: config.control.admin_groups.clone(),
        operate_groups: config.control.operate_groups.clone(),
        default_role: match config.control.default_role {
            config::Role::None => Role::None,
            config::Role::View => Role::View,
            config::Role::Operate => Role::Operate,
            config::Role::Admin => Role::Admin,
        },
    }
}
