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
        /// Wait for the end of it, which is what happens anyway, or at most for this long.
        #[arg(long, num_args = 0..=1, require_equals = true, value_parser = duration, conflicts_with = "no_wait", value_name = "TIME")]
        wait: Option<Option<Duration>>,
        /// Do not wait: print the job and end.
        #[arg(long, conflicts_with = "failed_out")]
        no_wait: bool,
        /// Write the lines that were not loaded into this file, ready to be fed again.
        #[arg(long, value_name = "FILE")]
        failed_out: Option<PathBuf>,
    },
    /// Where a person is expected to go next, and why.
    #[command(after_help = EXPLAIN_HELP)]
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

/// What the columns of an explanation are, and the verdicts.
const EXPLAIN_HELP: &str = "\
MODEL is what the source said of this candidate, LIKELY how often that has come true so far: the second is decided with.
SOURCE is on whose word it is a candidate: habit, two_steps, one_step, building, popular, structure, parts or hint.
VERDICT is the first reason against it:
  issued           none: it is loaded
  resident         it is in the cache
  under_way        it is being loaded
  under_threshold  it is not likely enough
  too_soon         it would mostly be wanted before it could be there
  off              the preloader is switched off
  source_off       preloads for that reason were not used often enough
  holdout          nothing is loaded ahead in this session, to show how it is without
  too_large        it has more bytes than a preload may have
  too_many         as many as there may be at once are on their way
  budget           the bytes that may be loaded without being asked for are used up";

/// What a batch reads and prints.
const BATCH_HELP: &str = "\
A line is the id of a floor, such as hq:level-1, or one of
  {\"floor\":\"hq:level-1\"}
  {\"building\":\"hq\"}
  {\"strategy\":\"object_data\",\"id\":\"floor:hq:level-1\"}
Empty lines and lines that begin with # are skipped. A line that cannot be read fails alone, with its number. The one \
with a strategy is a single entry of the cache; `arxosrt cache list` shows which there are.

It ends with 0 when every line was loaded or was there, with 8 when some were not, with 1 when none was, and with 7 \
when --wait ran out. Ctrl-C ends the waiting and leaves the job to the daemon: its id is printed, `arxosrt jobs wait` \
comes back to it and `arxosrt jobs cancel` calls it off.";
