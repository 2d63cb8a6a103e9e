//! Does an origin answer, and since when not?
//!
//! One failure says little about an origin; [`FAILURES_DOWN`] in a row say that it is down. It is asked all the same: the
//! next answer ends the trouble. Each change is told in the log, once.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many failures in a row, and it counts as down.
pub const FAILURES_DOWN: u32 = 3;

/// How an origin fares.
#[derive(Debug)]
pub struct Fitness {
    /// What the log calls it.
    origin: Box<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    trouble: Option<String>,
}

impl Fitness {
    /// Of an origin that has not been asked yet.
    pub fn new(origin: impl Into<Box<str>>) -> Fitness {
        Fitness { origin: origin.into(), state: Mutex::default() }
    }

    /// It has answered, if only to say that there is nothing.
    pub fn answered(&self) {
        let mut state = self.state();
        if state.failures >= FAILURES_DOWN {
            tracing::info!(origin = %self.origin, failures = state.failures, "the origin answers again");
        }
        *state = State::default();
    }

    /// It has not.
    pub fn failed(&self, why: impl Into<String>) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let why = why.into();
        if state.failures == FAILURES_DOWN {
            tracing::warn!(origin = %self.origin, why, "the origin does not answer; it is asked all the same");
        }
        state.trouble = Some(why);
    }

    /// Whether it answers, as far as is known, and what went wrong last if it does not.
    pub fn is(&self) -> (bool, Option<String>) {
        let state = self.state();
        let is_up = state.failures < FAILURES_DOWN;
        (is_up, state.trouble.clone().filter(|_| !is_up))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_failures_in_a_row_count_as_down_and_one_answer_as_up() {
        let fitness = Fitness::new("o");
        fitness.failed("a");
        fitness.failed("b");
        assert_eq!(fitness.is(), (true, None));
        fitness.answered();
        ["a", "b", "c"].into_iter().for_each(|why| fitness.failed(why));
        assert_eq!(fitness.is(), (false, Some("c".to_owned())));
        fitness.answered();
        assert_eq!(fitness.is(), (true, None));
    }
}
