//! How probable is it that anybody at all wants something soon?
//!
//! The cache is everybody's, so what one person will hardly ask for may still be asked for by somebody within minutes.
//! Of each item there is a rate: every time it is wanted adds one, and all of it fades over [`FADE_MS`]. Arrivals at such
//! a rate that know nothing of each other leave a time empty with the probability `exp(-rate × time)`.
//!
//! The items with the highest rates have places in a small table, in which a few are looked at in turn: something that
//! many want and that has gone from the cache is as good a candidate as what somebody will want next.

use super::table::Bounded;
use super::{Item, mix};
use crate::time::Mono;

/// Items of which it is known when and how often they are wanted; the least used makes room.
pub const WANTED_MAX: usize = 65_536;

/// Rates fade over this time.
const FADE_MS: f32 = 2.0 * 3_600_000.0;

/// Places for the most wanted. Each item has one of them for which it competes. They are many more than what is wanted
/// most, since that is in the cache anyway: what comes after it is what a preload can help.
pub const PLACES: usize = 1024;

/// Places that are looked at for one event.
pub const LOOKS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Wanted {
    at: Mono,
    rate: f32,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Popular {
    wanted: Bounded<Wanted>,
    places: Box<[Option<(Item, Wanted)>; PLACES]>,
    hand: usize,
}

impl Default for Popular {
    fn default() -> Self {
        Popular { wanted: Bounded::new(WANTED_MAX), places: Box::new([None; PLACES]), hand: 0 }
    }
}

impl Popular {
    /// Somebody wants it.
    pub fn want(&mut self, item: Item, now: Mono) {
        let wanted = match self.wanted.get_mut(u64::from(item)) {
            Some(wanted) => {
                *wanted = Wanted { at: now, rate: wanted.at_time(now) + 1.0 };
                *wanted
            }
            None => {
                let first = Wanted { at: now, rate: 1.0 };
                self.wanted.insert(u64::from(item), first);
                first
            }
        };
        let place = &mut self.places[mix(&[u64::from(item)]) as usize % PLACES];
        match place {
            Some((there, known)) if *there != item && known.at_time(now) > wanted.rate => {}
            _ => *place = Some((item, wanted)),
        }
    }

    /// Has anybody wanted it after this time?
    pub fn is_wanted_after(&self, item: Item, time: Mono) -> bool {
        self.wanted.peek(u64::from(item)).is_some_and(|wanted| wanted.at > time)
    }

    /// How probable it is that anybody wants it within `horizon_ms`.
    pub fn p(&self, item: Item, horizon_ms: u64, now: Mono) -> f32 {
        self.wanted.peek(u64::from(item)).map_or(0.0, |wanted| wanted.p(horizon_ms, now))
    }

    /// Some of the most wanted, all of them in turn, with how probable it is that anybody wants them within `horizon_ms`.
    pub fn some(&mut self, horizon_ms: u64, now: Mono) -> impl Iterator<Item = (Item, f32)> + '_ {
        let from = self.hand;
        self.hand = (self.hand + LOOKS) % PLACES;
        self.places[from..from + LOOKS].iter().flatten().map(move |(item, wanted)| (*item, wanted.p(horizon_ms, now)))
    }

    pub(super) fn bytes(&self) -> usize {
        self.wanted.bytes() + size_of_val(&*self.places)
    }
}

impl Wanted {
    fn p(&self, horizon_ms: u64, now: Mono) -> f32 {
        1.0 - (-self.at_time(now) * horizon_ms as f32 / FADE_MS).exp()
    }

    fn at_time(&self, now: Mono) -> f32 {
        self.rate * (-(now.since(self.at) as f32) / FADE_MS).exp()
    }
}

const _: () = assert!(PLACES.is_multiple_of(LOOKS), "the hand never looks past the end");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_every_ten_minutes_comes_in_the_next_five_in_two_of_five_cases() {
        let mut popular = Popular::default();
        let mut now = Mono(0);
        for _ in 0..1_000 {
            popular.want(7, now);
            now = now.plus(600_000);
        }
        let p = popular.p(7, 300_000, now);
        assert!((p - (1.0 - (-0.5_f32).exp())).abs() < 0.06, "{p}");
        assert!(popular.p(7, 300_000, now.plus(12 * 3_600_000)) < 0.01, "and forgotten");
        assert_eq!(popular.p(8, 300_000, now), 0.0);
    }

    #[test]
    fn the_most_wanted_have_their_places_in_a_flood_of_others() {
        let mut popular = Popular::default();
        for step in 0..50_000_u32 {
            popular.want(if step % 2 == 0 { step % 20 } else { 1_000 + step }, Mono(u64::from(step)));
        }
        let mut seen = std::collections::HashSet::new();
        for _ in 0..PLACES / LOOKS {
            seen.extend(popular.some(60_000, Mono(50_000)).map(|(item, _)| item));
        }
        let kept = (0..20).step_by(2).filter(|item| seen.contains(item)).count();
        assert!(kept >= 9, "some of them have one place: {kept}");
    }
}
