//! Which options are there, of what kind is each, and between which bounds does it lie?
//!
//! One row per option: reading, checking and suggesting all follow from it. A test compares the rows with the fields
//! of [`super::Config`], so that neither can be forgotten. A bound is there because something breaks beyond it, not
//! because a value beyond it would be unwise.

use std::borrow::Cow;

use arxosrt_core::cache::strategy;

use super::suggest::nearest;
use super::value::Kind;

/// An option.
#[derive(Clone, Debug)]
pub struct Key {
    /// `section.name`. In a row of the table, [`ANY`] stands for a name that whoever configures chooses.
    pub path: Cow<'static, str>,
    /// What its value must be.
    pub kind: Kind,
}

/// The bound of every count of bytes.
const GIB: u64 = 1 << 30;
/// The longest address, or part of one.
const ADDRESS_BYTES_MAX: usize = 2048;
/// The bound of every short time.
const HOUR_MS: u64 = 3_600_000;
/// The bound of every long time.
const DAY_S: u64 = 86_400;
/// The bound of counts of things that each cost memory.
const MILLION: u64 = 1_000_000;

/// A name in a path that is chosen by whoever configures: a strategy's.
pub const ANY: &str = "*";

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path: Cow::Borrowed(path), kind }
}

/// All options, section by section.
pub const KEYS: &[Key] = &[
    key("http.listen", Kind::Address),
    key("http.insecure", Kind::Flag),
    key("http.allowed_hosts", Kind::Names),
    key("http.header_timeout_ms", Kind::Integer(100, HOUR_MS)),
    key("http.body_bytes_max", Kind::Integer(1024, GIB)),
    key("control.socket", Kind::Path),
    key("control.operate_groups", Kind::Names),
    key("control.admin_groups", Kind::Names),
    key("control.default_role", Kind::Word(&["none", "view", "operate", "admin"])),
    key("auth.mode", Kind::Word(&["none"])),
    key("store.path", Kind::Path),
    key("store.snapshot_events", Kind::Integer(16, MILLION)),
    key("engine.kind", Kind::Word(&["embedded", "memory"])),
    key("origin.kind", Kind::Word(&["directory", "http", "none"])),
    key("origin.path", Kind::Path),
    key("origin.write_back", Kind::Flag),
    key("origin.write_back_ms", Kind::Integer(1, HOUR_MS)),
    key("origin.http.url", Kind::Text(ADDRESS_BYTES_MAX)),
    key("origin.http.directory_url", Kind::Text(ADDRESS_BYTES_MAX)),
    key("origin.http.directory_wait_ms", Kind::Integer(0, HOUR_MS)),
    key("origin.http.token_file", Kind::Path),
    key("origin.http.ca_file", Kind::Path),
    key("origin.http.timeout_ms", Kind::Integer(10, HOUR_MS)),
    key("origin.http.retries", Kind::Integer(0, 10)),
    key("origin.http.requests_max", Kind::Integer(1, 1024)),
    key("origin.http.answer_bytes_max", Kind::Integer(1024, GIB)),
    key("origin.http.values.*.url", Kind::Text(ADDRESS_BYTES_MAX)),
    key("origin.http.values.*.pointer", Kind::Text(ADDRESS_BYTES_MAX)),
    key("origin.http.values.*.write_url", Kind::Text(ADDRESS_BYTES_MAX)),
    key("origin.http.documents.*.url", Kind::Text(ADDRESS_BYTES_MAX)),
    key("origin.http.documents.*.pointer", Kind::Text(ADDRESS_BYTES_MAX)),
    key("origin.http.documents.*.write_url", Kind::Text(ADDRESS_BYTES_MAX)),
    key("redis.mode", Kind::Word(&["single", "cluster", "sentinel"])),
    key("redis.urls", Kind::Names),
    key("redis.sentinel_master", Kind::Text(256)),
    key("redis.username", Kind::Text(256)),
    key("redis.password_file", Kind::Path),
    key("redis.ca_file", Kind::Path),
    key("redis.prefix", Kind::Text(32)),
    key("redis.timeout_ms", Kind::Integer(1, 10_000)),
    key("redis.connect_timeout_ms", Kind::Integer(10, 60_000)),
    key("hub.ping_ms", Kind::Integer(100, HOUR_MS)),
    key("hub.pong_ms", Kind::Integer(50, HOUR_MS)),
    key("hub.presence_diff_ms", Kind::Integer(1, 10_000)),
    key("hub.presence_list_max", Kind::Integer(1, 10_000)),
    key("hub.inactive_ms", Kind::Integer(100, DAY_S * 1000)),
    key("hub.outbox_bytes_max", Kind::Integer(4096, GIB)),
    key("hub.control_bytes_max", Kind::Integer(4096, GIB)),
    key("hub.resync_window_ms", Kind::Integer(0, HOUR_MS)),
    key("hub.turn_budget_us", Kind::Integer(0, 100_000)),
    key("hub.writers", Kind::AutoOr(0, 64)),
    key("hub.history_events_max", Kind::Integer(0, MILLION)),
    key("hub.history_bytes_max", Kind::Integer(0, GIB)),
    key("hub.dedup_ms", Kind::Integer(0, HOUR_MS)),
    key("hub.reconnect_min_ms", Kind::Integer(0, HOUR_MS)),
    key("hub.reconnect_max_ms", Kind::Integer(1, HOUR_MS)),
    key("locks.ttl_s", Kind::Integer(1, DAY_S)),
    key("locks.ttl_by_type.floor_edit", Kind::Integer(1, DAY_S)),
    key("locks.ttl_by_type.object_edit", Kind::Integer(1, DAY_S)),
    key("locks.ttl_by_type.route_edit", Kind::Integer(1, DAY_S)),
    key("locks.ttl_by_type.grid_calibration", Kind::Integer(1, DAY_S)),
    key("locks.ttl_by_type.analytics_view", Kind::Integer(1, DAY_S)),
    key("locks.grace_s", Kind::Integer(0, DAY_S)),
    key("locks.max_hold_s", Kind::Integer(1, 30 * DAY_S)),
    key("locks.warn_s", Kind::Integers(1, DAY_S)),
    key("locks.wait_max_s", Kind::Integer(0, DAY_S)),
    key("locks.idle_s", Kind::Integer(1, DAY_S)),
    key("locks.request_respond_s", Kind::Integer(1, DAY_S)),
    key("locks.request_idle_grant_s", Kind::Integer(0, DAY_S)),
    key("locks.per_session_max", Kind::Integer(1, 100_000)),
    key("edits.versions_max", Kind::Integer(1, 65_536)),
    key("edits.versions_s", Kind::Integer(1, DAY_S)),
    key("edits.edit_id_s", Kind::Integer(60, 365 * DAY_S)),
    key("edits.documents_max", Kind::Integer(16, MILLION)),
    key("edits.document_bytes_max", Kind::Integer(4096, GIB)),
    key("conflicts.timeout_s", Kind::Integer(1, 30 * DAY_S)),
    key("conflicts.timeout_by_severity.low", Kind::Integer(1, 30 * DAY_S)),
    key("conflicts.timeout_by_severity.medium", Kind::Integer(1, 30 * DAY_S)),
    key("conflicts.timeout_by_severity.high", Kind::Integer(1, 30 * DAY_S)),
    key("conflicts.timeout_by_severity.critical", Kind::Integer(1, 30 * DAY_S)),
    key("conflicts.open_max", Kind::Integer(1, 100_000)),
    key("conflicts.settled_max", Kind::Integer(0, 100_000)),
    key("conflicts.groups", Kind::Names),
    key("conflicts.references", Kind::Names),
    key("conflicts.low", Kind::Names),
    key("conflicts.high", Kind::Names),
    key("conflicts.critical", Kind::Names),
    key("cache.bytes_max", Kind::Integer(1 << 20, 1024 * GIB)),
    key("cache.loads_max", Kind::Integer(1, 4096)),
    key("cache.load_timeout_ms", Kind::Integer(10, HOUR_MS)),
    key("cache.alone_ttl_s", Kind::Integer(0, DAY_S)),
    key("cache.warm", Kind::Flag),
    key("cache.strategies.*.ttl_s", Kind::Integer(1, 30 * DAY_S)),
    key("cache.strategies.*.priority", Kind::Word(&["low", "medium", "high", "critical"])),
    key("cache.strategies.*.items_max", Kind::Integer(0, 100 * MILLION)),
    key("cache.strategies.*.stale_s", Kind::Integer(0, DAY_S)),
    key("cache.strategies.*.negative_s", Kind::Integer(0, DAY_S)),
    key("cache.strategies.*.sensitive", Kind::Flag),
    key("cache.strategies.*.preload", Kind::Flag),
    key("preload.enabled", Kind::Flag),
    key("preload.threshold_percent", Kind::Integer(1, 100)),
    key("preload.threshold_parts_percent", Kind::Integer(1, 100)),
    key("preload.threshold_hint_percent", Kind::Integer(1, 100)),
    key("preload.budget_percent", Kind::Integer(0, 1000)),
    key("preload.loads_max", Kind::Integer(1, 64)),
    key("preload.holdout_permille", Kind::Integer(0, 1000)),
    key("preload.save", Kind::Flag),
    key("limits.message_bytes", Kind::Integer(1024, 64 << 20)),
    // Parsing and dropping nested JSON recurses: a thread's stack bounds it.
    key("limits.json_depth", Kind::Integer(4, 120)),
    key("limits.rooms_per_connection", Kind::Integer(1, 100_000)),
    key("limits.connections_per_user", Kind::Integer(1, MILLION)),
    key("limits.connections_per_address", Kind::Integer(1, MILLION)),
    key("limits.connections_max", Kind::Integer(0, MILLION)),
    key("limits.http_connections_max", Kind::Integer(1, MILLION)),
    key("limits.messages_per_s", Kind::Integer(1, MILLION)),
    key("limits.messages_burst", Kind::Integer(1, MILLION)),
    key("limits.metadata_bytes", Kind::Integer(2, 1 << 20)),
    key("limits.handshake_ms", Kind::Integer(100, HOUR_MS)),
    key("drain.window_ms", Kind::Integer(0, HOUR_MS)),
    key("log.level", Kind::Word(&["off", "error", "warn", "info", "debug", "trace"])),
    key("log.format", Kind::Word(&["auto", "text", "json"])),
    key("metrics.enabled", Kind::Flag),
];

