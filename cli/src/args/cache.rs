//! `arxosrt cache …`

use std::time::Duration;

use clap::{ArgGroup, Subcommand};

use super::{CacheReplay, duration};

/// `arxosrt cache …`
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Figures: what is held, how often it answers, how often it does not.
    Stats,
    /// Entries that the daemon holds in memory, without their values.
    #[command(alias = "ls")]
    List {
        /// Only those of this strategy.
        #[arg(long, value_name = "STRATEGY")]
        strategy: Option<String>,
        /// Only what belongs to this floor.
        #[arg(long, value_name = "FLOOR", conflicts_with = "building")]
        floor: Option<String>,
        /// Only what belongs to this building.
        #[arg(long, value_name = "BUILDING")]
        building: Option<String>,
        /// At most so many.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
        limit: Option<u32>,
    },
    /// Where an entry is, how old, what would make it invalid; or why it is not there.
    Show {
        /// Its strategy.
        strategy: String,
        /// Its id.
        id: String,
    },
    /// The value of an entry as it is cached, loaded first if it is not there. Never one that is sensitive.
    Get {
        /// Its strategy.
        strategy: String,
        /// Its id.
        id: String,
    },
    /// Forget entries: whoever reads them next gets them from the origin.
    #[command(group(ArgGroup::new("what").required(true).args(["strategy", "floor", "building", "all"])))]
    Invalidate {
        /// Everything of this strategy, or with an id one entry.
        #[arg(value_name = "STRATEGY")]
        strategy: Option<String>,
        /// The entry.
        #[arg(requires = "strategy", value_name = "ID")]
        id: Option<String>,
        /// Everything about this floor.
        #[arg(long, value_name = "FLOOR")]
        floor: Option<String>,
        /// Everything about this building.
        #[arg(long, value_name = "BUILDING")]
        building: Option<String>,
        /// Everything.
        #[arg(long)]
        all: bool,
        /// Say how many entries it would be, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Load again what was in use before the last restart.
    Warm {
        /// Wait for the end of it, or at most for this long.
        #[arg(long, num_args = 0..=1, require_equals = true, value_parser = duration, value_name = "TIME")]
        wait: Option<Option<Duration>>,
    },
    /// Which share of a trace would the cache answer, beside other policies? Runs it here, without a daemon.
    Replay(Box<CacheReplay>),
}
