//! `arxosrt jobs …`

use std::time::Duration;

use clap::Subcommand;

use super::duration;

/// `arxosrt jobs …`
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// Jobs, the latest first. A restart of the daemon forgets them.
    #[command(alias = "ls")]
    List {
        /// Only those that are not over.
        #[arg(long)]
        open: bool,
        /// At most so many.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N")]
        limit: Option<u32>,
    },
    /// One job.
    Show {
        /// The job.
        job: String,
        /// What became of each of its items instead, as far as that is kept.
        #[arg(long)]
        items: bool,
        /// Only of those that failed.
        #[arg(long, requires = "items")]
        failed: bool,
    },
    /// Call jobs off: what is not loaded by now is not loaded.
    Cancel {
        /// The jobs.
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<String>,
    },
    /// Wait until jobs are over. Ends with 8 if some items failed; Ctrl-C leaves the jobs alone.
    Wait {
        /// The jobs.
        #[arg(required = true, value_name = "JOB")]
        jobs: Vec<String>,
        /// For at most this long.
        #[arg(long, value_parser = duration, value_name = "TIME")]
        within: Option<Duration>,
    },
}
