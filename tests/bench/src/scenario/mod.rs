//! The questions that are asked, one file each, and the answers that are hoped for.
//!
//! A scenario starts its own servers, so that each run begins with a fresh one, and returns one [`Figures`] for each of
//! its cases that the peer can take part in.

mod edits;
mod fanout;
mod flight;
mod idle;
mod joins;
mod locks;
mod restart;
mod rooms;
mod slow;
mod walk;

use std::io;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use tempfile::TempDir;

use crate::dialect::Dialect;
use crate::figures::{Figures, Metric};
use crate::peers::{Engine, Peer, Stable};
use crate::server::{Meter, Server, free_address};
use crate::swarm::Swarm;

/// One line of questions of the table: the same load for every peer.
pub struct Case {
    pub name: &'static str,
    /// The floor that the others are compared with.
    pub reference: Option<Peer>,
    /// What one operation is.
    pub unit: &'static str,
    /// What arxosrtd is to reach.
    pub goals: &'static [Goal],
}

/// A bound for one metric, in its own unit or as a multiple of the reference's value.
pub struct Goal {
    pub metric: Metric,
    pub bound: Bound,
}

pub enum Bound {
    AtMost(f64),
    AtLeast(f64),
    AtMostTimesFloor(f64),
}

pub type Answers = Vec<(&'static Case, Figures)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One room of 1000, small and larger messages, one and eight in flight.
    Fanout,
    /// 1000 rooms of 5 whose cursors move.
    Rooms,
    /// Memory of connections that do nothing, and after they have gone.
    Idle,
    /// Connect, upgrade, join, leave.
    Joins,
    /// What one member that never reads does to the others.
    Slow,
    /// Lock, answer, release, answer.
    LocksWs,
    /// Edits of two with 20 looking on: of their own, merged, contradicting; and of a large document beside a small one.
    Edits,
    /// Killed with many locks: how long until it is ready again.
    Restart,
    /// Floors opened by 50 people on a walk, with a slow origin behind the cache.
    Walk,
    /// The core without sockets, as the simulation package measures it.
    Core,
}

impl Scenario {
    pub fn name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout",
            Self::Rooms => "rooms",
            Self::Idle => "idle",
            Self::Joins => "joins",
            Self::Slow => "slow",
            Self::LocksWs => "locks-ws",
            Self::Edits => "edits",
            Self::Restart => "restart",
            Self::Walk => "walk",
            Self::Core => "core",
        }
    }

    pub fn cases(self) -> &'static [Case] {
        match self {
            Self::Fanout => &fanout::CASES,
            Self::Rooms => &rooms::CASES,
            Self::Idle => &idle::CASES,
            Self::Joins => &joins::CASES,
            Self::Slow => &slow::CASES,
            Self::LocksWs => &locks::CASES,
            Self::Edits => &edits::CASES,
            Self::Restart => &restart::CASES,
            Self::Walk => &walk::CASES,
            Self::Core => &[],
        }
    }

    pub fn suits(self, peer: Peer) -> bool {
        match self {
            Self::Fanout | Self::Rooms => true,
            Self::Slow => peer != Peer::FloorCorked,
            Self::Idle | Self::Joins => peer != Peer::FloorCorked,
            Self::LocksWs => !peer.is_floor(),
            Self::Edits | Self::Restart | Self::Walk => peer == Peer::Arxosrtd,
            Self::Core => false,
        }
    }

    /// How many runs it takes to say something: a tail needs more of them than a median does.
    pub fn usual_runs(self) -> usize {
        if self == Self::Slow { 5 } else { 3 }
    }

    pub fn run(self, stage: &Stage<'_>) -> io::Result<Answers> {
        match self {
            Self::Fanout => fanout::run(stage),
            Self::Rooms => rooms::run(stage),
            Self::Idle => idle::run(stage),
            Self::Joins => joins::run(stage),
            Self::Slow => slow::run(stage),
            Self::LocksWs => locks::run(stage),
            Self::Edits => edits::run(stage),
            Self::Restart => restart::run(stage),
            Self::Walk => walk::run(stage),
            Self::Core => Ok(Vec::new()),
        }
    }
}

