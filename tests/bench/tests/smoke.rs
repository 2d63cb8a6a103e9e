//! The generator against the floor, with few connections for a moment: every scenario that the floor can answer comes
//! back with figures that can be true. How fast anything was is never asserted.

use std::path::PathBuf;

use arxosrt_bench::dialect::Dialect;
use arxosrt_bench::figures::{Figures, Metric};
use arxosrt_bench::peers::{Peer, Stable};
use arxosrt_bench::scenario::{Scale, Scenario, Stage};

fn figures_of(scenario: Scenario, peer: Peer) -> Vec<Figures> {
    let stable = Stable::new(PathBuf::from(env!("CARGO_BIN_EXE_arxosrt-bench")), None);
    let dialect = Dialect::new(peer.speech(true));
    let stage = Stage { stable: &stable, peer, dialect, scale: Scale::SMOKE, round: 0 };
    let answers = scenario.run(&stage).unwrap_or_else(|e| panic!("{}: {e}", scenario.name()));
    assert_eq!(answers.len(), scenario.cases().len(), "{}", scenario.name());
    answers.into_iter().map(|(_, figures)| figures).collect()
}

fn of(figures: &Figures, metric: Metric) -> f64 {
    figures.get(metric).unwrap_or_else(|| panic!("{metric:?} was not measured"))
}

#[test]
fn each_floor_delivers_to_everybody() {
    for peer in [Peer::Floor, Peer::FloorCorked] {
        for figures in figures_of(Scenario::Fanout, peer) {
            assert_eq!(figures.get(Metric::StalledMs), None, "a message did not arrive");
            assert!(of(&figures, Metric::P50Us) <= of(&figures, Metric::P99Us));
            assert!(of(&figures, Metric::P99Us) <= of(&figures, Metric::MaxUs));
        }
    }
}

#[test]
fn cursors_move_in_many_rooms() {
    for figures in figures_of(Scenario::Rooms, Peer::FloorCorked) {
        assert!(of(&figures, Metric::P50Us) <= of(&figures, Metric::P99Us));
    }
}

#[test]
fn people_come_and_go() {
    of(&figures_of(Scenario::Joins, Peer::Floor)[0], Metric::PerSecond);
    of(&figures_of(Scenario::Idle, Peer::Floor)[0], Metric::KibAfterClose);
}

#[test]
fn one_who_never_reads_is_compared_with_all_reading() {
    let figures = figures_of(Scenario::Slow, Peer::Floor);
    for pair in figures.chunks_exact(2) {
        assert_eq!(pair[0].get(Metric::P99Ratio), None);
        of(&pair[1], Metric::P99Ratio);
        assert_eq!(pair[1].get(Metric::StalledMs), None, "the others were waited for in vain");
    }
}
