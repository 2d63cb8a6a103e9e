//! Redis: where it is, how it is spoken to, and how long it is waited for.
//!
//! A password is never part of the configuration, which is printed and logged: it is read from a file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The cache's shared tier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// What the addresses are of.
    pub mode: RedisMode,
    /// The addresses; none means that there is no shared tier.
    pub urls: Vec<String>,
    /// The name that the sentinels know the master by.
    pub sentinel_master: String,
    /// Whom to log in as; empty is the server's default user.
    pub username: String,
    /// The file that holds the password; empty means that none is asked for.
    pub password_file: PathBuf,
    /// The file of the authority that signed the server's certificate; empty means those of the system.
    pub ca_file: PathBuf,
    /// What all keys and channels begin with.
    pub prefix: String,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// How long connecting may take.
    pub connect_timeout_ms: u64,
}

/// What the addresses are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedisMode {
    /// One server.
    #[default]
    Single,
    /// Some nodes of a cluster; the others are learned from them.
    Cluster,
    /// Sentinels, who know where the master is.
    Sentinel,
}

impl Default for Redis {
    fn default() -> Self {
        Redis {
            mode: RedisMode::default(),
            urls: Vec::new(),
            sentinel_master: String::new(),
            username: String::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            prefix: "arx".to_owned(),
            timeout_ms: 20,
            connect_timeout_ms: 500,
        }
    }
}

/// The ways an address may begin.
const SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis+unix://", "unix://"];

impl Redis {
    /// Is there a shared tier at all?
    pub fn is_on(&self) -> bool {
        !self.urls.is_empty()
    }

    /// What is wrong, each with the option to correct. No address is repeated that may hold a password.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (at, url) in self.urls.iter().enumerate() {
            let Some(scheme) = SCHEMES.iter().find(|scheme| url.starts_with(**scheme)) else {
                problems.push(("redis.urls", format!("`redis.urls[{at}]` must begin with {}", SCHEMES.join(", "))));
                continue;
            };
            if url[scheme.len()..].contains('@') || url.contains("pass=") {
                let what = format!(
                    "`redis.urls[{at}]` holds a user or a password: those belong into `redis.username` and `redis.password_file`"
                );
                problems.push(("redis.urls", what));
            } else if let Err(error) = redis::IntoConnectionInfo::into_connection_info(url.as_str()) {
                problems.push(("redis.urls", format!("`redis.urls[{at}]` is {url:?}: {error}")));
            } else if scheme.contains("unix") && self.mode != RedisMode::Single {
                problems.push(("redis.urls", format!("`redis.urls[{at}]` is a socket: only a single server has one")));
            }
        }
        if self.mode == RedisMode::Single && self.urls.len() > 1 {
            let what = format!("`redis.urls` has {} addresses, `redis.mode` \"single\" has one", self.urls.len());
            problems.push(("redis.urls", what));
        }
        if self.mode == RedisMode::Sentinel && self.is_on() && self.sentinel_master.is_empty() {
            let what = "`redis.sentinel_master` must name the master that the sentinels watch".to_owned();
            problems.push(("redis.sentinel_master", what));
        }
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        if !(1..=PREFIX_BYTES_MAX).contains(&self.prefix.len()) || !self.prefix.chars().all(is_plain) {
            let what = format!(
                "`redis.prefix` must be 1 to {PREFIX_BYTES_MAX} lower-case letters, digits and `_-.`, not {:?}",
                self.prefix
            );
            problems.push(("redis.prefix", what));
        }
        problems
    }
}

/// The longest prefix of keys.
const PREFIX_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_can_be_used_and_holds_no_password() {
        let problems = |mode, urls: &[&str]| {
            let urls = urls.iter().map(|url| (*url).to_owned()).collect();
            let redis = Redis { mode, urls, sentinel_master: "m".into(), ..Redis::default() };
            redis.problems().into_iter().map(|(_, what)| what).collect::<Vec<_>>()
        };
        use RedisMode::{Cluster, Sentinel, Single};
        for (mode, urls) in [
            (Single, &[][..]),
            (Single, &["redis://127.0.0.1:6379"]),
            (Single, &["rediss://cache.example:6380/2"]),
            (Single, &["unix:///run/redis.sock"]),
            (Cluster, &["redis://a", "redis://b"]),
            (Sentinel, &["redis://a:26379"]),
        ] {
            assert_eq!(problems(mode, urls), [] as [String; 0], "{urls:?}");
        }
        for (mode, urls) in [
            (Single, &["127.0.0.1:6379"][..]),
            (Single, &["redis://a", "redis://b"]),
            (Single, &["redis://:geheim@a"]),
            (Single, &["unix:///run/redis.sock?pass=geheim"]),
            (Cluster, &["unix:///run/redis.sock"]),
            (Single, &["redis://a:99999"]),
        ] {
            let found = problems(mode, urls);
            assert_eq!(found.len(), 1, "{urls:?}: {found:?}");
            assert!(!found[0].contains("geheim"), "{found:?}");
        }
        for prefix in ["", "a:b", "a*", "{a}", "A"] {
            assert_eq!(Redis { prefix: prefix.into(), ..Redis::default() }.problems().len(), 1, "{prefix}");
        }
    }
}
