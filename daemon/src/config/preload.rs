//! The preloader: what is worth loading before anybody asks, and how much of it.

use arxosrt_core::preload::planner::Settings;
use serde::{Deserialize, Serialize};

/// The preloader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preload {
    /// Load what people will probably want next. It learns either way.
    pub enabled: bool,
    /// From which probability on a floor is loaded where somebody may go, in percent.
    pub threshold_percent: u64,
    /// The same for a part of the floor where somebody is.
    pub threshold_parts_percent: u64,
    /// The same for a floor that the client hints at.
    pub threshold_hint_percent: u64,
    /// How much may be loaded ahead, in percent of what was asked for lately.
    pub budget_percent: u64,
    /// How many loads are made at a time.
    pub loads_max: usize,
    /// In so many of a thousand sessions nothing is loaded ahead, so that the gain can be measured.
    pub holdout_permille: u64,
    /// Keep what was learned over a restart.
    pub save: bool,
}

impl Default for Preload {
    fn default() -> Self {
        Preload {
            enabled: true,
            threshold_percent: 20,
            threshold_parts_percent: 10,
            threshold_hint_percent: 5,
            budget_percent: 30,
            loads_max: 4,
            holdout_permille: 50,
            save: true,
        }
    }
}

impl Preload {
    /// As the planner wants it, for a cache of so many bytes. `seed` chooses the sessions that have nothing loaded.
    pub fn planner(&self, cache_bytes: u64, seed: u64) -> Settings {
        let share = |percent: u64| percent as f32 / 100.0;
        let permille = |n: u64| u32::try_from(n).expect("the table bounds it");
        let mut settings = Settings::for_cache(cache_bytes);
        settings.is_on = self.enabled;
        settings.threshold = share(self.threshold_percent);
        settings.threshold_parts = share(self.threshold_parts_percent);
        settings.threshold_hint = share(self.threshold_hint_percent);
        settings.share.asked_permille = permille(10 * self.budget_percent);
        settings.holdout_permille = permille(self.holdout_permille);
        settings.seed = seed;
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_configured_is_what_the_planner_was_measured_with() {
        let bytes = 256 << 20;
        assert_eq!(Preload::default().planner(bytes, 0), Settings::for_cache(bytes));
    }
}
