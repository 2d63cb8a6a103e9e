//! Who has a connection to the control socket, and who must go when there is no room?
//!
//! A connection costs little, so whoever can open the socket could take all of them and say nothing; operators would be
//! locked out just when they are needed. Therefore:
//!
//! - a user has at most [`CONNECTIONS_PER_UID_MAX`] of them, so one user never takes everybody's;
//! - [`CONNECTIONS_RESERVED`] are kept for root and the daemon's own user;
//! - when there is no room for a newcomer, the oldest connection that has not said anything within [`SILENT_MAX`] makes
//!   room: one of the newcomer's own if it is the user who has too many. Nobody who has asked something is cut;
//! - if there is none, the newcomer is told `busy`, as long as not too many are being told; then it is closed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{CONNECTIONS_MAX, CONNECTIONS_RESERVED, STREAMS_MAX, TURNED_AWAY_MAX};

/// Open connections of one user: room for requests beside all streams, and not everybody's.
pub const CONNECTIONS_PER_UID_MAX: usize = STREAMS_MAX + 12;

const _: () = assert!(CONNECTIONS_PER_UID_MAX < CONNECTIONS_MAX - CONNECTIONS_RESERVED, "others find room too");

/// How long a connection may say nothing when there is no room for others.
pub const SILENT_MAX: Duration = Duration::from_secs(2);

/// All connections.
#[derive(Default)]
pub(super) struct Seats(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    next: u64,
    /// In order of arrival.
    seats: BTreeMap<u64, Sitting>,
    /// By kind, in the order of [`Kind`].
    counts: [usize; 3],
    per_uid: HashMap<u32, usize>,
}

struct Sitting {
    uid: u32,
    kind: Kind,
    since: Instant,
    is_silent: bool,
    stop: CancellationToken,
}

/// What a connection was let in as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Anybody,
    Reserved,
    /// To be told that there is no room.
    TurnedAway,
}

impl Kind {
    const fn max(self) -> usize {
        match self {
            Kind::Anybody => CONNECTIONS_MAX - CONNECTIONS_RESERVED,
            Kind::Reserved => CONNECTIONS_RESERVED,
            Kind::TurnedAway => TURNED_AWAY_MAX,
        }
    }
}

/// A connection's place. Dropped, it is free.
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    /// There is room; otherwise every request is answered `busy`.
    pub has_room: bool,
    /// Cancelled when it must make room for somebody else.
    pub stop: CancellationToken,
}

impl Seats {
    /// A place for a newcomer; `None` when not even a word can be said.
    pub fn take(self: &Arc<Self>, uid: u32, is_owner: bool, now: Instant) -> Option<Seat> {
        let mut taken = self.taken();
        let kind = taken.kind_for(uid, is_owner, now)?;
        let (number, stop) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.seats.insert(number, Sitting { uid, kind, since: now, is_silent: true, stop: stop.clone() });
        taken.counts[kind as usize] += 1;
        if kind != Kind::TurnedAway {
            *taken.per_uid.entry(uid).or_insert(0) += 1;
        }
        Some(Seat { seats: Arc::clone(self), number, has_room: kind != Kind::TurnedAway, stop })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn kind_for(&mut self, uid: u32, is_owner: bool, now: Instant) -> Option<Kind> {
        let has_too_many = |taken: &Taken| taken.per_uid.get(&uid).is_some_and(|n| *n >= CONNECTIONS_PER_UID_MAX);
        if !has_too_many(self) && self.is_free(Kind::Anybody) {
            return Some(Kind::Anybody);
        }
        if is_owner && self.is_free(Kind::Reserved) {
            return Some(Kind::Reserved);
        }
        let only = has_too_many(self).then_some(uid);
        if let Some(kind) = self.part_from_a_silent_one(only, now) {
            return Some(kind);
        }
        self.is_free(Kind::TurnedAway).then_some(Kind::TurnedAway)
    }

    fn is_free(&self, kind: Kind) -> bool {
        self.counts[kind as usize] < kind.max()
    }

    /// Makes the oldest silent connection (of one user, or of anybody) go; says what has become free.
    fn part_from_a_silent_one(&mut self, only: Option<u32>, now: Instant) -> Option<Kind> {
        let is_due = |seat: &Sitting| seat.is_silent && now.duration_since(seat.since) >= SILENT_MAX;
        let is_meant = |seat: &Sitting| seat.kind == Kind::Anybody && only.is_none_or(|uid| seat.uid == uid);
        let (number, _) = self.seats.iter().find(|(_, seat)| is_meant(seat) && is_due(seat))?;
        let gone = self.leave(*number)?;
        gone.stop.cancel();
        tracing::warn!(uid = gone.uid, "a control connection that said nothing makes room for another");
        Some(gone.kind)
    }

    fn leave(&mut self, number: u64) -> Option<Sitting> {
        let gone = self.seats.remove(&number)?;
        self.counts[gone.kind as usize] -= 1;
        if gone.kind != Kind::TurnedAway
            && let Some(count) = self.per_uid.get_mut(&gone.uid)
        {
            *count -= 1;
            if *count == 0 {
                self.per_uid.remove(&gone.uid);
            }
        }
        Some(gone)
    }
}

impl Seat {
    /// A request has come: the connection is somebody's who wants something.
    pub fn spoke(&self) {
        if let Some(seat) = self.seats.taken().seats.get_mut(&self.number) {
            seat.is_silent = false;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(seats: &Arc<Seats>, uid: u32, is_owner: bool, n: usize, now: Instant) -> Vec<Seat> {
        (0..n).filter_map(|_| seats.take(uid, is_owner, now)).collect()
    }

    fn with_room(crowd: &[Seat]) -> usize {
        crowd.iter().filter(|seat| seat.has_room && !seat.stop.is_cancelled()).count()
    }

    #[test]
    fn one_user_never_takes_everybodys() {
        let (seats, now) = (Arc::new(Seats::default()), Instant::now());
        let loud = crowd(&seats, 1000, false, 300, now);
        assert_eq!(
            (loud.len(), with_room(&loud)),
            (CONNECTIONS_PER_UID_MAX + TURNED_AWAY_MAX, CONNECTIONS_PER_UID_MAX)
        );
        assert!(seats.take(1001, false, now).is_some_and(|seat| seat.has_room), "another user");
        assert!(seats.take(0, true, now).is_some_and(|seat| seat.has_room), "root");
        drop(loud);
        assert!(seats.taken().per_uid.is_empty() && seats.taken().counts == [0; 3], "nothing is left behind");
    }

    #[test]
    fn the_silent_make_room_the_oldest_first_and_nobody_else() {
        let (seats, began) = (Arc::new(Seats::default()), Instant::now());
        let silent = crowd(&seats, 1000, true, 300, began);
        assert_eq!(with_room(&silent), CONNECTIONS_PER_UID_MAX + CONNECTIONS_RESERVED);
        silent[1].spoke();
        assert!(seats.take(1000, true, began + SILENT_MAX / 2).is_none(), "they may say something yet");
        let later = began + SILENT_MAX;
        let newcomers = crowd(&seats, 1000, true, 2, later);
        assert_eq!(with_room(&newcomers), 2);
        let gone = |at: usize| silent[at].stop.is_cancelled();
        assert_eq!((gone(0), gone(1), gone(2), gone(3)), (true, false, true, false));
        // Users who fill the socket together make room for a third one as well.
        let _others = crowd(&seats, 1001, false, Kind::Anybody.max() - CONNECTIONS_PER_UID_MAX, later);
        let third = crowd(&seats, 1002, false, 1, later);
        assert_eq!((with_room(&third), gone(3)), (1, true));
    }
}
