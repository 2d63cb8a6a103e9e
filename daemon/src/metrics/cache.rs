//! The cache's figures, by strategy. There are at most 64 strategies, and only a configuration names one.
//!
//! The cache counts by itself; a scrape asks it.

use std::fmt;
use std::sync::OnceLock;

use arxosrt_core::cache::Reason;

use super::exposition::Page;
use crate::cache::{Cache, CacheFigures, StrategyFigures};

/// Who is asked; nobody before the cache has started.
#[derive(Default)]
pub struct CacheSource(OnceLock<Cache>);

impl fmt::Debug for CacheSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CacheSource")
    }
}

impl CacheSource {
    /// This cache from now on; there is one in a daemon.
    pub fn set(&self, cache: Cache) {
        // A second one would be another daemon's, with metrics of its own.
        let _ = self.0.set(cache);
    }

    pub(super) fn encode(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(cache) = self.0.get() else { return Ok(()) };
        let figures = cache.stats();
        type Figure = fn(&StrategyFigures) -> u64;
        let counters: [(&str, &str, Figure); 17] = [
            ("cache_local_hits", "Values served from this process", |s| s.local.hits + s.local.soft),
            ("cache_negative_hits", "Requests for what is known not to be there", |s| s.local.negative),
            ("cache_shared_hits", "Values served from the shared cache", |s| s.shared_hits),
            ("cache_misses", "Requests that went to the origin", StrategyFigures::misses),
            ("cache_stale_served", "Values served after their time, because the origin failed", |s| s.stale),
            ("cache_joined", "Requests that waited for a load that was under way", |s| s.joined),
            ("cache_loads", "Loads from the origin", |s| s.loads),
            ("cache_load_failures", "Loads from the origin that failed", |s| s.load_failures),
            ("cache_load_microseconds", "The time that loads from the origin took", |s| s.load_us),
            ("cache_refreshes", "Values loaded anew before their time was over", |s| s.refreshes),
            ("cache_patched", "Lists that were brought up to date with edits", |s| s.patched),
            ("cache_writes", "Values that clients have set", |s| s.writes),
            ("cache_refused", "Requests refused because the shared cache cannot be reached", |s| s.refused),
            ("cache_outdated", "Loads that something had made invalid before they ended", |s| s.local.outdated),
            ("cache_preloaded", "Values loaded before anybody asked", |s| s.local.preloaded),
            ("cache_preloaded_used", "Of these, asked for since", |s| s.local.preloaded_used),
            ("cache_preloaded_wasted", "Of these, gone before anybody asked", |s| s.local.preloaded_wasted.total()),
        ];
        for (name, help, figure) in counters {
            page.named(name, help, "strategy", by_strategy(&figures, figure))?;
        }
        let left = figures.strategies.iter().flat_map(|strategy| {
            Reason::ALL.map(|reason| ([&*strategy.name, reason.as_str()], strategy.local.left.of(reason)))
        });
        page.pairs("cache_left", "Entries that left, by reason", ["strategy", "reason"], left)?;
        page.named_gauge(
            "cache_entries",
            "Entries in this process",
            "strategy",
            by_strategy(&figures, |s| s.local.entries),
        )?;
        page.named_gauge("cache_bytes", "What they take", "strategy", by_strategy(&figures, |s| s.local.bytes))?;
        page.plain_gauge("cache_bytes_max", "What entries and loads may take", figures.bytes_max)?;
        page.plain_gauge("cache_loading", "Loads under way", figures.loading)?;
        match figures.shared_is_up {
            Some(is_up) => page.plain_gauge("cache_shared_up", "1 while the shared cache answers", u64::from(is_up)),
            None => Ok(()),
        }
    }
}

fn by_strategy(figures: &CacheFigures, figure: fn(&StrategyFigures) -> u64) -> Vec<(&str, u64)> {
    figures.strategies.iter().map(|strategy| (&*strategy.name, figure(strategy))).collect()
}
