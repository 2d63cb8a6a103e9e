//! Counters, gauges and histograms made of relaxed atomics: writing never waits, reading sees each figure as it is.
//!
//! Counters wrap after 2^64. A gauge that is lowered below zero stays at zero: a wrong figure should look wrong by a
//! little, not by 2^64.

use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::labels::Label;

/// One microsecond in nanoseconds, the unit of [`Histogram`]s of time.
pub const MICROSECOND: u64 = 1_000;

/// A figure that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub(super) const fn new() -> Self {
        Counter(AtomicU64::new(0))
    }

    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The figure now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A figure that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Zero.
    pub(super) const fn new() -> Self {
        Gauge(AtomicU64::new(0))
    }

    /// This and nothing else.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less.
    pub fn dec(&self) {
        // The closure always answers, so there is no failure to look at.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |n| Some(n.saturating_sub(1)));
    }

    /// The figure now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L, const N: usize> {
    cells: [Counter; N],
    label: PhantomData<L>,
}

impl<L: Label, const N: usize> Counters<L, N> {
    /// All zero.
    pub(super) const fn new() -> Self {
        Counters { cells: [const { Counter::new() }; N], label: PhantomData }
    }

    /// One more of `label`.
    pub fn inc(&self, label: L) {
        self.add(label, 1);
    }

    /// `n` more of `label`.
    pub fn add(&self, label: L, n: u64) {
        self.cells[label.index()].add(n);
    }

    /// The figure of `label` now.
    pub fn get(&self, label: L) -> u64 {
        self.cells[label.index()].get()
    }
}

/// A gauge for each value of a label.
#[derive(Debug)]
pub struct Gauges<L, const N: usize> {
    cells: [Gauge; N],
    label: PhantomData<L>,
}

impl<L: Label, const N: usize> Gauges<L, N> {
    /// All zero.
    pub(super) const fn new() -> Self {
        Gauges { cells: [const { Gauge::new() }; N], label: PhantomData }
    }

    /// The gauge of `label`.
    pub fn of(&self, label: L) -> &Gauge {
        &self.cells[label.index()]
    }
}

/// A counter for each pair of two labels.
#[derive(Debug)]
pub struct Grid<A, const N: usize, B, const M: usize> {
    rows: [Counters<B, M>; N],
    label: PhantomData<A>,
}

impl<A: Label, const N: usize, B: Label, const M: usize> Grid<A, N, B, M> {
    /// All zero.
    pub(super) const fn new() -> Self {
        Grid { rows: [const { Counters::new() }; N], label: PhantomData }
    }

    /// One more of the pair.
    pub fn inc(&self, a: A, b: B) {
        self.rows[a.index()].inc(b);
    }

    /// The figure of the pair now.
    pub fn get(&self, a: A, b: B) -> u64 {
        self.rows[a.index()].get(b)
    }
}

/// How many values fall under each of `N` bounds, and their sum.
///
/// Values and bounds are integers: nanoseconds for spans, else plain numbers.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    under: [AtomicU64; N],
    over: AtomicU64,
    sum: AtomicU64,
}

