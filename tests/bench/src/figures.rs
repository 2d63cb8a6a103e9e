//! What one run found, and what several runs together say: median, extremes, and how many there were.

use std::collections::BTreeMap;

/// Everything that is ever measured. The order is the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Server CPU time per operation (delivery, join, lock cycle), user and system, all threads.
    CpuUs,
    /// Operations per second.
    PerSecond,
    P50Us,
    P99Us,
    MaxUs,
    /// Resident memory of the server at the end.
    RssMib,
    /// Resident memory per idle connection.
    KibPerConnection,
    /// Resident memory that is left per connection some seconds after all have gone.
    KibAfterClose,
    /// Deliveries that one read of a client brought.
    DeliveriesPerRead,
    /// Of the deliveries that were offered, those that arrived.
    DeliveredPercent,
    /// p99 with a member that never reads, over p99 without.
    P99Ratio,
    /// Server CPU time per edit of a large document, over that of a small one.
    CpuRatio,
    /// Of what the member that never reads was sent, what was still to be had from its socket afterwards.
    UnreadPercent,
    /// Of the floors that were opened, those that were there within 10 ms.
    AtOncePercent,
    /// What the origin was asked.
    OriginRequests,
    /// What the origin sent.
    OriginMib,
    /// From the start of the process to the first 200 of `/ready`.
    ReadyMs,
    /// Of the locks that were granted, those that were there after the restart.
    RestoredPercent,
    /// A message did not reach everybody: the load waited this long and gave up.
    StalledMs,
    /// How much of its CPU the generator used: above 90 % the rate is the generator's, not the server's.
    GeneratorPercent,
    /// CPU that neither the server nor the generator used, of all CPUs: the machine's own noise.
    ForeignPercent,
}

/// What one run found.
#[derive(Clone, Debug, Default)]
pub struct Figures(BTreeMap<Metric, f64>);

impl Figures {
    pub fn set(&mut self, metric: Metric, value: f64) {
        self.0.insert(metric, value);
    }

    pub fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric).copied()
    }
}

/// What several values of one metric say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub count: usize,
}

impl Summary {
    /// `None` for no values at all.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max, count: values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_middle_and_both_ends() {
        let summary = |median, min, max, count| Some(Summary { median, min, max, count });
        let cases: [(&[f64], Option<Summary>); 5] = [
            (&[], None),
            (&[3.0], summary(3.0, 3.0, 3.0, 1)),
            (&[9.0, 1.0, 2.0], summary(2.0, 1.0, 9.0, 3)),
            (&[4.0, 1.0, 2.0, 9.0], summary(3.0, 1.0, 9.0, 4)),
            (&[f64::NAN, 5.0], summary(5.0, 5.0, 5.0, 1)),
        ];
        for (values, expected) in cases {
            assert_eq!(Summary::of(values.iter().copied()), expected, "{values:?}");
        }
    }
}
