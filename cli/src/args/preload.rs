//! `arxosrt preload …`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

use super::{Replay, duration};

/// `arxosrt preload …`
#[derive(Debug, Subcommand)]
pub enum Preload {
    /// Load what belongs to floors.
    Floor {
        /// The floors.
        #[arg(required = true, value_name = "FLOOR")]
        ids: Vec<String>,
        /// How.
        #[command(flatten)]
        how: How,
    },
    /// Load what belongs to all floors of buildings.
    Building {
        /// The buildings.
        #[arg(required = true, value_name = "BUILDING")]
        ids: Vec<String>,
        /// How.
        #[command(flatten)]
        how: How,
    },
    /// Load what a file or standard input names, one result per line.
    #[command(after_help = BATCH_HELP)]
    Batch {
        /// The file; - reads standard input.
        #[arg(default_value = "-", value_name = "FILE")]
        file: PathBuf,
        /// Leave alone what is there and not out of date.
        #[arg(long)]
        if_missing: bool,
        /// Wait for at most this long.
        #[arg(long, value_parser = duration, conflicts_with = "no_wait", value_name = "TIME")]
        wait: Option<Duration>,
        /// Do not wait: print the job and end.
        #[arg(long, conflicts_with = "failed_out")]
        no_wait: bool,
        /// Write the lines that were not loaded into this file, ready to be fed again.
        #[arg(long, value_name = "FILE")]
        failed_out: Option<PathBuf>,
    },
    /// Where a person is expected to go next, and why.
    Explain {
        /// The person.
        user: String,
    },
    /// What the preloader has learned, and whether it pays.
    Model,
    /// Would preloading have paid? Runs recorded or made-up accesses through it here, without a daemon.
    Replay(Replay),
}

/// How floors and buildings are loaded.
#[derive(Clone, Debug, Default, ClapArgs)]
pub struct How {
    /// Leave alone what is there and not out of date.
    #[arg(long)]
    pub if_missing: bool,
    /// Wait for the end of it, or at most for this long.
    #[arg(long, num_args = 0..=1, require_equals = true, value_parser = duration, value_name = "TIME")]
    pub wait: Option<Option<Duration>>,
}

/// What a batch reads and prints.
const BATCH_HELP: &str = "\
A line is the id of a floor, or one of
  {\"floor\":\"hq:level-1\"}
  {\"building\":\"hq\"}
  {\"strategy\":\"object_data\",\"id\":\"floor:hq:level-1\"}
Empty lines and lines that begin with # are skipped. A line that cannot be read fails alone, with its number.

It ends with 0 when every line was loaded or was there, with 8 when some were not, with 1 when none was, and with 7
when --wait ran out. Ctrl-C ends the waiting and leaves the job to the daemon: its id is printed, `arxosrt jobs wait`
comes back to it and `arxosrt jobs cancel` calls it off.";
