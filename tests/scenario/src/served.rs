//! A daemon inside the test's own process.
//!
//! It is the whole daemon with its threads and sockets; only its clock is the test's. Pings are an hour apart unless a
//! test asks for them, so that a clock that is moved by minutes does not part anybody from the daemon by accident.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arxosrt_core::directory::{Builder, BuildingDraft, Directory};
use arxosrtd::boot::Ready;
use arxosrtd::config::{Config, EngineKind, LogLevel};
use arxosrtd::daemon::{self, Daemon};
use arxosrtd::hub::Clock;
use arxosrtd::hub::ask::HubHandle;
use arxosrtd::limits::Capacity;
use arxosrtd::origin::{self, directory::Reading};
use tempfile::TempDir;

use crate::{Client, Raw, Value, http};

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// What a daemon starts from.
#[derive(Clone)]
pub struct Setup {
    config: Config,
    buildings: Vec<BuildingDraft>,
    clock: Clock,
    dir: Arc<TempDir>,
}

impl Setup {
    /// A daemon that keeps nothing.
    pub fn memory() -> Self {
        let mut config = Config::default();
        config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.engine.kind = EngineKind::Memory;
        config.hub.ping_ms = HOUR_MS;
        config.hub.pong_ms = HOUR_MS / 2;
        config.log.level = LogLevel::Off;
        let dir = tempfile::Builder::new().prefix("arxosrt").tempdir().expect("a temporary directory");
        Setup { config, buildings: Vec::new(), clock: Clock::start(), dir: Arc::new(dir) }
    }

    /// A daemon with a database. Starting from the same (or a cloned) setup again opens the same one.
    pub fn embedded() -> Self {
        Self::memory().with(|config| config.engine.kind = EngineKind::Embedded)
    }

    /// Changes the configuration.
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Lets the daemon know a building.
    pub fn building(mut self, building: BuildingDraft) -> Self {
        self.buildings.push(building);
        self
    }

    /// Lets the daemon have its buildings from a folder, into which edits go soon.
    pub fn folder(self, folder: &Path) -> Self {
        assert!(folder.is_absolute(), "{} is not absolute", folder.display());
        self.with(|config| {
            config.origin.path = folder.to_owned();
            config.origin.write_back_ms = 1;
        })
    }

    /// The folder of this setup's database and control socket.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration as it stands.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Starts the daemon.
    pub fn start(&self) -> Served {
        self.try_start().expect("the daemon starts")
    }

    /// Starts the daemon, or says why it does not.
    pub fn try_start(&self) -> Result<Served, String> {
        let mut builder = Builder::default();
        for building in &self.buildings {
            let rejected = builder.add(building.clone());
            assert!(rejected.is_empty(), "{rejected:?}");
        }
        let daemon = launch(self.config.clone(), self.dir.path(), builder.build(), self.clock.clone())?;
        Ok(Served {
            http: daemon.http,
            control: daemon.control.clone(),
            hub: daemon.hub.clone(),
            clock: self.clock.clone(),
            daemon: Some(daemon),
            _dir: self.dir.clone(),
        })
    }
}

/// Starts a daemon whose files are in `dir`. A configuration that names its origin by an absolute path (the default is a
/// relative one) has its directory from there instead. On a thread of its own, since a daemon blocks while it starts.
pub(crate) fn launch(config: Config, dir: &Path, directory: Directory, clock: Clock) -> Result<Daemon, String> {
    let (directory, folder) = match config.origin.path.is_absolute() {
        true => {
            let Reading { directory, folder, faults, .. } =
                origin::directory::read(&config.origin.path).map_err(|error| error.to_string())?;
            assert!(faults.is_empty(), "{faults:?}");
            (directory, folder)
        }
        false => (directory, None),
    };
    let ready = Ready {
        data_dir: None,
        database: dir.join("arxosrt.db"),
        control_socket: dir.join("control.sock"),
        capacity: Capacity {
            files_max: 1 << 16,
            connections_max: match config.limits.connections_max {
                0 => 1 << 16,
                n => n,
            },
            warning: None,
        },
        directory,
        folder,
        config,
    };
    let started = std::thread::spawn(move || daemon::start_with_clock(ready, clock));
    started.join().expect("the start does not panic").map_err(|e| e.what)
}

/// A daemon at work. Dropping it stops it in good order.
pub struct Served {
    /// Where clients reach it.
    pub http: SocketAddr,
    /// Where operators reach it.
    pub control: PathBuf,
    /// Its hub.
    pub hub: HubHandle,
    /// Its clock.
    pub clock: Clock,
    daemon: Option<Daemon>,
    _dir: Arc<TempDir>,
}

impl Served {
    /// A client of the first generation: it never says `hello`. Greeted already.
    pub async fn old(&self, user: &str) -> Client {
        Client::greeted(self.http, user).await
    }

    /// A client of the present generation, without optional features.
    pub async fn client(&self, user: &str) -> Client {
        let mut client = Client::greeted(self.http, user).await;
        client.hello(&[]).await;
        client
    }

    /// An old client that is in `room`, with everything that the join brought taken off.
    pub async fn old_in(&self, user: &str, room: &str) -> Client {
        let mut client = self.old(user).await;
        client.join(room).await;
        client.forget();
        client
    }

    /// A present client that is in `room`, with everything that the join brought taken off.
    pub async fn client_in(&self, user: &str, room: &str) -> Client {
        let mut client = self.client(user).await;
        client.join(room).await;
        client.forget();
        client
    }

    /// A WebSocket whose bytes are the test's own, upgraded.
    pub async fn raw(&self, user: &str) -> Raw {
        let mut raw = Raw::connect(self.http).await;
        raw.upgrade(&format!("/v1/realtime/ws/{}", crate::segment(user))).await;
        raw
    }

    /// Lets monotonic time pass.
    pub fn advance(&self, ms: u64) {
        self.clock.advance(ms);
    }

    /// `GET`, over REST.
    pub async fn get(&self, path: &str) -> http::Answer {
        http::Request::get(path).to(self.http).await
    }

    /// `POST` with a JSON body, over REST.
    pub async fn post(&self, path: &str, body: &Value) -> http::Answer {
        http::Request::post(path).json(body).to(self.http).await
    }

    /// A request to the control socket.
    pub async fn operate(&self, request: http::Request) -> http::Answer {
        request.to_socket(&self.control).await
    }

    /// Ends the daemon in good order, and says if it did not.
    pub async fn stop(mut self) -> Result<(), String> {
        let daemon = self.daemon.take().expect("a daemon is stopped once");
        let hub = self.hub.clone();
        drop(self);
        drop(hub);
        tokio::task::spawn_blocking(move || daemon.stop()).await.expect("the end does not panic")
    }

    /// Tells every client to go, as SIGTERM does; `hurry` resolves at the second one.
    pub async fn drain(&self, hurry: impl Future<Output = ()>) {
        self.daemon.as_ref().expect("it runs").drain(hurry).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            // A daemon brings its own runtime, which must not be dropped inside the test's.
            let ended = std::thread::spawn(move || daemon.stop()).join();
            if !std::thread::panicking() {
                ended.expect("the daemon does not panic").expect("the daemon ends in good order");
            }
        }
    }
}
