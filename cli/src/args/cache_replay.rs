//! `arxosrt cache replay`

use std::path::PathBuf;

use arxosrt_replay::cache::classes::{BadClasses, Classes};
use arxosrt_replay::cache::run::Which;
use arxosrt_replay::cache::synthetic::Kind;
use arxosrt_replay::cache::trace::{ACCESSES_MAX, Format as Written};
use clap::{ArgGroup, Args, ValueEnum};

/// `arxosrt cache replay`.
#[derive(Clone, Debug, Args)]
#[command(
    group(ArgGroup::new("trace").required(true).args(["file", "synthetic"])),
    group(ArgGroup::new("size").required(true).args(["entries", "bytes", "percent"])),
    after_help = "Examples:\n  arxosrt cache replay access.log --format sized --percent 1,5,20\n  xz -dc orm-busy.trace.xz | arxosrt cache replay - --format be32 --entries 500,2000 --classes 'bits:27-31%3;high=2;medium=1'\n  arxosrt cache replay --synthetic scan --entries 1000 --policy ours,lru,opt"
)]
pub struct CacheReplay {
    /// A file of what was asked for, in its order; - is standard input.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How the file is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Layout,
    /// A trace that is made instead of read.
    #[arg(long, value_enum, value_name = "KIND")]
    pub synthetic: Option<Made>,
    /// How many accesses a made trace has.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..=ACCESSES_MAX as i64), value_name = "N")]
    pub accesses: u32,
    /// How many items a made trace has.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000), value_name = "N")]
    pub items: u32,
    /// Repeats a made trace.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// The cache's size in entries, whatever these weigh; several with commas.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub entries: Vec<u64>,
    /// Its size in bytes.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub bytes: Vec<u64>,
    /// Its size as a part of what all items weigh together.
    #[arg(long, value_delimiter = ',', value_parser = percent, value_name = "P")]
    pub percent: Vec<f64>,
    /// Which policies; all that can deal with the trace, if not given.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "POLICY")]
    pub policy: Vec<Policy>,
    /// How important items are: bits:FIRST-LAST[%N] of a number, or prefix before a colon; then ;high=NAME,… and ;medium=NAME,….
    #[arg(long, value_parser = classes, value_name = "CLASSES")]
    pub classes: Option<Classes>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// A key per line.
    #[default]
    Lines,
    /// Keys of 32 bits, big-endian.
    Be32,
    /// START COUNT per line.
    Arc,
    /// TIME KEY SIZE per line.
    Sized,
}

/// What kind of trace is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Made {
    /// Few items get most of the accesses.
    Zipf,
    /// The same, with scans in between.
    Scan,
    /// One item after the other, and again.
    Loop,
    /// Few get most, and others after a while.
    Shift,
    /// A few times in a short while, and never again.
    Burst,
    /// Half of them once, the others as with zipf.
    Once,
    /// A few in use, and long runs through many.
    Desk,
    /// Like a database: lately used, Zipf and runs.
    Oltp,
}

/// Which policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// The daemon's.
    Ours,
    /// Least recently used.
    Lru,
    /// As published.
    #[value(name = "s3-fifo")]
    S3Fifo,
    /// As published.
    Sieve,
    /// As published; counts entries.
    Arc,
    /// As published, with exact counts; counts entries.
    #[value(name = "w-tinylfu")]
    WTinyLfu,
    /// Belady's optimum, which knows what comes; counts entries.
    Opt,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("it must be more than 0 and at most 100".into()),
    }
}

fn classes(text: &str) -> Result<Classes, BadClasses> {
    Classes::parse(text)
}

impl Layout {
    /// The same for the reader.
    pub fn written(self) -> Written {
        match self {
            Layout::Lines => Written::Lines,
            Layout::Be32 => Written::Be32,
            Layout::Arc => Written::Arc,
            Layout::Sized => Written::Sized,
        }
    }
}

impl Made {
    /// The same for the maker.
    pub fn kind(self) -> Kind {
        match self {
            Made::Zipf => Kind::Zipf,
            Made::Scan => Kind::Scan,
            Made::Loop => Kind::Loop,
            Made::Shift => Kind::Shift,
            Made::Burst => Kind::Burst,
            Made::Once => Kind::Once,
            Made::Desk => Kind::Desk,
            Made::Oltp => Kind::Oltp,
        }
    }
}

impl Policy {
    /// The same for the run.
    pub fn which(self) -> Which {
        match self {
            Policy::Ours => Which::Ours,
            Policy::Lru => Which::Lru,
            Policy::S3Fifo => Which::S3Fifo,
            Policy::Sieve => Which::Sieve,
            Policy::Arc => Which::Arc,
            Policy::WTinyLfu => Which::WTinyLfu,
            Policy::Opt => Which::Opt,
        }
    }
}
