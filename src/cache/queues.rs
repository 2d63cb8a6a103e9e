//! What goes when there is no room?
//!
//! S3-FIFO (Yang et al., 2023), weighed in bytes. Most of what is put is never asked for again, so a newcomer enters a
//! **small** queue, a tenth of the room, and leaves through its end unless it was asked for twice meanwhile; a scan
//! passes through without touching the rest. What has proved itself moves to the **main** queue, and what comes back
//! soon after it left (`ghost`) goes there at once. The end of the main queue is spared once for each time that it was
//! asked for, up to three. Being asked for sets a number and moves nothing.
//!
//! **How large the small queue is** follows from what would have been hits. A key that is asked for again soon after it
//! left the small queue would have been one if that queue had been a little larger; one that left the main queue lately,
//! if that one had been. The balance of the two is kept, those of the main queue counting somewhat more, and as long as it
//! says little ([`DOUBT_PERCENT`]) the border stays at the tenth: the cache is then S3-FIFO as published, and never worse
//! than that by more than what settling costs. Beyond, the border follows. Nothing is counted until both queues have been
//! full for a while. So work that is all recency gets a queue that is nearly all of the cache; `replay` measures both.
//!
//! **Priority and size are credit.** An entry that enters the main queue, or is asked for there, gets laps: times that it
//! is spared though nobody asked. What is of high priority also proves itself by one ask instead of two. A lap is used up by being spared, so whatever nobody asks for is gone after at most `3 + LAPS_MAX` passes,
//! however important it is said to be. Ranking by priority first was measured to cost a third of all hits; laps cost
//! next to none, and what is important is hit more often.
//!
//! **Loaded ahead** is a promise that nobody has redeemed yet. Such entries wait in a queue of their own, **probation**,
//! a tenth of the room at most, so that wrong guesses displace only each other. People look at a page for half a minute
//! or two, so each has two minutes in which nothing but the lack of anything else to give up takes it; a further guess
//! finds no room meanwhile. The first who asks for one turns it into a newcomer like any other. After its two minutes it
//! is the first to go.
//!
//! **No pause.** Finding one victim passes at most [`PASSES_MAX`] entries. Where so many in a row are to be spared, the main
//! queue is in use as a whole: then the newcomer goes that waits longest, or for want of one whatever is at hand.

use crate::time::Mono;

use super::arena::Arena;
use super::chain::{BY_PLACE, Chain};
use super::entry::{Node, Place, USES_MAX, seconds};
use super::ghost::{Ghost, Recalled, Was};
use super::strategy::Priority;

/// The small queue's share of the room: the least and the most.
const SMALL_PERCENT_MIN: u64 = 10;
const SMALL_PERCENT_MAX: u64 = 80;

/// What left a queue while no more of it than this share of the room did is what a somewhat larger one would still have.
const SOON_PERCENT: u64 = 20;

/// What speaks for the one or the other is counted in quarters of a byte: so many quarters of an average entry's weight.
const QUARTERS: u64 = 4;
const UP: u64 = 2;
const DOWN: u64 = 3;

/// The border stays at the least until so much of the room more spoke for a larger small queue. One run through many
/// items that overlaps an earlier one is worth half of that.
const DOUBT_PERCENT: u64 = 60;

/// The border is not moved before so much of the room has left the main queue, or else the small one, which shows that the
/// main one will not fill.
const SETTLED_MAIN_PERCENT: u64 = 40;
const SETTLED_SMALL_PERCENT: u64 = 1000;

/// How much of the room what was loaded ahead may take until somebody asks for it.
pub const PROBATION_PERCENT: u64 = 10;

/// How long what was loaded ahead is left alone.
pub const PROBATION_MS: u64 = 120_000;

/// An entry of the small queue has proved itself when it was asked for so often since it was loaded; one of high priority
/// a time earlier.
const PROVED: u8 = 2;

/// The most laps that an entry can have.
pub const LAPS_MAX: u8 = 4;

/// How many entries are passed on the way to one victim.
pub const PASSES_MAX: u32 = 256;

#[derive(Debug)]
pub(super) struct Queues {
    bytes_max: u64,
    small: Chain<BY_PLACE>,
    main: Chain<BY_PLACE>,
    probation: Chain<BY_PLACE>,
    ghost: Ghost,
    /// How much more spoke for a larger small queue than for a smaller one, in quarters of a byte.
    balance: u64,
}

