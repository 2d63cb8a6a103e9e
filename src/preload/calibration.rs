//! How often did it come true when the model said so?
//!
//! What a table of counts says is too sure of itself: on recorded web traffic .54 came true in .17 to .38 of the cases.
//! A threshold on such a number means nothing. So each candidate that could be loaded ahead is a **trial**, whether it
//! was loaded or not; when its time is over it is known whether anybody wanted it, and the source's curve moves. A curve
//! has ten bins; between their means it is a straight line, and it never falls (pool adjacent violators, Ayer et al.
//! 1955). Before there are trials a number is believed as it is, as if it had been tried [`BELIEF`] times.
//!
//! Trials fade: a bin that has seen [`FADE_AT`] is halved.

use serde::{Deserialize, Serialize};

use super::Source;

/// How many bins a curve has.
pub const BINS: usize = 10;

/// Where bins end. They are narrow where decisions are made.
const ENDS: [f32; BINS - 1] = [0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75];

/// So many trials the number itself is worth.
const BELIEF: f32 = 8.0;

/// At so many trials a bin is halved.
const FADE_AT: f32 = 512.0;

/// After so many trials a curve is drawn again.
const REDRAW_EVERY: u8 = 16;

/// Trials whose number lay in one range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// How many, those long past counting less.
    pub trials: f32,
    /// How many of them came true.
    pub hits: f32,
    /// The sum of what was said.
    pub said: f32,
}

impl Bin {
    /// What was said on average.
    pub fn predicted(&self) -> f32 {
        if self.trials > 0.0 { self.said / self.trials } else { 0.0 }
    }

    /// How often it came true.
    pub fn observed(&self) -> f32 {
        if self.trials > 0.0 { self.hits / self.trials } else { 0.0 }
    }

    fn count(&mut self, said: f32, is_true: bool) {
        self.trials += 1.0;
        self.hits += if is_true { 1.0 } else { 0.0 };
        self.said += said;
        if self.trials >= FADE_AT {
            (self.trials, self.hits, self.said) = (self.trials / 2.0, self.hits / 2.0, self.said / 2.0);
        }
    }
}

/// One source's curve.
#[derive(Clone, Debug)]
struct Curve {
    bins: [Bin; BINS],
    /// What is said and what that means, rising.
    points: [(f32, f32); BINS],
    undrawn: u8,
}

/// All curves, and how good they are.
#[derive(Clone, Debug)]
pub struct Calibration {
    curves: [Curve; Source::COUNT],
    /// What was said after calibration, in tenths, and how often that came true.
    reliability: [Bin; BINS],
}

impl Default for Calibration {
    fn default() -> Self {
        let curves = std::array::from_fn(|_| Curve::new([Bin::default(); BINS]));
        Calibration { curves, reliability: [Bin::default(); BINS] }
    }
}

impl Calibration {
    /// What it means that `source` says `raw`.
    pub fn calibrated(&self, source: Source, raw: f32) -> f32 {
        self.curves[source.index()].at(raw)
    }

    /// `source` said `raw`, which was taken for `calibrated`; was it so?
    pub fn learn(&mut self, source: Source, raw: f32, calibrated: f32, is_true: bool) {
        self.curves[source.index()].learn(raw, is_true);
        let tenth = (calibrated * BINS as f32) as usize;
        self.reliability[tenth.min(BINS - 1)].count(calibrated, is_true);
    }

    /// What was said after calibration, by tenths, and how often that came true.
    pub fn reliability(&self) -> &[Bin; BINS] {
        &self.reliability
    }

    /// What a source said before calibration, and how often that came true.
    pub fn bins(&self, source: Source) -> &[Bin; BINS] {
        &self.curves[source.index()].bins
    }

    pub(super) fn restore(&mut self, source: Source, bins: [Bin; BINS]) {
        let is_sane = |bin: &Bin| {
            bin.trials.is_finite()
                && (0.0..=FADE_AT).contains(&bin.trials)
                && (0.0..=bin.trials).contains(&bin.hits)
                && (0.0..=bin.trials).contains(&bin.said)
        };
        if bins.iter().all(is_sane) {
            self.curves[source.index()] = Curve::new(bins);
        }
    }
}

impl Curve {
    fn new(bins: [Bin; BINS]) -> Self {
        let mut curve = Curve { bins, points: [(0.0, 0.0); BINS], undrawn: 0 };
        curve.draw();
        curve
    }