/// The option of this path.
pub fn find(path: &str) -> Option<Key> {
    let row = KEYS.iter().find(|key| matches(&key.path, path) == Some(Match::Whole))?;
    Some(Key { path: Cow::Owned(path.to_owned()), kind: row.kind })
}

/// Is `path` a section, or a table inside one?
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| matches(&key.path, path) == Some(Match::Start))
}

/// The names right under `section` (`""` for the sections themselves). Where any name may be, those that are there from
/// the start.
pub fn names_in(section: &str) -> Vec<&'static str> {
    let depth = if section.is_empty() { 0 } else { section.split('.').count() };
    let is_in = |key: &&Key| section.is_empty() || matches(&key.path, section) == Some(Match::Start);
    let mut names: Vec<&str> = KEYS.iter().filter(is_in).filter_map(|key| row(key).split('.').nth(depth)).collect();
    names.dedup();
    if names == [ANY] {
        // They are told apart by what they are called, not by what they are called in the table.
        names = KNOWN_STRATEGIES.to_vec();
    }
    names
}

/// The option that an unknown path is a slip of, or that has its last name in another section.
pub fn nearest_to(path: &str) -> Option<String> {
    let name = path.rsplit('.').next().unwrap_or(path);
    let elsewhere = || KEYS.iter().map(row).find(|known| known.rsplit('.').next() == Some(name) && path.contains('.'));
    let (section, _) = path.split_once('.').unwrap_or(("", path));
    let candidates: Vec<String> = KEYS.iter().filter_map(|key| with_names_of(row(key), path)).collect();
    // Within its section a name may be slightly wrong; across sections it must be right, or chance decides.
    let siblings = candidates.iter().map(String::as_str).filter(|known| known.starts_with(&format!("{section}.")));
    let fixed = || elsewhere().filter(|known| !known.contains(ANY));
    nearest(path, siblings)
        .or_else(fixed)
        .or_else(|| nearest(path, candidates.iter().map(String::as_str)))
        .map(str::to_owned)
}