impl Queues {
    pub(super) fn new(bytes_max: u64) -> Queues {
        let small_reach = bytes_max - percent(bytes_max, SMALL_PERCENT_MIN);
        Queues {
            bytes_max,
            small: Chain::new(),
            main: Chain::new(),
            probation: Chain::new(),
            ghost: Ghost::new(small_reach, percent(bytes_max, SOON_PERCENT).max(1)),
            balance: 0,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes + self.probation.bytes
    }

    /// What those are charged that were loaded ahead and that nobody has asked for.
    pub(super) fn probation_bytes(&self) -> u64 {
        self.probation.bytes
    }

    /// There is room for so many bytes more.
    pub(super) fn has_room(&self, weight: u32) -> bool {
        self.bytes() + u64::from(weight) <= self.bytes_max
    }

    /// There is room for so many bytes more of what was loaded ahead.
    pub(super) fn has_probation_room(&self, weight: u32) -> bool {
        self.probation.bytes + u64::from(weight) <= percent(self.bytes_max, PROBATION_PERCENT)
    }

    /// Takes in an entry that is new. Whether it was here lately decides where it begins.
    pub(super) fn enter<V>(&mut self, arena: &mut Arena<Node<V>>, number: u32, priority: Priority) {
        self.ghost.grow_to(arena.len());
        let node = arena.at_mut(number);
        if node.source.is_some() {
            node.place = Place::Probation;
            return self.probation.push(arena, number);
        }
        let recalled = self.ghost.recall(node.hash, u64::from(node.weight));
        let (mean, was) = (self.mean(), recalled.map(|recalled| recalled.was));
        if let Some(recalled) = recalled {
            self.learn(recalled, mean);
        }
        if matches!(was, Some(Was::Small | Was::Wanted)) {
            node.laps = laps(node.weight, mean, priority);
            node.place = Place::Main;
            return self.main.push(arena, number);
        }
        node.place = Place::Small;
        self.small.push(arena, number);
    }

    /// Takes an entry back to where it was.
    pub(super) fn re_enter<V>(&mut self, arena: &mut Arena<Node<V>>, number: u32) {
        self.chain(arena.at(number).place).push(arena, number);
    }

    /// Somebody asked for an entry.
    pub(super) fn used<V>(&mut self, arena: &mut Arena<Node<V>>, number: u32, priority: Priority) {
        let node = arena.at_mut(number);
        node.is_asked = true;
        if node.place != Place::Probation {
            node.uses = (node.uses + 1).min(USES_MAX);
            if node.place == Place::Main {
                node.laps = laps(node.weight, self.mean(), priority);
            }
            return;
        }
        node.source = None;
        self.probation.remove(arena, number);
        self.enter(arena, number, priority);
    }

    /// Takes an entry out.
    pub(super) fn leave<V>(&mut self, arena: &mut Arena<Node<V>>, number: u32) {
        self.chain(arena.at(number).place).remove(arena, number);
    }

    /// Remembers an entry that leaves or has left as one that people want: asked for again, it is taken for proved.
    pub(super) fn remember<V>(&mut self, node: &Node<V>) {
        self.ghost.remember(node.hash, u64::from(node.weight), Was::Wanted);
    }

    /// The entry that was loaded ahead, has had its time, and goes first.
    pub(super) fn overdue<V>(&self, arena: &Arena<Node<V>>, now: Mono) -> Option<u32> {
        let oldest = self.probation.oldest()?;
        // Its age is known to a second; none is taken before it has had the whole of its time.
        let age_ms = u64::from(seconds(now).saturating_sub(arena.at(oldest).put_s)) * 1000;
        (age_ms > PROBATION_MS).then_some(oldest)
    }

    /// The entry that goes for lack of room. It is still in its queue. `None` if there is none at all.
    pub(super) fn victim<V>(
        &mut self,
        arena: &mut Arena<Node<V>>,
        now: Mono,
        priority_of: impl Fn(&Node<V>) -> Priority,
    ) -> Option<u32> {
        if let Some(overdue) = self.overdue(arena, now) {
            return Some(overdue);
        }
        let small_share = self.small_share();
        let main_share = self.bytes_max - small_share;
        // An entry that moved up to a main queue that is full is made room for there.
        let mut has_moved = false;
        for passed in 0.. {
            let is_last = passed == PASSES_MAX;
            let is_main_over = has_moved && self.main.bytes > main_share;
            let from_small =
                self.main.len == 0 || self.small.len > 0 && self.small.bytes >= small_share && !is_main_over;
            let Some(oldest) = (if from_small { self.small.oldest() } else { self.main.oldest() }) else { break };
            let mean = self.mean();
            let node = arena.at_mut(oldest);
            if from_small {
                let priority = priority_of(node);
                if node.uses < proof_of(priority) || is_last {
                    self.ghost.remember(node.hash, u64::from(node.weight), Was::Small);
                    return Some(oldest);
                }
                node.uses = 0;
                node.laps = laps(node.weight, mean, priority);
                node.place = Place::Main;
                self.small.remove(arena, oldest);
                self.main.push(arena, oldest);
                has_moved = true;
            } else {
                let is_free = node.uses == 0 && node.laps == 0;
                if !is_free
                    && is_last
                    && let Some(newcomer) = self.unproved(arena, &priority_of)
                {
                    return Some(newcomer);
                }
                let node = arena.at_mut(oldest);
                if is_free || is_last {
                    self.ghost.remember(node.hash, u64::from(node.weight), Was::Main);
                    return Some(oldest);
                }
                match node.uses {
                    0 => node.laps -= 1,
                    _ => node.uses -= 1,
                }
                self.main.spare_oldest(arena);
            }
        }
        self.probation.oldest()
    }

    /// The end of the small queue, unless it has proved itself: it goes where all of the main queue is in use.
    fn unproved<V>(&mut self, arena: &Arena<Node<V>>, priority_of: impl Fn(&Node<V>) -> Priority) -> Option<u32> {
        let oldest = self.small.oldest()?;
        let node = arena.at(oldest);
        if node.uses >= proof_of(priority_of(node)) {
            return None;
        }
        self.ghost.remember(node.hash, u64::from(node.weight), Was::Small);
        Some(oldest)
    }

    /// What the small queue is to have.
    fn small_share(&self) -> u64 {
        let beyond_doubt = (self.balance / QUARTERS).saturating_sub(percent(self.bytes_max, DOUBT_PERCENT));
        (percent(self.bytes_max, SMALL_PERCENT_MIN) + beyond_doubt).max(1)
    }

    /// Moves the border by what came back.
    fn learn(&mut self, recalled: Recalled, mean: u64) {
        let [small_left, main_left] = self.ghost.left();
        let is_settled = main_left >= percent(self.bytes_max, SETTLED_MAIN_PERCENT)
            || small_left >= percent(self.bytes_max, SETTLED_SMALL_PERCENT);
        if !is_settled || recalled.bytes_since >= percent(self.bytes_max, SOON_PERCENT).max(1) {
            return;
        }
        let most = percent(self.bytes_max, DOUBT_PERCENT + SMALL_PERCENT_MAX - SMALL_PERCENT_MIN) * QUARTERS;
        match recalled.was {
            Was::Small => self.balance = (self.balance + UP * mean).min(most),
            Was::Main => self.balance = self.balance.saturating_sub(DOWN * mean),
            Was::Wanted => {}
        }
    }

    /// What an entry is charged on average.
    fn mean(&self) -> u64 {
        let len = self.small.len + self.main.len;
        (self.small.bytes + self.main.bytes) / u64::from(len.max(1))
    }

    fn chain(&mut self, place: Place) -> &mut Chain<BY_PLACE> {
        match place {
            Place::Probation => &mut self.probation,
            Place::Small => &mut self.small,
            Place::Main => &mut self.main,
        }
    }
}

fn percent(of: u64, percent: u64) -> u64 {
    // A ceiling of 2^57 bytes is beyond any machine.
    of.saturating_mul(percent) / 100
}

/// How often an entry must be asked for to have proved itself.
fn proof_of(priority: Priority) -> u8 {
    if priority >= Priority::High { PROVED - 1 } else { PROVED }
}

/// The credit of an entry that has proved itself: its priority's, and one lap if it weighs so little that sparing it
/// costs next to nothing.
fn laps(weight: u32, mean: u64, priority: Priority) -> u8 {
    let of_priority = match priority {
        Priority::Low => 0,
        Priority::Medium => 1,
        Priority::High => 2,
        Priority::Critical => 3,
    };
    of_priority + u8::from(u64::from(weight) * 4 <= mean)
}
