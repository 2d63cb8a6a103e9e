//! The servers that can be measured: how each is built or installed, and how it is started.
//!
//! The peers of other languages are a few lines each under `peers/`. Their packages are installed on first use, at the
//! exact versions named there, into `.cache/` beside this package, which git does not see.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::dialect::Speech;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Peer {
    /// One write per frame.
    Floor,
    /// One write per socket and turn.
    #[value(skip)]
    FloorCorked,
    Arxosrtd,
    Node,
    Fastapi,
}

/// How the daemon keeps its log. The peers keep none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Memory,
    Embedded,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FloorCorked => "floor, corked",
            Self::Arxosrtd => "arxosrtd",
            Self::Node => "node ws",
            Self::Fastapi => "fastapi",
        }
    }

    pub fn speech(self, hello: bool) -> Speech {
        match self {
            Self::Floor | Self::FloorCorked => Speech::Floor,
            Self::Arxosrtd => Speech::Arxosrt { hello },
            Self::Node | Self::Fastapi => Speech::Arxosrt { hello: false },
        }
    }

    pub fn is_floor(self) -> bool {
        matches!(self, Self::Floor | Self::FloorCorked)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where everything lies.
pub struct Stable {
    workspace: PathBuf,
    package: PathBuf,
    cache: PathBuf,
    /// This package's own program: the floor is one of its faces.
    floor: PathBuf,
    daemon: Option<PathBuf>,
    /// Where real buildings may be.
    buildings: PathBuf,
}

impl Stable {
    /// `floor` is this package's program; `daemon`, one to be used instead of building it.
    pub fn new(floor: PathBuf, daemon: Option<PathBuf>) -> Self {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let workspace = package.join("../..");
        let buildings = workspace.join("../shared/data/buildings");
        Self { workspace, cache: package.join(".cache"), package, floor, daemon, buildings }
    }

    /// Looks for real buildings there.
    pub fn with_buildings(self, buildings: PathBuf) -> Self {
        Self { buildings, ..self }
    }

    /// The folder in which real buildings may be.
    pub fn buildings(&self) -> &Path {
        &self.buildings
    }

    /// Builds or installs what `peer` needs, and says why if that cannot be done.
    pub fn prepare(&self, peer: Peer) -> Result<(), String> {
        match peer {
            Peer::Floor | Peer::FloorCorked => Ok(()),
            Peer::Arxosrtd if self.daemon.is_some() => Ok(()),
            Peer::Arxosrtd => self.cargo_build(&["--package", "arxosrtd"]),
            Peer::Node => self.install(
                "node",
                &["package.json", "server.mjs"],
                &[&["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]],
            ),
            Peer::Fastapi => self.install(
                "fastapi",
                &["requirements.txt", "server.py"],
                &[
                    &["python3", "-m", "venv", "venv"],
                    &["venv/bin/pip", "install", "--quiet", "--requirement", "requirements.txt"],
                ],
            ),
        }
    }

    /// Builds an example of the workspace and returns the path of the program.
    pub fn example(&self, package: &str, example: &str) -> Result<PathBuf, String> {
        self.cargo_build(&["--package", package, "--example", example])?;
        Ok(self.release("examples").join(example))
    }

    /// The command that serves on `address` and keeps its files in `data`.
    pub fn command(&self, peer: Peer, engine: Engine, address: SocketAddrV4, data: &Path) -> Command {
        let port = address.port().to_string();
        match peer {
            Peer::Floor | Peer::FloorCorked => {
                let mut command = Command::new(&self.floor);
                command.args(["floor-server", &port]);
                command.arg(if peer == Peer::Floor { "plain" } else { "corked" });
                command
            }
            Peer::Arxosrtd => self.daemon_command(engine, address, data),
            Peer::Node => {
                let mut command = Command::new("node");
                command.current_dir(self.cache.join("node")).args(["server.mjs", &port]);
                command
            }
            Peer::Fastapi => {
                let home = self.cache.join("fastapi");
                let mut command = Command::new(home.join("venv/bin/python"));
                command.current_dir(home).args(["server.py", &port]);
                command
            }
        }
    }

    fn daemon_command(&self, engine: Engine, address: SocketAddrV4, data: &Path) -> Command {
        let program = self.daemon.clone().unwrap_or_else(|| self.release("arxosrtd"));
        let engine = match engine {
            Engine::Memory => "memory",
            Engine::Embedded => "embedded",
        };
        let settings = [
            format!("http.listen={address}"),
            format!("control.socket={}", data.join("control.sock").display()),
            format!("engine.kind={engine}"),
            "limits.connections_per_address=20000".to_owned(),
            "limits.messages_per_s=1000000".to_owned(),
            "limits.messages_burst=1000000".to_owned(),
        ];
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(data);
        for setting in settings {
            command.arg("--set").arg(setting);
        }
        command
    }

    /// Something below the directory where the release build of this workspace goes.
    fn release(&self, below: &str) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or(self.workspace.join("target"), PathBuf::from);
        target.join("release").join(below)
    }

    fn cargo_build(&self, what: &[&str]) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.workspace).args(["build", "--release", "--quiet"]).args(what);
        succeed(&mut command)
    }

    /// Copies the peer's files into its cache and runs `steps` there, unless that was done for the same package list.
    fn install(&self, name: &str, files: &[&str], steps: &[&[&str]]) -> Result<(), String> {
        let home = self.cache.join(name);
        let in_home = |e: io::Error| format!("{}: {e}", home.display());
        fs::create_dir_all(&home).map_err(in_home)?;
        for file in files {
            fs::copy(self.package.join("peers").join(name).join(file), home.join(file)).map_err(in_home)?;
        }
        let wanted = fs::read(home.join(files[0])).map_err(in_home)?;
        let stamp = home.join("installed");
        if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        for step in steps {
            succeed(Command::new(step[0]).args(&step[1..]).current_dir(&home))?;
        }
        fs::write(stamp, wanted).map_err(in_home)
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = complaint.trim().lines().collect();
    Err(format!("{name}: {}: {}", output.status, lines[lines.len().saturating_sub(12)..].join("\n")))
}
