//! What happens between the command line and the first socket?
//!
//! In this order, and each step only if the ones before it went well: the command line, the configuration, the log, the
//! limit of open files, the data directory, the building directory. A start that fails says why on standard error and
//! ends with the code of [`Exit`] that fits; nothing has been opened to anybody by then.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use arxosrt_core::directory::Directory;
use tracing::{info, warn};

use crate::args::{self, Args};
use crate::config::{self, Config, EngineKind, Env, Loaded, OriginKind, Problem};
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::limits::{self, Capacity};
use crate::origin::directory::{Reading, Trouble};
use crate::{logging, origin, paths, surroundings};

/// How many broken buildings are named when they keep the daemon from starting; the others are counted.
const FAULTS_SHOWN_MAX: usize = 20;

/// Everything that a running daemon starts from.
#[derive(Debug)]
pub struct Ready {
    /// What was configured.
    pub config: Config,
    /// Held as long as the daemon runs; a daemon that keeps nothing needs none.
    pub data_dir: Option<DataDir>,
    /// The database file.
    pub database: PathBuf,
    /// The operators' socket.
    pub control_socket: PathBuf,
    /// How many connections there may be.
    pub capacity: Capacity,
    /// The building directory.
    pub directory: Directory,
    /// The folder that it was read from, if there is one.
    pub folder: Option<origin::directory::Folder>,
}

/// The process is to end now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// With this code.
    pub exit: Exit,
    /// After these words: on standard output if the code is 0, otherwise on standard error.
    pub words: String,
}

impl Ended {
    fn new(exit: Exit, words: impl Into<String>) -> Ended {
        Ended { exit, words: words.into() }
    }

    /// Says the words where they belong and gives the code.
    pub fn say(self) -> Exit {
        use std::io::Write as _;
        // Whoever closed the other end does not want to know.
        let _ = match self.exit {
            Exit::Done => writeln!(std::io::stdout(), "{}", self.words),
            _ => writeln!(std::io::stderr(), "{}", self.words),
        };
        self.exit
    }
}

/// Reads command line and configuration. `--check-config`, `--help` and `--version` end here.
pub fn configure(argv: impl IntoIterator<Item = OsString>, env: &Env, cwd: &Path) -> Result<(Args, Loaded), Ended> {
    let args =
        Args::read(argv).map_err(|error| Ended::new(args::exit_of(&error), error.render().to_string().trim_end()))?;
    let loaded = config::load(&args, env, cwd).map_err(|problems| Ended::new(Exit::Config, listed(&problems)))?;
    if args.check_config {
        let reading = read_directory(&loaded.config, &loaded.set_by, cwd)?;
        let dir = paths::data_dir(args.data_dir.as_deref(), env, cwd);
        let database = dir.as_deref().map(|dir| paths::database(&loaded.config, dir));
        let problem = match &database {
            Ok(database) => surroundings::problem(&loaded.config, &loaded.set_by, database),
            // Without a home there is no data directory; a start says so too, unless it needs none.
            Err(problem) => (loaded.config.engine.kind == EngineKind::Embedded).then(|| (*problem).clone()),
        };
        if let Some(problem) = problem {
            return Err(refused(&problem));
        }
        let problems = surroundings::file_problems(&loaded.config, &loaded.set_by);
        if !problems.is_empty() {
            return Err(Ended::new(Exit::Config, listed(&problems)));
        }
        let warnings = loaded.warnings.iter().cloned().chain(surroundings::warnings(&loaded.config));
        let warnings = warnings.chain(reading.troubles.iter().map(Trouble::to_string));
        let mut words: Vec<String> = warnings.map(|warning| format!("warning: {warning}")).collect();
        words.push(match &loaded.source {
            Some(file) => format!("ok: {}", file.display()),
            None => "ok: no file, the defaults hold".to_owned(),
        });
        return Err(Ended::new(Exit::Done, words.join("\n")));
    }
    Ok((args, loaded))
}

/// Takes what the daemon needs before it opens its sockets. The log runs from here on.
pub fn prepare(args: &Args, loaded: Loaded, env: &Env, cwd: &Path) -> Result<Ready, Ended> {
    let Loaded { config, source, set_by, warnings } = loaded;
    logging::start(&config.log).map_err(|error| Ended::new(Exit::System, format!("no log: {error}")))?;
    match source {
        Some(file) => info!(file = %file.display(), "configuration read"),
        None => info!("no configuration file, the defaults hold"),
    }
    for warning in warnings {
        warn!("{warning}");
    }

    let files_max =
        limits::raise_files().map_err(|error| Ended::new(Exit::System, format!("the limit of open files: {error}")))?;
    let capacity = limits::capacity(config.limits.connections_max, files_max);
    if let Some(warning) = &capacity.warning {
        warn!("{warning}");
    }

    let dir = paths::data_dir(args.data_dir.as_deref(), env, cwd).map_err(|problem| refused(&problem))?;
    let database = paths::database(&config, &dir);
    let control_socket = paths::control_socket(&config, &dir, env).map_err(|problem| refused(&problem))?;
    let is_needed = config.engine.kind == EngineKind::Embedded || control_socket.starts_with(&dir);
    let data_dir =
        is_needed.then(|| DataDir::take(&dir)).transpose().map_err(|error| Ended::new(error.exit, error.what))?;

    let reading = read_directory(&config, &set_by, cwd)?;
    for trouble in &reading.troubles {
        warn!("{trouble}");
    }
    // With another kind of origin there is no folder, and nothing was read.
    if config.origin.kind == OriginKind::Directory {
        let counts = reading.directory.counts();
        info!(
            buildings = counts.buildings,
            floors = counts.floors,
            objects = counts.objects,
            routes = counts.routes,
            "building directory read"
        );
    }
    let origin::directory::Reading { directory, folder, .. } = reading;
    Ok(Ready { config, data_dir, database, control_socket, capacity, directory, folder })
}