/// How large and how long. Smaller scales are for trying the bench, not for quoting.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub room_members: usize,
    pub small_rooms: usize,
    pub idle_connections: usize,
    pub restart_connections: usize,
    /// Not counted, before each window.
    pub warm_up: Duration,
    pub window: Duration,
    /// For loads at a fixed rate, which need more time to show their tails.
    pub long_window: Duration,
    pub after_close: Duration,
    /// How much of the recorded walk is walked, in the walk's own, faster time.
    pub walk: Duration,
}

impl Scale {
    pub const FULL: Self = Self {
        room_members: 1000,
        small_rooms: 1000,
        idle_connections: 10_000,
        restart_connections: 400,
        warm_up: Duration::from_millis(400),
        window: Duration::from_secs(2),
        long_window: Duration::from_secs(5),
        after_close: Duration::from_secs(5),
        walk: Duration::from_secs(60),
    };

    pub const QUICK: Self = Self {
        room_members: 1000,
        small_rooms: 1000,
        idle_connections: 2000,
        restart_connections: 40,
        warm_up: Duration::from_millis(100),
        window: Duration::from_millis(500),
        long_window: Duration::from_secs(1),
        after_close: Duration::from_secs(2),
        walk: Duration::from_secs(20),
    };

    /// For the tests of the bench itself.
    pub const SMOKE: Self = Self {
        room_members: 20,
        small_rooms: 4,
        idle_connections: 30,
        restart_connections: 2,
        warm_up: Duration::from_millis(10),
        window: Duration::from_millis(60),
        long_window: Duration::from_millis(60),
        after_close: Duration::from_millis(10),
        walk: Duration::from_secs(1),
    };
}

/// One run of one scenario against one peer.
pub struct Stage<'a> {
    pub stable: &'a Stable,
    pub peer: Peer,
    pub dialect: Dialect,
    pub scale: Scale,
    /// Which repetition this is: what a run does in two orders alternates with it.
    pub round: usize,
}

/// A server and the directory it may write to, removed after it has ended.
pub struct Host {
    pub server: Server,
    _data: TempDir,
}

impl Stage<'_> {
    pub fn start(&self, engine: Engine) -> io::Result<Host> {
        let data = TempDir::new()?;
        Ok(Host { server: self.start_in(data.path(), engine)?, _data: data })
    }

    /// The same with further settings, made when the directory is there.
    pub fn start_with(
        &self,
        engine: Engine,
        settings: impl FnOnce(&Path) -> io::Result<Vec<String>>,
    ) -> io::Result<Host> {
        let data = TempDir::new()?;
        let settings = settings(data.path())?;
        let address = free_address()?;
        let mut command = self.stable.command(self.peer, engine, address, data.path());
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        Ok(Host { server: Server::start(command, address, &data.path().join("server.log"))?, _data: data })
    }

    /// Starts a server over what an earlier one has left.
    pub fn start_in(&self, data: &Path, engine: Engine) -> io::Result<Server> {
        let address = free_address()?;
        let command = self.stable.command(self.peer, engine, address, data);
        Server::start(command, address, &data.join("server.log"))
    }
}

/// A measured stretch of time: opened after the warm-up, closed with the count of what was done in it.
struct Window {
    meter: Meter,
}

impl Window {
    fn open(swarm: &mut Swarm, server: &Server) -> io::Result<Self> {
        swarm.start_counting();
        Ok(Self { meter: Meter::start(server)? })
    }

    /// The figures that every load has.
    fn close(self, swarm: &Swarm, server: &Server, operations: u64) -> io::Result<Figures> {
        let used = self.meter.stop(server)?;
        let mut figures = Figures::default();
        let operations = operations as f64;
        figures.set(Metric::CpuUs, used.server.as_secs_f64() * 1e6 / operations);
        figures.set(Metric::PerSecond, operations / used.elapsed.as_secs_f64());
        figures.set(Metric::GeneratorPercent, 100.0 * swarm.busy.as_secs_f64() / used.elapsed.as_secs_f64());
        figures.set(Metric::ForeignPercent, used.foreign_percent);
        figures.set(Metric::RssMib, server.resident_kib()? / 1024.0);
        Ok(figures)
    }
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
