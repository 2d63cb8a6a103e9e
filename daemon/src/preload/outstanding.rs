//! What was loaded ahead and is not used yet? The cache says when such a value is used, but not when it goes unused; so
//! each is looked up now and then until it has ended one way or the other.

use std::collections::{HashMap, VecDeque};

use arxosrt_core::cache::{StrategyId, Summary};
use arxosrt_core::id::RoomId;
use arxosrt_core::preload::Source;
use arxosrt_core::preload::feedback::Waste;
use arxosrt_core::time::Mono;

/// So many are followed; of more the oldest are not.
pub const OUTSTANDING_MAX: usize = 8192;

/// Of which floor, and what kind of value.
pub type Name = (RoomId, StrategyId);

/// A value that was loaded ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// On whose word.
    pub source: Source,
    /// Its size.
    pub bytes: u64,
    /// When it came.
    pub at: Mono,
}

/// How one ended that is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there and waits for somebody.
    Waits,
    /// Somebody used it.
    Used,
    /// It went, or cannot be served any more.
    Wasted(Waste),
}

/// All of them.
#[derive(Debug, Default)]
pub struct Outstanding {
    by_name: HashMap<Name, Ahead>,
    /// Oldest first; names that have ended meanwhile are skipped.
    order: VecDeque<(Name, Mono)>,
}

impl Outstanding {
    pub fn insert(&mut self, name: Name, ahead: Ahead) {
        self.order.push_back((name.clone(), ahead.at));
        self.by_name.insert(name, ahead);
        while self.by_name.len() > OUTSTANDING_MAX || self.order.len() > 2 * OUTSTANDING_MAX {
            let Some((name, at)) = self.order.pop_front() else { break };
            if self.by_name.get(&name).is_some_and(|ahead| ahead.at == at) {
                self.by_name.remove(&name);
            }
        }
    }

    pub fn remove(&mut self, name: &Name) -> Option<Ahead> {
        self.by_name.remove(name)
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Those that have gone or been used, by what `fate` finds of each; they are not followed any more.
    pub fn ended(&mut self, mut fate: impl FnMut(&Name, &Ahead) -> Fate) -> Vec<(Name, Ahead, Fate)> {
        let mut ended = Vec::new();
        self.by_name.retain(|name, ahead| match fate(name, ahead) {
            Fate::Waits => true,
            fate => {
                ended.push((name.clone(), *ahead, fate));
                false
            }
        });
        if self.by_name.is_empty() {
            self.order.clear();
        }
        ended
    }
}

/// What a look into the cache means.
pub fn fate(found: Option<&Summary>, ahead: &Ahead, ttl_ms: u64, now: Mono) -> Fate {
    let age_ms = now.since(ahead.at);
    match found {
        None if age_ms >= ttl_ms => Fate::Wasted(Waste::Expired),
        None => Fate::Wasted(Waste::Evicted),
        Some(found) if !found.is_current => Fate::Wasted(Waste::Invalidated),
        Some(found) if found.unused_source.is_some() && found.left_ms == 0 => Fate::Wasted(Waste::Expired),
        Some(found) if found.unused_source.is_some() => Fate::Waits,
        // Younger than what was put there: something else is in its place.
        Some(found) if found.age_ms + 1 < age_ms => Fate::Wasted(Waste::Replaced),
        Some(_) => Fate::Used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Name {
        (RoomId::new(&format!("f{n}")).unwrap(), StrategyId(0))
    }

    fn ahead(at: u64) -> Ahead {
        Ahead { source: Source::Habit, bytes: 1, at: Mono(at) }
    }

    #[test]
    fn the_oldest_are_let_go_and_memory_stays_bounded() {
        let mut all = Outstanding::default();
        for n in 0..OUTSTANDING_MAX + 10 {
            all.insert(name(n), ahead(n as u64));
        }
        assert_eq!(all.len(), OUTSTANDING_MAX);
        assert!(all.remove(&name(9)).is_none() && all.remove(&name(10)).is_some());
        // One name again and again leaves no trail.
        for at in 0..5 * OUTSTANDING_MAX as u64 {
            all.insert(name(1), ahead(at));
            all.remove(&name(1));
        }
        assert!(all.order.len() <= 2 * OUTSTANDING_MAX);
        let before = all.len();
        assert_eq!((all.ended(|_, _| Fate::Used).len(), all.len(), all.order.len()), (before, 0, 0));
    }

    #[test]
    fn a_value_that_nobody_used_is_found_out() {
        let now = Mono(10_000);
        assert_eq!(fate(None, &ahead(9000), 5000, now), Fate::Wasted(Waste::Evicted));
        assert_eq!(fate(None, &ahead(1000), 5000, now), Fate::Wasted(Waste::Expired));
    }
}
