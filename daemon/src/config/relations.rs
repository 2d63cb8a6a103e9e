//! Which options must agree with each other?
//!
//! A relation whose breach would make the daemon do something other than it says is a problem. One that only makes an
//! option without effect is a warning: a lease shorter than its warning time is a good configuration for a test.

use arxosrt_core::cache::Strategies;

use super::suggest::nearest;
use super::{Config, Problem, SetBy, Whence};
use crate::origin::http::template::Base;

/// A relation between two options that does not hold.
struct Breach {
    /// The options, the one to correct first.
    paths: [&'static str; 2],
    /// What is wrong.
    what: String,
}

/// The problems of a configuration whose options are each within their bounds.
pub fn problems(config: &Config, set_by: &SetBy) -> Vec<Problem> {
    let hub = &config.hub;
    let mut breaches = Vec::new();
    if hub.pong_ms >= hub.ping_ms {
        let what = format!(
            "`hub.pong_ms` is {} ms, it must be below `hub.ping_ms`, which is {} ms: \
             an answer must be judged before the next ping goes out",
            hub.pong_ms, hub.ping_ms
        );
        breaches.push(Breach { paths: ["hub.pong_ms", "hub.ping_ms"], what });
    }
    if hub.reconnect_min_ms > hub.reconnect_max_ms {
        let what = format!(
            "`hub.reconnect_min_ms` is {} ms, it must not be above `hub.reconnect_max_ms`, which is {} ms",
            hub.reconnect_min_ms, hub.reconnect_max_ms
        );
        breaches.push(Breach { paths: ["hub.reconnect_min_ms", "hub.reconnect_max_ms"], what });
    }
    for (option, what) in config.conflicts.bad_patterns() {
        breaches.push(Breach { paths: [option, option], what: format!("`{option}`: {what}") });
    }
    if let Err(error) = config.cache.strategies() {
        breaches.push(Breach { paths: ["cache.strategies", "cache.strategies"], what: error.to_string() });
    }
    for (option, what) in config.redis.problems() {
        breaches.push(Breach { paths: [option, option], what });
    }
    let addresses = config.origin.bad_addresses().into_iter().map(|(option, what)| {
        let whence = set_by.get(&option).cloned().unwrap_or(Whence::Default);
        Problem { whence, what: format!("`{option}`: {what}"), hint: None }
    });
    breaches.into_iter().map(|breach| placed(breach, set_by)).chain(addresses).collect()
}

/// Options that have no effect as they are set.
pub fn warnings(config: &Config) -> Vec<String> {
    let (hub, locks, limits) = (&config.hub, &config.locks, &config.limits);
    let mut warnings = Vec::new();
    if limits.message_bytes > hub.outbox_bytes_max {
        warnings.push(format!(
            "`limits.message_bytes` is {} bytes but `hub.outbox_bytes_max` is {} bytes: \
             a slow reader loses its backlog to a single large message",
            limits.message_bytes, hub.outbox_bytes_max
        ));
    }
    if limits.metadata_bytes > limits.message_bytes {
        warnings.push(format!(
            "`limits.metadata_bytes` is {} bytes but no message may exceed `limits.message_bytes`, {} bytes",
            limits.metadata_bytes, limits.message_bytes
        ));
    }
    let known = Strategies::known();
    let is_known = |name: &str| known.iter().any(|strategy| &*strategy.name == name);
    for name in config.cache.strategies.0.keys().filter(|name| !is_known(name)) {
        // A slip declares a strategy that nobody asks for, and what was meant stays as it is.
        if let Some(meant) = nearest(name, known.iter().map(|strategy| &*strategy.name)) {
            warnings.push(format!("`cache.strategies.{name}` declares another strategy; did you mean `{meant}`?"));
        }
    }
    let declared = || config.cache.strategies.0.keys().map(String::as_str);
    for name in config.origin.http.values.keys().filter(|name| !declared().any(|known| known == *name)) {
        // Nobody can ask for values of a strategy that is not there.
        let meant = nearest(name, declared()).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
        warnings.push(format!("`origin.http.values.{name}` is ignored: there is no strategy of this name{meant}"));
    }
    let longest = locks.ttl_by_type.values().copied().chain([locks.ttl_s]).max().unwrap_or(locks.ttl_s);
    if longest > locks.max_hold_s {
        warnings.push(format!(
            "a lease of {longest} s is cut to `locks.max_hold_s`, {} s, even if it is never renewed",
            locks.max_hold_s
        ));
    }
    let origin = &config.origin;
    if origin.uses_http()
        && !origin.http.token_file.as_os_str().is_empty()
        && Base::new(&origin.http.url).is_ok_and(|base| base.is_open())
    {
        warnings.push("`origin.http.url` is not https: whoever listens can read the token".to_owned());
    }
    warnings
}

/// A breach, at the place of the option that somebody set.
fn placed(breach: Breach, set_by: &SetBy) -> Problem {
    let set: Vec<_> = breach.paths.iter().filter_map(|path| Some((path, set_by.get(*path)?))).collect();
    let (whence, hint) = match set.as_slice() {
        [] => (Whence::Default, None),
        [(_, whence)] => ((*whence).clone(), None),
        [(_, whence), (other, at), ..] => ((*whence).clone(), Some(format!("`{other}` was set at {at}"))),
    };
    Problem { whence, what: breach.what, hint }
}
