//! `arxosrt preload replay …`

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, ValueEnum};

/// `arxosrt preload replay …`
#[derive(Clone, Debug, ClapArgs)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "synthetic"])), after_help = COLUMNS_HELP)]
pub struct Replay {
    /// The recorded accesses; - reads standard input.
    #[arg(requires = "format")]
    pub file: Option<PathBuf>,
    /// The shape of the file.
    #[arg(long, value_enum, value_name = "FORMAT", requires = "file")]
    pub format: Option<FileFormat>,
    /// Make accesses up instead.
    #[arg(long, value_enum, value_name = "KIND")]
    pub synthetic: Option<Synthetic>,
    /// With --synthetic office or wander: a building's folder, or one that holds several [default: 12 made-up buildings of 20 floors].
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub building: Option<PathBuf>,
    /// The size of the cache, in percent of the size of all that is asked for.
    #[arg(long, default_value_t = 5.0, value_parser = percent, value_name = "P")]
    pub cache_percent: f64,
    /// How long a load takes, in milliseconds.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(..=600_000), value_name = "N")]
    pub fetch_ms: u64,
    /// Chooses what is left to chance.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
}

/// What the columns of the answer are.
const COLUMNS_HELP: &str = "\
The columns: HIT % is the share of accesses that the cache answered, GAINED how many points that is above none, \
LATE % the share that was still being loaded. PRECISION % is how much of what was loaded ahead was used, RECALL % how much of what people would \
have waited for was there. EXTRA BYTES % and WASTED % are of the bytes that were loaded because somebody asked. US is how \
many microseconds the policy took for one access. Nothing larger than a twentieth of the cache is loaded ahead.";

/// The shape of a file of accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// A session per line, its items in order.
    Sessions,
    /// Session, item, time and perhaps bytes, line by line.
    Columns,
    /// A web server's log, common or combined.
    Weblog,
}

/// Traffic that is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Synthetic {
    /// People walking through buildings.
    Office,
    /// The same, and all of them go anywhere.
    Wander,
    /// People reading a web site with pictures.
    Web,
    /// People finding their way through a site that is a tree.
    Tree,
    /// People clicking through a shop.
    Shop,
    /// People clicking at articles again that they have seen.
    Repeats,
    /// A shop that is rearranged in the middle.
    Shift,
    /// Anybody clicking anything: nothing can be learnt.
    Uniform,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err(format!("{text:?} is no share above 0 and up to 100 percent")),
    }
}
