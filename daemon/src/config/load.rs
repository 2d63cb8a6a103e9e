//! How does the configuration come together?
//!
//! Flags over environment over file over defaults. Nothing is taken when anything is wrong: the caller gets every
//! problem of every layer at once, each with its place.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::keys;
use super::layers::Layers;
use super::value::Kind;
use super::{Config, Env, Problem, SetBy, Whence, listen, relations};
use crate::args::Args;

/// The largest file that is read.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;

/// Where a machine's configuration is.
const SYSTEM_FILE: &str = "/etc/arxosrt/arxosrt.toml";
/// Where a folder's configuration is.
const LOCAL_FILE: &str = "arxosrt.toml";

/// A configuration that is good as a whole.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds. Paths that were set are absolute.
    pub config: Config,
    /// The file that was read, if there was one.
    pub source: Option<PathBuf>,
    /// Who set what; the rest are defaults.
    pub set_by: SetBy,
    /// What looks wrong but does not keep the daemon from starting.
    pub warnings: Vec<String>,
}

/// Reads all layers.
pub fn load(args: &Args, env: &Env, cwd: &Path) -> Result<Loaded, Vec<Problem>> {
    let mut layers = Layers::default();
    let mut source = None;
    match read_file(args, env, cwd) {
        Ok(Some((path, text))) => {
            layers.add_file(&path, &text);
            source = Some(path);
        }
        Ok(None) => {}
        Err(problem) => layers.problems.push(problem),
    }
    layers.add_env(env);
    for assignment in &args.set {
        layers.add_set(assignment);
    }
    if args.insecure {
        let key = keys::find("http.insecure").expect("the flag's option is in the table");
        layers.set(&key, Ok(true.into()), Whence::Flag("--insecure".to_owned()));
    }
    finish(layers, source, cwd)
}

fn finish(layers: Layers, source: Option<PathBuf>, cwd: &Path) -> Result<Loaded, Vec<Problem>> {
    let Layers { mut tree, set_by, mut problems, mut warnings } = layers;
    make_paths_absolute(&mut tree, &set_by, cwd);
    // Relations are judged on what is good, so that they come up together with the rest.
    match tree.try_into::<Config>() {
        Ok(config) => {
            problems.extend(relations::problems(&config, &set_by));
            problems.extend(listen::problem(&config, &set_by));
            if problems.is_empty() {
                warnings.extend(relations::warnings(&config));
                return Ok(Loaded { config, source, set_by, warnings });
            }
        }
        Err(error) => problems.push(Problem { whence: Whence::Default, what: error.to_string(), hint: None }),
    }
    Err(problems)
}

/// The first file there is, with its text. One that was named must be there.
fn read_file(args: &Args, env: &Env, cwd: &Path) -> Result<Option<(PathBuf, String)>, Problem> {
    for Candidate { path, must_exist } in candidates(args, env) {
        // The name stays as it was given, so that messages show what the person knows.
        match read_text(&cwd.join(&path)) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {}
            Err(error) => {
                let whence = Whence::File { path, line: 0, column: 0 };
                return Err(Problem { whence, what: format!("cannot be read: {error}"), hint: None });
            }
        }
    }
    Ok(None)
}

/// A file that may hold the configuration.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    path: PathBuf,
    must_exist: bool,
}

fn candidates(args: &Args, env: &Env) -> Vec<Candidate> {
    let named = args.config.clone().or_else(|| {
        env.get("ARXOSRT_CONFIG".as_ref() as &std::ffi::OsStr).filter(|name| !name.is_empty()).map(PathBuf::from)
    });
    match named {
        Some(path) => vec![Candidate { path, must_exist: true }],
        None => [SYSTEM_FILE, LOCAL_FILE].map(|path| Candidate { path: PathBuf::from(path), must_exist: false }).into(),
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(CONFIG_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > CONFIG_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {CONFIG_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = bytes_before(error.as_bytes(), error.utf8_error().valid_up_to()) + 1;
        std::io::Error::other(format!("line {line} is not UTF-8"))
    })
}

/// How many lines end before this byte.
fn bytes_before(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// A relative path in a file is meant from the file's folder, so that the daemon finds it wherever it is started; one
/// in a flag or variable from where the daemon was started.
fn make_paths_absolute(tree: &mut toml::Table, set_by: &SetBy, cwd: &Path) {
    for key in keys::KEYS.iter().filter(|key| matches!(key.kind, Kind::Path)) {
        let (sections, name) = key.path.rsplit_once('.').expect("every option is in a section");
        let mut sections = sections.split('.');
        let outer = sections.next().and_then(|section| tree.get_mut(section));
        let section = sections.fold(outer, |outer, section| outer?.get_mut(section));
        let Some(toml::Value::String(text)) = section.and_then(|section| section.get_mut(name)) else { continue };
        let base = match set_by.get(&*key.path) {
            Some(Whence::File { path, .. }) => cwd.join(path.parent().unwrap_or(Path::new(""))),
            _ => cwd.to_owned(),
        };
        if !text.is_empty() {
            *text = base.join(&*text).to_string_lossy().into_owned();
        }
    }
}
