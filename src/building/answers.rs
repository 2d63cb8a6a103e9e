//! Has this person sent this edit before, and what was it answered?
//!
//! Part of the fold of the log, so that a repeat is recognised after a restart too. Age is counted on the log's clock.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::event::Answered;
use crate::id::UserId;

/// Edits with names of their own, and their answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers {
    by_user: HashMap<UserId, HashMap<Box<str>, Answered>, RandomState>,
    by_age: VecDeque<(u64, UserId, Box<str>)>,
}

/// The stored form: each answer with its age, the oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct AnswersImage(Vec<(u64, Answered)>);

impl Answers {
    pub(super) fn find(&self, user: &UserId, edit_id: &str) -> Option<&Answered> {
        self.by_user.get(user)?.get(edit_id)
    }

    /// Forgets what is older than `keep_ms` by the log's clock.
    pub(super) fn forget(&mut self, now_ms: u64, keep_ms: u64) {
        while self.by_age.front().is_some_and(|(at_ms, ..)| now_ms.saturating_sub(*at_ms) > keep_ms) {
            self.forget_oldest();
        }
    }

    pub(super) fn remember(&mut self, now_ms: u64, answered: &Answered, max: usize) {
        let names = self.by_user.entry(answered.user.clone()).or_default();
        if names.insert(answered.edit_id.clone(), answered.clone()).is_none() {
            self.by_age.push_back((now_ms, answered.user.clone(), answered.edit_id.clone()));
        }
        while self.by_age.len() > max {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, user, edit_id)) = self.by_age.pop_front() else { return };
        if let Some(names) = self.by_user.get_mut(&user) {
            names.remove(&edit_id);
            if names.is_empty() {
                self.by_user.remove(&user);
            }
        }
    }

    pub(super) fn image(&self) -> AnswersImage {
        let known = self.by_age.iter().filter_map(|(at_ms, user, name)| Some((*at_ms, self.find(user, name)?.clone())));
        AnswersImage(known.collect())
    }

    pub(super) fn from_image(image: AnswersImage) -> Self {
        let mut answers = Answers::default();
        for (at_ms, answered) in &image.0 {
            answers.remember(*at_ms, answered, usize::MAX);
        }
        answers
    }
}
