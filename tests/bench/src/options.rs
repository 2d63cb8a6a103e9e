//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::peers::Peer;
use crate::scenario::Scenario;

/// Measures arxosrtd beside other servers and beside the floor, in one run.
///
/// The server has CPU 0 and the generator CPU 1: nothing else should run meanwhile.
#[derive(Debug, Parser)]
#[command(name = "arxosrt-bench")]
pub struct Options {
    /// What to measure; everything if nothing is named.
    #[arg(value_enum)]
    pub scenarios: Vec<Scenario>,

    /// How often each scenario is run against each peer, the peers in turn [default: 3, and 5 for slow].
    #[arg(long, value_name = "N")]
    pub runs: Option<usize>,

    /// Which servers to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "floor,arxosrtd,node,fastapi")]
    pub peers: Vec<Peer>,

    /// Short windows, smaller crowds and one run: to see that it works, not to quote.
    #[arg(long)]
    pub quick: bool,

    /// Print the table as Markdown.
    #[arg(long)]
    pub markdown: bool,

    /// Be an old client of arxosrtd, one that never says `hello`.
    #[arg(long)]
    pub old_client: bool,

    /// Use this arxosrtd instead of building one.
    #[arg(long, value_name = "PROGRAM")]
    pub daemon: Option<PathBuf>,

    /// The folder of buildings in which `edits` looks for a real floor, office-a:level-1 [default:
    /// ../shared/data/buildings beside the workspace]; without it one of 604 objects is generated.
    #[arg(long, value_name = "DIR")]
    pub buildings: Option<PathBuf>,

    /// Run generator and servers at this priority, for example -15: a machine that is not idle disturbs less.
    #[arg(long, value_name = "NICE", allow_negative_numbers = true)]
    pub nice: Option<i32>,
}

impl Options {
    pub fn scenarios(&self) -> Vec<Scenario> {
        if self.scenarios.is_empty() { Scenario::value_variants().to_vec() } else { self.scenarios.clone() }
    }

    pub fn runs_of(&self, scenario: Scenario) -> usize {
        let usual = if self.quick { 1 } else { scenario.usual_runs() };
        self.runs.unwrap_or(usual).max(1)
    }

    /// The peers in the order in which they take turns. Whoever asks for the floor gets both of them.
    pub fn peers(&self) -> Vec<Peer> {
        let mut peers = Vec::new();
        for peer in &self.peers {
            peers.push(*peer);
            if *peer == Peer::Floor {
                peers.push(Peer::FloorCorked);
            }
        }
        peers.sort_unstable();
        peers.dedup();
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn the_floor_is_two_floors_and_comes_first() {
        let options = Options::parse_from(["arxosrt-bench", "fanout", "--peers", "node,floor", "--nice", "-15"]);
        assert_eq!(options.peers(), [Peer::Floor, Peer::FloorCorked, Peer::Node]);
        assert_eq!(options.scenarios(), [Scenario::Fanout]);
        assert_eq!(options.nice, Some(-15));
    }

    #[test]
    fn nothing_named_is_everything() {
        let options = Options::parse_from(["arxosrt-bench"]);
        assert_eq!(options.scenarios().len(), Scenario::value_variants().len());
        assert_eq!(options.peers().len(), 5);
    }
}
