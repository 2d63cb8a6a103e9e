//! Which options are there, of what kind is each, and between which bounds does it lie?
//!
//! One row per option: reading, checking and suggesting all follow from it. A test compares the rows with the fields
//! of [`super::Config`], so that neither can be forgotten. A bound is there because something breaks beyond it, not
//! because a value beyond it would be unwise.

use super::value::Kind;

/// An option.
#[derive(Debug)]
pub struct Key {
    /// `section.name`.
    pub path: &'static str,
    /// What its value must be.
    pub kind: Kind,
}

/// The bound of every count of bytes.
const GIB: u64 = 1 << 30;
/// The bound of every short time.
const HOUR_MS: u64 = 3_600_000;
/// The bound of every long time.
const DAY_S: u64 = 86_400;
/// The bound of counts of things that each cost memory.
const MILLION: u64 = 1_000_000;

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
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
    key("origin.kind", Kind::Word(&["directory", "none"])),
    key("origin.path", Kind::Path),
    key("origin.write_back", Kind::Flag),
    key("origin.write_back_ms", Kind::Integer(1, HOUR_MS)),
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
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Is `path` a section, or a table inside one?
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The names right under `section` (`""` for the sections themselves).
pub fn names_in(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| match section {
            "" => Some(key.path),
            _ => key.path.strip_prefix(section)?.strip_prefix('.'),
        })
        .map(|rest| rest.split('.').next().unwrap_or(rest))
        .collect();
    names.dedup();
    names
}

impl Key {
    /// The environment variable that sets it.
    pub fn env_name(&self) -> String {
        format!("ARXOSRT_{}", self.path.replace('.', "__").to_uppercase())
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

    #[test]
    fn every_field_has_a_row_and_every_row_a_field() {
        let mut fields = BTreeSet::new();
        leaves("", &toml::Table::try_from(Config::default()).unwrap(), &mut fields);
        let rows: BTreeSet<String> =
            KEYS.iter().map(|k| k.path.to_owned()).filter(|path| !path.contains("_by_")).collect();
        assert_eq!(fields, rows);
        assert_eq!(KEYS.len(), KEYS.iter().map(|k| k.path).collect::<BTreeSet<_>>().len(), "no row twice");
    }

    #[test]
    fn every_default_lies_within_its_own_bounds() {
        let tree = toml::Table::try_from(Config::default()).unwrap();
        for key in KEYS {
            let mut at = Some(&Value::Table(tree.clone())).cloned();
            for name in key.path.split('.') {
                at = at.and_then(|value| value.get(name).cloned());
            }
            if let Some(value) = at {
                key.accept(value).unwrap();
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
                let tree = key
                    .path
                    .rsplit('.')
                    .fold(value, |inner, name| Value::Table(toml::Table::from_iter([(name.to_owned(), inner)])));
                tree.try_into::<Config>().unwrap_or_else(|e| panic!("{}: {e}", key.path));
            }
        }
    }
}