/// What a [`Histogram`] held when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Each bound with the number of values above the one before it and up to it.
    pub under: Vec<(u64, u64)>,
    /// Values above all bounds.
    pub over: u64,
    /// The sum of all values.
    pub sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// Empty, with `bounds` in rising order.
    pub(super) const fn new(bounds: &'static [u64; N]) -> Self {
        Histogram { bounds, under: [const { AtomicU64::new(0) }; N], over: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        // A walk and not a search: there are at most 14 bounds, and most values are under the first few.
        let cell = match self.bounds.iter().position(|bound| value <= *bound) {
            Some(at) => &self.under[at],
            None => &self.over,
        };
        cell.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Counts a span, in nanoseconds.
    pub fn observe_span(&self, span: Duration) {
        self.observe(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What it holds now.
    pub fn read(&self) -> Reading {
        let under = self.bounds.iter().zip(&self.under).map(|(bound, n)| (*bound, n.load(Relaxed))).collect();
        Reading { under, over: self.over.load(Relaxed), sum: self.sum.load(Relaxed) }
    }
}

/// A counter for each WebSocket close code that this daemon sends or is likely to be sent.
///
/// Peers choose their codes freely; those outside the ranges below share one cell, so no peer can make labels.
#[derive(Debug)]
pub struct CloseCodes {
    cells: [Counter; CloseCodes::CELLS],
    other: Counter,
}

impl CloseCodes {
    /// The protocol's own codes, `come back` and `do not`: first code and how many.
    const RANGES: [(u16, u16); 3] = [(1000, 16), (3000, 32), (3500, 32)];
    const CELLS: usize = 80;

    /// All zero.
    pub(super) const fn new() -> Self {
        CloseCodes { cells: [const { Counter::new() }; CloseCodes::CELLS], other: Counter::new() }
    }

    /// One more connection that ended with `code`; 1006 for one that ended without a close frame.
    pub fn inc(&self, code: u16) {
        self.cell(code).inc();
    }

    /// The figure of `code` now.
    pub fn get(&self, code: u16) -> u64 {
        self.cell(code).get()
    }

    /// Every code that was counted, and then all the others together.
    pub fn read(&self) -> Vec<(String, u64)> {
        let codes = Self::RANGES.iter().flat_map(|(first, len)| *first..*first + *len);
        let counted = codes.map(|code| (code.to_string(), self.get(code))).filter(|(_, n)| *n > 0);
        counted.chain([("other".to_owned(), self.other.get())]).collect()
    }

    fn cell(&self, code: u16) -> &Counter {
        let mut at = 0;
        for (first, len) in Self::RANGES {
            if (first..first + len).contains(&code) {
                return &self.cells[at + usize::from(code - first)];
            }
            at += usize::from(len);
        }
        &self.other
    }
}

const _: () = {
    let mut at = 0;
    let mut cells = 0;
    while at < CloseCodes::RANGES.len() {
        cells += CloseCodes::RANGES[at].1 as usize;
        at += 1;
    }
    assert!(cells == CloseCodes::CELLS, "one cell for each code of the ranges");
};

/// The most codes that [`Codes`] tells apart.
pub const CODES_MAX: usize = 64;

/// A counter for each code of a refusal.
///
/// The codes are the program's own constants, so they are few; each takes a cell when it is first counted. Should there
/// ever be more than [`CODES_MAX`], the rest is counted together.
#[derive(Debug)]
pub struct Codes {
    cells: [(OnceLock<&'static str>, Counter); CODES_MAX],
    other: Counter,
}

impl Codes {
    /// No code yet.
    pub(super) const fn new() -> Self {
        Codes { cells: [const { (OnceLock::new(), Counter::new()) }; CODES_MAX], other: Counter::new() }
    }

    /// One more refusal with `code`.
    pub fn inc(&self, code: &'static str) {
        let cell = self.cells.iter().find(|(name, _)| *name.get_or_init(|| code) == code);
        cell.map_or(&self.other, |(_, n)| n).inc();
    }

    /// Every code that was counted, and all that found no cell.
    pub fn read(&self) -> Vec<(&'static str, u64)> {
        let named = self.cells.iter().map_while(|(name, n)| Some((*name.get()?, n.get())));
        named.chain([("other", self.other.get())]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::labels::Transport;
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_under_it() {
        static BOUNDS: [u64; 2] = [10, 20];
        let histogram = Histogram::new(&BOUNDS);
        for value in [0, 10, 11, 20, 21] {
            histogram.observe(value);
        }
        assert_eq!(histogram.read(), Reading { under: vec![(10, 2), (20, 2)], over: 1, sum: 62 });
    }

    #[test]
    fn a_gauge_never_falls_below_zero() {
        let gauges = Gauges::<Transport, { Transport::COUNT }>::new();
        gauges.of(Transport::Sse).inc();
        gauges.of(Transport::Sse).dec();
        gauges.of(Transport::Sse).dec();
        assert_eq!(gauges.of(Transport::Sse).get(), 0);
        assert_eq!(gauges.of(Transport::WebSocket).get(), 0);
    }

    #[test]
    fn peers_cannot_make_labels_out_of_close_codes() {
        let closes = CloseCodes::new();
        for code in 0..=u16::MAX {
            closes.inc(code);
        }
        closes.inc(3008);
        let read = closes.read();
        assert_eq!(read.len(), 81);
        assert_eq!(closes.get(3008), 2);
        assert_eq!(read.last(), Some(&("other".to_owned(), 65_536 - 80)));
    }

    #[test]
    fn every_close_code_that_we_send_has_its_own_cell() {
        let closes = CloseCodes::new();
        for code in arxosrt_core::wire::code::CLOSES {
            closes.inc(code.number);
            assert!(closes.read().contains(&(code.number.to_string(), 1)), "{code:?}");
        }
    }

    #[test]
    fn every_refusal_of_the_registry_has_its_own_cell() {
        let codes = Codes::new();
        for code in arxosrt_core::wire::code::ERRORS {
            codes.inc(code.name);
            assert!(codes.read().contains(&(code.name, 1)), "{code:?}");
        }
    }

    #[test]
    fn codes_beyond_the_bound_are_counted_together() {
        let codes = Codes::new();
        for n in 0..CODES_MAX + 3 {
            codes.inc(Box::leak(format!("code_{n}").into_boxed_str()));
        }
        codes.inc("code_7");
        let read = codes.read();
        assert_eq!(read.len(), CODES_MAX + 1);
        assert!(read.contains(&("code_7", 2)));
        assert_eq!(read.last(), Some(&("other", 3)));
    }
}
