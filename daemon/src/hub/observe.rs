//! What operators can watch: events by name, ids only, never values. And what the preloader learns from: who goes where.
//!
//! Each observer has a bounded queue. A full one drops and counts, and the count is told before the next event. While
//! nobody watches, nothing is built. The preloader's queue is [`crate::preload::Signals`]; the hub does not wait for it
//! either.

use arxosrt_core::building::event::{EditAuthor, Edited, LockGranted};
use arxosrt_core::control::OperatorEvent;
use arxosrt_core::id::{RoomId, UserId};
use arxosrt_core::lock::LockType;
use arxosrt_core::preload::signal::What;
use tokio::sync::mpsc;

use super::ask::Observed;
use super::{Hub, RoomKey, SessionKey, UserKey};

/// How many may watch at once; one more takes the place of none and is refused by a closed queue.
pub const OBSERVERS_MAX: usize = 64;

/// Somebody who watches.
pub(super) struct Observer {
    to: mpsc::Sender<Observed>,
    dropped: u64,
}

/// Subject and detail of an event.
type Words = (Option<String>, Option<String>);

impl Hub {
    pub(super) fn add_observer(&mut self, to: mpsc::Sender<Observed>) {
        self.observers.retain(|observer| !observer.to.is_closed());
        if self.observers.len() < OBSERVERS_MAX {
            self.observers.push(Observer { to, dropped: 0 });
        }
    }

    /// Something happened to a room or a person in memory.
    pub(super) fn observe(
        &mut self,
        topic: &'static str,
        kind: &'static str,
        room: Option<RoomKey>,
        user: Option<UserKey>,
        words: impl FnOnce(&Hub) -> Words,
    ) {
        if self.observers.is_empty() {
            return;
        }
        let (subject, detail) = words(self);
        let room = room.and_then(|room| self.rooms.get(room as usize)).map(|r| r.id.to_string());
        let user = user.and_then(|user| self.users.get(user as usize)).map(|u| u.id.to_string());
        self.publish(topic, kind, room, user, subject, detail);
    }

    /// Something happened in a building.
    pub(super) fn observe_event(
        &mut self,
        topic: &'static str,
        kind: &'static str,
        words: impl FnOnce() -> (Option<RoomId>, Option<UserId>, Option<String>, Option<String>),
    ) {
        if self.observers.is_empty() {
            return;
        }
        let (room, user, subject, detail) = words();
        self.publish(topic, kind, room.map(|r| r.to_string()), user.map(|u| u.to_string()), subject, detail);
    }

    /// Tells the preloader what somebody did.
    pub(super) fn signal(&self, session: SessionKey, what: impl FnOnce() -> What) {
        if let Some(s) = self.sessions.get(session as usize)
            && let Some(user) = self.users.get(s.user as usize)
        {
            self.signals.tell(&user.id, &s.id, what);
        }
    }

    /// The same of a lock that was granted: its kind says what its owner is about to do there.
    pub(super) fn signal_lock(&self, granted: &LockGranted) {
        self.signals.tell(&granted.user, &granted.session, || {
            let floor = granted.targets[0].place.rooms()[0].clone();
            match granted.lock_type {
                LockType::GridCalibration => What::Calibrate { floor },
                LockType::AnalyticsView => What::Analytics { floor },
                LockType::FloorEdit | LockType::ObjectEdit | LockType::RouteEdit => What::Lock { floor },
            }
        });
    }

    /// The same of an edit that was committed.
    pub(super) fn signal_edit(&self, edited: &Edited) {
        if let (EditAuthor::Person { session, user, .. }, Some(seen)) = (&edited.author, edited.seen.first()) {
            self.signals.tell(user, session, || What::Edit { floor: seen.room.clone() });
        }
    }

    fn publish(
        &mut self,
        topic: &'static str,
        kind: &'static str,
        room_id: Option<String>,
        user_id: Option<String>,
        subject: Option<String>,
        detail: Option<String>,
    ) {
        let event = OperatorEvent {
            at: self.wall.to_string(),
            topic: topic.to_owned(),
            kind: kind.to_owned(),
            room_id,
            user_id,
            subject,
            detail,
        };
        self.observers.retain_mut(|observer| observer.offer(&event));
    }
}

impl Observer {
    /// Offers an event; false if nobody watches any more.
    fn offer(&mut self, event: &OperatorEvent) -> bool {
        use mpsc::error::TrySendError::{Closed, Full};
        if self.dropped > 0 {
            match self.to.try_send(Observed::Gap(self.dropped)) {
                Ok(()) => self.dropped = 0,
                Err(Full(_)) => {
                    self.dropped += 1;
                    return true;
                }
                Err(Closed(_)) => return false,
            }
        }
        match self.to.try_send(Observed::Event(event.clone())) {
            Ok(()) => true,
            Err(Full(_)) => {
                self.dropped += 1;
                true
            }
            Err(Closed(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_says_so() {
        let (to, mut from) = mpsc::channel(2);
        let mut observer = Observer { to, dropped: 0 };
        let event = |n: u32| OperatorEvent {
            at: String::new(),
            topic: "lock".to_owned(),
            kind: n.to_string(),
            room_id: None,
            user_id: None,
            subject: None,
            detail: None,
        };
        (0..5).for_each(|n| assert!(observer.offer(&event(n))));
        let mut kinds = Vec::new();
        while let Ok(Observed::Event(event)) = from.try_recv() {
            kinds.push(event.kind);
        }
        assert_eq!(kinds, ["0", "1"]);
        assert!(observer.offer(&event(5)));
        assert!(matches!(from.try_recv(), Ok(Observed::Gap(3))));
        assert!(matches!(from.try_recv(), Ok(Observed::Event(e)) if e.kind == "5"));
        drop(from);
        assert!(!observer.offer(&event(6)));
    }
}
