//! One table for everything: a row for each case and peer, each beside the floor of the same batch.
//!
//! A cell is a median with its extremes. A ratio is taken within each round, where both ran within the same minute, and
//! the median is that of the ratios: what disturbed both cancels out.

use std::collections::BTreeMap;

use crate::figures::{Figures, Metric, Summary};
use crate::peers::Peer;
use crate::scenario::{Bound, Case, Goal};

/// What was found for one case: for each peer, its figures by round.
pub struct Section {
    pub case: &'static Case,
    pub rounds: BTreeMap<Peer, BTreeMap<usize, Figures>>,
}

/// A row as text, before it is known how wide the columns are.
pub struct Row {
    cells: [String; COLUMNS.len()],
}

const COLUMNS: [&str; 9] =
    ["case", "server", "n", "CPU µs per op", "× floor", "ops/s", "p50 / p99 / max ms", "RSS MiB", "more"];

/// Shown in the last column, where they were measured.
const MORE: [(Metric, &str, &str); 15] = [
    (Metric::KibPerConnection, "", " KiB/connection"),
    (Metric::KibAfterClose, "", " KiB/connection after all left"),
    (Metric::DeliveredPercent, "", " % delivered"),
    (Metric::DeliveriesPerRead, "", " deliveries/read"),
    (Metric::P99Ratio, "p99 × ", ""),
    (Metric::CpuRatio, "CPU × ", " of the small one's"),
    (Metric::UnreadPercent, "the one got ", " %"),
    (Metric::AtOncePercent, "", " % within 10 ms"),
    (Metric::OriginRequests, "origin asked ", " times"),
    (Metric::OriginMib, "", " MiB from it"),
    (Metric::ReadyMs, "ready after ", " ms"),
    (Metric::RestoredPercent, "", " % restored"),
    (Metric::StalledMs, "stalled for ", " ms"),
    (Metric::GeneratorPercent, "generator ", " %"),
    (Metric::ForeignPercent, "foreign ", " %"),
];

impl Section {
    pub fn new(case: &'static Case) -> Self {
        Self { case, rounds: BTreeMap::new() }
    }

    pub fn rows(&self) -> Vec<Row> {
        self.rounds.keys().map(|peer| self.row(*peer)).collect()
    }

    fn row(&self, peer: Peer) -> Row {
        let value = |metric| self.summary(peer, metric);
        let cell = |metric| value(metric).map_or_else(dash, with_range);
        let latency = [Metric::P50Us, Metric::P99Us, Metric::MaxUs].map(|m| value(m).map(in_ms));
        let mut more: Vec<String> = MORE
            .iter()
            .filter_map(|(metric, before, after)| {
                value(*metric).map(|found| format!("{before}{}{after}", with_range(found)))
            })
            .collect();
        if peer == Peer::Arxosrtd {
            more.extend(self.case.goals.iter().map(|goal| self.verdict(goal)));
        }
        Row {
            cells: [
                self.case.name.to_owned(),
                peer.name().to_owned(),
                self.rounds[&peer].len().to_string(),
                cell(Metric::CpuUs),
                self.ratio(peer, headline(self.case)).map_or_else(dash, with_range),
                value(Metric::PerSecond).map_or_else(dash, with_range),
                match latency {
                    [Some(p50), Some(p99), Some(max)] => {
                        format!("{} / {} / {}", p50.median(), p99.range(), max.median())
                    }
                    _ => dash(),
                },
                value(Metric::RssMib).map_or_else(dash, |rss| number(rss.median)),
                more.join(", "),
            ],
        }
    }

    fn summary(&self, peer: Peer, metric: Metric) -> Option<Summary> {
        Summary::of(self.rounds.get(&peer)?.values().filter_map(|figures| figures.get(metric)))
    }

    /// `peer` over the reference, round by round.
    fn ratio(&self, peer: Peer, metric: Metric) -> Option<Summary> {
        let floor = self.rounds.get(&self.case.reference?)?;
        let own = self.rounds.get(&peer)?;
        Summary::of(
            own.iter().filter_map(|(round, figures)| Some(figures.get(metric)? / floor.get(round)?.get(metric)?)),
        )
    }

