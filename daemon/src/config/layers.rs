//! What does each layer say, and what remains when the higher ones have spoken?
//!
//! Every layer is checked in full, also where a higher one overrides it: a mistake that is hidden today shows up on the
//! day the override goes away.

use std::path::Path;

use arxosrt_core::cache::{BadStrategy, strategy};
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::keys::{self, ENV_PREFIX, Key};
use super::suggest::nearest;
use super::value::Refusal;
use super::{Env, Problem, SetBy, Whence};

/// The layers so far, the later over the earlier.
#[derive(Default)]
pub struct Layers {
    /// The values that were set and are good.
    pub tree: toml::Table,
    /// Who set them.
    pub set_by: SetBy,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What looks wrong.
    pub warnings: Vec<String>,
}

impl Layers {
    /// Adds a file: every mistake of its syntax, then every mistake of its content.
    pub fn add_file(&mut self, path: &Path, text: &str) {
        let place = |offset: usize| {
            let (line, column) = line_and_column(text, offset);
            Whence::File { path: path.to_owned(), line, column }
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let whence = place(error.span().map_or(0, |span| span.start));
            self.problems.push(Problem { whence, what: error.message().replace('\n', ", "), hint: None });
        }
        // What follows a broken piece is guesswork: its content is not judged.
        if errors.is_empty() {
            self.add_table("", document.get_ref(), &place);
        }
        // A parsed table is in the order of the alphabet; people read from the top.
        self.problems.sort_by_key(|problem| match &problem.whence {
            Whence::File { line, column, .. } => (*line, *column),
            _ => (0, 0),
        });
    }

    fn add_table(&mut self, section: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> Whence) {
        for (name, value) in table {
            let path =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            match (keys::find(&path), value.get_ref()) {
                (Some(key), found) => {
                    let whence = place(value.span().start);
                    match plain(found) {
                        Ok(found) => self.set(&key, key.accept(found), whence),
                        Err(what) => self.problem(whence, format!("`{path}` {what}"), None),
                    }
                }
                (None, DeValue::Table(inner)) if keys::is_section(&path) => self.add_table(&path, inner, place),
                (None, found) if keys::is_section(&path) => {
                    let what = format!("`{path}` is a section, not a single {}", found.type_str());
                    self.problem(place(value.span().start), what, Some(format!("write [{path}] on a line of its own")));
                }
                (None, DeValue::Table(_)) => {
                    self.problem(place(name.span().start), format!("unknown section `{path}`"), meant(&path));
                }
                (None, _) => self.problem(place(name.span().start), format!("unknown option `{path}`"), meant(&path)),
            }
        }
    }

    /// Adds the variables `ARXOSRT_SECTION__KEY`. One that is empty counts as not there.
    pub fn add_env(&mut self, env: &Env) {
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            if value.is_empty() {
                continue;
            }
            let whence = Whence::Env(name.to_owned());
            match (keys::of_env(name), value.to_str()) {
                (Some(key), Some(text)) => self.set(&key, key.read(text), whence),
                (Some(_), None) => self.problem(whence, "the value is not UTF-8".to_owned(), None),
                (None, _) if name[ENV_PREFIX.len()..].contains("__") => {
                    let path = keys::path_of_env(name).unwrap_or_default();
                    let hint = keys::nearest_to(&path).map(|path| format!("did you mean `{}`?", keys::env_name(&path)));
                    self.problem(whence, format!("unknown option `{path}`"), hint);
                }
                // Other programs of this project have variables of their own; only a near miss is worth a word.
                (None, _) => {
                    if let Some(key) = keys::KEYS.iter().find(|key| key.env_name().replace("__", "_") == name) {
                        self.warnings.push(format!("{whence} is ignored; did you mean `{}`?", key.env_name()));
                    }
                }
            }
        }
    }

    /// Adds one `--set SECTION.KEY=VALUE`.
    pub fn add_set(&mut self, assignment: &str) {
        let Some((path, text)) = assignment.split_once('=') else {
            let whence = Whence::Flag(format!("--set {assignment}"));
            return self.problem(
                whence,
                "there is no `=`".to_owned(),
                Some("write --set SECTION.KEY=VALUE".to_owned()),
            );
        };
        let path = path.trim();
        let whence = Whence::Flag(format!("--set {path}"));
        match keys::find(path) {
            Some(key) => self.set(&key, key.read(text), whence),
            None if keys::is_section(path) => {
                self.problem(whence, format!("`{path}` is a section, not an option"), None);
            }
            None => self.problem(whence, format!("unknown option `{path}`"), meant(path)),
        }
    }

    /// Sets one option, or notes why it cannot be set.
    pub fn set(&mut self, key: &Key, value: Result<Value, Refusal>, whence: Whence) {
        match value {
            Ok(value) => {
                insert(&mut self.tree, &key.path, value);
                self.set_by.insert(key.path.to_string(), whence);
            }
            Err(Refusal { what, hint }) => self.problem(whence, what, hint),
        }
    }

    fn problem(&mut self, whence: Whence, what: String, hint: Option<String>) {
        self.problems.push(Problem { whence, what, hint });
    }
}

/// A parsed value without its positions, or why it does not fit.
fn plain(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Value::Integer(n),
            Err(_) => {
                return Err(format!("is {n}, which is beyond any integer that can be stored"));
            }
        },
        DeValue::Float(x) => Value::Float(x.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| plain(item.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(_) => Value::Table(toml::Table::new()),
    })
}

fn insert(tree: &mut toml::Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = tree.entry(section).or_insert_with(|| Value::Table(toml::Table::new()));
            insert(inner.as_table_mut().expect("no option's path is the start of another's"), rest, value);
        }
    }
}

/// What somebody meant who wrote this unknown path, as a hint.
fn meant(path: &str) -> Option<String> {
    if let Some(name) = path.strip_prefix("cache.strategies.").and_then(|rest| rest.split('.').next())
        && !strategy::is_name(name)
    {
        return Some(BadStrategy::Name(name.into()).to_string());
    }
    if let Some(known) = keys::nearest_to(path) {
        return Some(format!("did you mean `{known}`?"));
    }
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    nearest(name, keys::names_in(section)).map(|name| match section {
        "" => format!("did you mean `{name}`?"),
        _ => format!("did you mean `{section}.{name}`?"),
    })
}

/// Line and column of a byte of the text, both from 1; the column counts characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