/// The option that an environment variable of this name sets.
pub fn of_env(name: &str) -> Option<Key> {
    let exact = KEYS.iter().find(|key| !row(key).contains(ANY) && key.env_name() == name).cloned();
    exact.or_else(|| find(&path_of_env(name)?))
}

/// The path that an environment variable speaks of.
pub fn path_of_env(name: &str) -> Option<String> {
    Some(name.strip_prefix(ENV_PREFIX)?.replace("__", ".").to_lowercase())
}

/// The environment variable that sets the option of this path.
pub fn env_name(path: &str) -> String {
    format!("{ENV_PREFIX}{}", path.replace('.', "__").to_uppercase())
}

/// The prefix of the environment variables that set options.
pub const ENV_PREFIX: &str = "ARXOSRT_";

/// The strategies that can be meant where any name is allowed.
const KNOWN_STRATEGIES: [&str; 7] =
    ["floor_data", "object_data", "route_data", "grid_calibration", "analytics_data", "user_session", "search_results"];

/// How a path fits a row.
#[derive(PartialEq, Eq)]
enum Match {
    /// It is the option's.
    Whole,
    /// It is a section's that the option is in.
    Start,
}

fn matches(row: &str, path: &str) -> Option<Match> {
    let mut names = row.split('.');
    for name in path.split('.') {
        match names.next() {
            Some(ANY) if strategy::is_name(name) => {}
            Some(known) if known == name && known != ANY => {}
            _ => return None,
        }
    }
    Some(if names.next().is_some() { Match::Start } else { Match::Whole })
}