/// The building directory, if all of it could be read.
///
/// A building with one bad file must not be left out: where its things lie would then be whatever each client says,
/// and two could hold one of them at once. So the start is refused until the file is right.
fn read_directory(config: &Config, set_by: &config::SetBy, cwd: &Path) -> Result<Reading, Ended> {
    let refuse = |words: String| Err(Ended::new(Exit::Config, words));
    match origin::load(config, set_by, cwd) {
        Err(error) => refuse(format!("{error}; set origin.path to a folder of buildings")),
        Ok(reading) if reading.faults.is_empty() => Ok(reading),
        Ok(Reading { faults, .. }) => {
            let mut words: Vec<String> = faults.iter().take(FAULTS_SHOWN_MAX).map(Trouble::to_string).collect();
            if faults.len() > words.len() {
                words.push(format!("and {} more buildings cannot be read", faults.len() - words.len()));
            }
            refuse(words.join("\n"))
        }
    }
}

fn refused(problem: &Problem) -> Ended {
    Ended::new(Exit::Config, problem.to_string())
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(dir: &Path, line: &str) -> Result<(Args, Loaded), Ended> {
        let argv = line.split_whitespace().map(OsString::from);
        let env = Env::from([("HOME".into(), dir.into())]);
        configure(argv, &env, dir)
    }

    #[test]
    fn check_config_names_every_problem_or_says_ok() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("good.toml"), "[locks]\nttl_s = 5\n").unwrap();
        std::fs::write(dir.path().join("bad.toml"), "[locks]\nttl_s = 0\n[htp]\n").unwrap();
        let good = run(dir.path(), "arxosrtd --check-config --config good.toml").unwrap_err();
        assert_eq!(good.exit, Exit::Done);
        assert!(good.words.starts_with("warning: ") && good.words.ends_with("\nok: good.toml"), "{}", good.words);
        assert!(good.words.contains("no building is known"), "the default origin may be missing: {}", good.words);
        let bad = run(dir.path(), "arxosrtd --check-config --config bad.toml").unwrap_err();
        assert_eq!(bad.exit, Exit::Config);
        assert_eq!(
            bad.words,
            "bad.toml:2:9: `locks.ttl_s` is 0 s, the least allowed is 1 s\n\
             bad.toml:3:2: unknown section `htp`; did you mean `http`?"
        );
        let start = run(dir.path(), "arxosrtd --config bad.toml").unwrap_err();
        assert_eq!(start.exit, Exit::Config, "a start is refused for the same reasons");
    }

    #[test]
    fn a_broken_building_keeps_the_daemon_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("models/hq")).unwrap();
        std::fs::write(dir.path().join("models/hq/building.json"), "{\n  \"name\": 7\n}").unwrap();
        std::fs::write(dir.path().join("a.toml"), "[origin]\npath = \"models\"\n[log]\nlevel = \"off\"\n").unwrap();
        let says = format!(
            "{}:2:11: invalid type: integer `7`, expected a string",
            dir.path().join("models/hq/building.json").display()
        );
        let checked = run(dir.path(), "arxosrtd --check-config --config a.toml").unwrap_err();
        assert_eq!((checked.exit, &*checked.words), (Exit::Config, &*says));
        let (_, loaded) = run(dir.path(), "arxosrtd --config a.toml --data-dir data").unwrap();
        let refused = read_directory(&loaded.config, &loaded.set_by, dir.path()).unwrap_err();
        assert_eq!((refused.exit, &*refused.words), (Exit::Config, &*says));
    }

    #[test]
    fn a_wrong_command_line_ends_with_64_and_help_with_0() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(run(dir.path(), "arxosrtd --nonsense").unwrap_err().exit, Exit::Usage);
        let version = run(dir.path(), "arxosrtd --version").unwrap_err();
        assert_eq!(version, Ended::new(Exit::Done, concat!("arxosrtd ", env!("CARGO_PKG_VERSION"))));
        assert!(run(dir.path(), "arxosrtd --help").unwrap_err().words.contains("--check-config"));
    }

    #[test]
    fn a_prepared_daemon_has_all_that_it_starts_from() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.toml"), "[log]\nlevel = \"off\"\n[control]\nsocket = \"c.sock\"\n").unwrap();
        let (args, loaded) = run(dir.path(), "arxosrtd --config a.toml --data-dir data").unwrap();
        let ready = prepare(&args, loaded.clone(), &Env::new(), dir.path()).unwrap();
        assert_eq!(ready.database, dir.path().join("data/arxosrt.db"));
        assert_eq!(ready.control_socket, dir.path().join("c.sock"));
        assert!(ready.data_dir.is_some() && ready.capacity.connections_max > 0);
        assert_eq!(ready.directory.counts().buildings, 0, "the default origin may be missing");
    }
}