    fn verdict(&self, goal: &Goal) -> String {
        let own = self.summary(Peer::Arxosrtd, goal.metric);
        let (found, wanted, met) = match goal.bound {
            Bound::AtMost(bound) => (own, format!("≤ {}", number(bound)), own.map(|s| s.median <= bound)),
            Bound::AtLeast(bound) => (own, format!("≥ {}", number(bound)), own.map(|s| s.median >= bound)),
            Bound::AtMostTimesFloor(bound) => {
                let ratio = self.ratio(Peer::Arxosrtd, goal.metric);
                (ratio, format!("≤ {} × floor", number(bound)), ratio.map(|s| s.median <= bound))
            }
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        let found = found.map_or_else(dash, |found| number(found.median));
        format!("goal {} {wanted}: {found}, {verdict}", goal_name(goal.metric))
    }
}

/// The metric that a case is about, and whose ratio is shown.
fn headline(case: &Case) -> Metric {
    if case.unit == "connection" { Metric::KibPerConnection } else { Metric::CpuUs }
}

fn goal_name(metric: Metric) -> &'static str {
    match metric {
        Metric::CpuUs => "CPU",
        Metric::PerSecond => "ops/s",
        Metric::P99Us => "p99 µs",
        Metric::KibPerConnection => "KiB/connection",
        Metric::DeliveredPercent => "delivered %",
        Metric::P99Ratio => "p99 ratio",
        Metric::CpuRatio => "CPU ratio",
        Metric::ReadyMs => "ready ms",
        Metric::RestoredPercent => "restored %",
        _ => "value",
    }
}

/// Lays the rows out for a terminal.
pub fn as_text(rows: &[Row]) -> String {
    let mut widths = COLUMNS.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; COLUMNS.len()]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&COLUMNS.map(str::to_owned));
    let mut last_case = "";
    for row in rows {
        if row.cells[0] != last_case {
            text.push('\n');
            last_case = &row.cells[0];
        }
        text.push_str(&line(&row.cells));
    }
    text
}

/// Lays the rows out for a document.
pub fn as_markdown(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    for row in rows {
        text.push_str(&format!("| {} |\n", row.cells.join(" | ")));
    }
    text
}

fn dash() -> String {
    "–".to_owned()
}

fn with_range(found: Summary) -> String {
    if found.count == 1 || number(found.min) == number(found.max) {
        return number(found.median);
    }
    format!("{} ({}–{})", number(found.median), number(found.min), number(found.max))
}

/// A summary of microseconds, shown in milliseconds.
struct InMs(Summary);

fn in_ms(Summary { median, min, max, count }: Summary) -> InMs {
    InMs(Summary { median: median / 1e3, min: min / 1e3, max: max / 1e3, count })
}

impl InMs {
    fn median(&self) -> String {
        number(self.0.median)
    }

    fn range(&self) -> String {
        with_range(self.0)
    }
}

/// Three digits that mean something, and thousands set apart.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut spaced = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && digit.is_ascii_digit() && (digits.len() - place) % 3 == 0 {
                spaced.push(' ');
            }
            spaced.push(digit);
        }
        return spaced;
    }
    let decimals = match size {
        _ if size == 0.0 || size >= 100.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn numbers_have_three_digits_that_mean_something() {
        let cases = [
            (0.0, "0"),
            (0.0666, "0.067"),
            (2.7234, "2.72"),
            (58.09, "58.1"),
            (999.6, "1000"),
            (1000.0, "1 000"),
            (351_234.5, "351 234"),
            (-12_345.0, "-12 345"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn a_ratio_compares_within_each_round() {
        let mut section = Section::new(&Scenario::Fanout.cases()[0]);
        // The machine is twice as slow in the second round, and the third has no floor.
        for (peer, values) in [(Peer::Floor, &[2.0, 4.0][..]), (Peer::Arxosrtd, &[3.0, 6.0, 90.0])] {
            for (round, cpu) in values.iter().enumerate() {
                let mut figures = Figures::default();
                figures.set(Metric::CpuUs, *cpu);
                section.rounds.entry(peer).or_default().insert(round, figures);
            }
        }
        let ratio = section.ratio(Peer::Arxosrtd, Metric::CpuUs).expect("two rounds have both");
        assert_eq!((ratio.min, ratio.max, ratio.count), (1.5, 1.5, 2));
        let verdict = section.verdict(&section.case.goals[0]);
        assert!(verdict.ends_with("1.50, MISSED"), "{verdict}");
        let text = as_text(&section.rows());
        assert!(text.contains("6.00 (3.00–90.0)"), "{text}");
        assert_eq!(as_markdown(&section.rows()).lines().count(), 2 + 2);
    }
}