    fn learn(&mut self, raw: f32, is_true: bool) {
        let at = ENDS.iter().position(|end| raw < *end).unwrap_or(BINS - 1);
        self.bins[at].count(raw, is_true);
        self.undrawn += 1;
        if self.undrawn >= REDRAW_EVERY {
            self.draw();
        }
    }

    fn at(&self, raw: f32) -> f32 {
        let above = self.points.iter().position(|(said, _)| raw < *said);
        let between = |(x0, y0): (f32, f32), (x1, y1): (f32, f32)| {
            if x1 > x0 { y0 + (y1 - y0) * (raw - x0) / (x1 - x0) } else { y1 }
        };
        match above {
            Some(0) => between((0.0, 0.0), self.points[0]),
            Some(at) => between(self.points[at - 1], self.points[at]),
            None => self.points[BINS - 1].1,
        }
    }

    /// Bins whose order is wrong are taken together until none are.
    fn draw(&mut self) {
        self.undrawn = 0;
        let mut pools: [(f32, f32, usize); BINS] = [(0.0, 0.0, 0); BINS];
        let mut len = 0;
        for (at, bin) in self.bins.iter().enumerate() {
            let low = if at == 0 { 0.0 } else { ENDS[at - 1] };
            let high = ENDS.get(at).copied().unwrap_or(1.0);
            let middle = (low + high) / 2.0;
            let said = (bin.said + BELIEF * middle) / (bin.trials + BELIEF);
            self.points[at].0 = said;
            pools[len] = (bin.hits + BELIEF * said, bin.trials + BELIEF, 1);
            len += 1;
            while len > 1 && pools[len - 2].0 / pools[len - 2].1 > pools[len - 1].0 / pools[len - 1].1 {
                let (hits, trials, bins) = pools[len - 1];
                let into = &mut pools[len - 2];
                *into = (into.0 + hits, into.1 + trials, into.2 + bins);
                len -= 1;
            }
        }
        let means = pools[..len].iter().flat_map(|(hits, trials, bins)| std::iter::repeat_n(hits / trials, *bins));
        for (point, mean) in self.points.iter_mut().zip(means) {
            point.1 = mean.clamp(0.0, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix;
    use super::*;

    fn chance(words: &[u64]) -> f32 {
        (mix(words) >> 40) as f32 / (1_u64 << 24) as f32
    }

    #[test]
    fn without_trials_a_number_means_what_it_says() {
        let calibration = Calibration::default();
        for raw in [0.0, 0.02, 0.2, 0.35, 0.5, 0.8] {
            let calibrated = calibration.calibrated(Source::OneStep, raw);
            assert!((calibrated - raw).abs() < 0.03, "{raw} became {calibrated}");
        }
    }

    #[test]
    fn what_is_said_comes_to_be_what_is_so() {
        for seed in 1..6 {
            // The truth is a third of what is said, as on recorded traffic.
            let mut calibration = Calibration::default();
            for trial in 0..20_000 {
                let raw = chance(&[seed, trial]);
                let calibrated = calibration.calibrated(Source::TwoSteps, raw);
                calibration.learn(Source::TwoSteps, raw, calibrated, chance(&[seed, trial, 1]) < raw / 3.0);
            }
            let said = calibration.calibrated(Source::TwoSteps, 0.6);
            assert!((said - 0.2).abs() < 0.05, "seed {seed}: .6 which is .2 became {said}");
            for bin in calibration.reliability().iter().filter(|bin| bin.trials > 100.0) {
                assert!((bin.predicted() - bin.observed()).abs() < 0.05, "seed {seed}: {bin:?}");
            }
            let other = calibration.calibrated(Source::OneStep, 0.6);
            assert!((other - 0.6).abs() < 0.05, "seed {seed}: sources do not speak for each other, {other}");
        }
    }

    #[test]
    fn a_curve_never_falls_whatever_happens() {
        for seed in 0..50 {
            let mut calibration = Calibration::default();
            for trial in 0..500 {
                calibration.learn(Source::Habit, chance(&[seed, trial]), 0.5, mix(&[seed, trial, 2]).is_multiple_of(2));
            }
            let curve: Vec<f32> =
                (0..=100).map(|at| calibration.calibrated(Source::Habit, at as f32 / 100.0)).collect();
            assert!(curve.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6), "seed {seed}: {curve:?}");
            assert!(curve.iter().all(|p| (0.0..=1.0).contains(p)));
        }
    }
}