/// The row with the path's own names where any may be; `None` where the path has none there.
fn with_names_of(row: &str, path: &str) -> Option<String> {
    let mut named = path.split('.');
    let names = row.split('.').map(|known| {
        let own = named.next();
        if known == ANY { own.filter(|own| strategy::is_name(own)) } else { Some(known) }
    });
    Some(names.collect::<Option<Vec<_>>>()?.join("."))
}

fn row(key: &'static Key) -> &'static str {
    &key.path
}

impl Key {
    /// The environment variable that sets it.
    pub fn env_name(&self) -> String {
        env_name(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use toml::Value;

    use super::*;
    use crate::config::Config;

    fn leaves(prefix: &str, table: &toml::Table, into: &mut BTreeSet<String>) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) => leaves(&path, inner, into),
                _ => {
                    into.insert(path);
                }
            }
        }
    }

    /// Tables whose names are chosen and that nobody has filled.
    fn is_empty_at_first(path: &str) -> bool {
        path.contains("_by_") || path.starts_with("origin.http.values.") || path.starts_with("origin.http.documents.")
    }

    #[test]
    fn every_field_has_a_row_and_every_row_a_field() {
        let mut fields = BTreeSet::new();
        leaves("", &toml::Table::try_from(Config::default()).unwrap(), &mut fields);
        // The strategies have the same fields each.
        let as_row = |path: &String| {
            let chosen = path.strip_prefix("cache.strategies.").and_then(|rest| rest.split_once('.'));
            chosen.map_or_else(|| path.clone(), |(_, field)| format!("cache.strategies.{ANY}.{field}"))
        };
        let fields: BTreeSet<String> = fields.iter().map(as_row).collect();
        let rows: BTreeSet<String> =
            KEYS.iter().map(|k| k.path.to_string()).filter(|path| !is_empty_at_first(path)).collect();
        assert_eq!(fields, rows);
        assert_eq!(KEYS.len(), KEYS.iter().map(|k| &k.path).collect::<BTreeSet<_>>().len(), "no row twice");
    }

    #[test]
    fn every_default_lies_within_its_own_bounds() {
        let tree = toml::Table::try_from(Config::default()).unwrap();
        for key in KEYS {
            let paths = match key.path.contains(ANY) {
                true => KNOWN_STRATEGIES.map(|name| key.path.replace(ANY, name)).to_vec(),
                false => vec![key.path.to_string()],
            };
            for path in paths {
                let mut at = Some(&Value::Table(tree.clone())).cloned();
                for name in path.split('.') {
                    at = at.and_then(|value| value.get(name).cloned());
                }
                if let Some(value) = at {
                    key.accept(value).unwrap();
                }
            }
        }
    }

    #[test]
    fn every_word_and_every_lock_type_is_one_that_the_fields_know() {
        for key in KEYS {
            let values: Vec<Value> = match key.kind {
                Kind::Word(words) => words.iter().map(|w| Value::String((*w).to_owned())).collect(),
                _ if key.path.contains("_by_") => vec![Value::Integer(1)],
                _ => continue,
            };
            for value in values {
                let path = key.path.replace(ANY, "weather");
                let tree = path
                    .rsplit('.')
                    .fold(value, |inner, name| Value::Table(toml::Table::from_iter([(name.to_owned(), inner)])));
                tree.try_into::<Config>().unwrap_or_else(|e| panic!("{}: {e}", key.path));
            }
        }
    }

    #[test]
    fn a_name_that_is_chosen_is_one_that_can_be_had() {
        assert_eq!(find("cache.strategies.weather.ttl_s").unwrap().path, "cache.strategies.weather.ttl_s");
        assert!(is_section("cache.strategies") && is_section("cache.strategies.weather"));
        for path in ["cache.strategies.Weather.ttl_s", "cache.strategies..ttl_s", "cache.strategies.*.ttl_s"] {
            assert!(find(path).is_none(), "{path}");
        }
        assert_eq!(of_env("ARXOSRT_CACHE__STRATEGIES__WEATHER__TTL_S").unwrap().path, "cache.strategies.weather.ttl_s");
        assert_eq!(nearest_to("cache.strategies.weather.tll_s").as_deref(), Some("cache.strategies.weather.ttl_s"));
        let known: Vec<String> =
            arxosrt_core::cache::Strategies::known().iter().map(|known| known.name.to_string()).collect();
        assert_eq!(KNOWN_STRATEGIES.to_vec(), known);
    }
}
