//! Who has asked a holder to hand a lock over?
//!
//! A request stands until it is answered, withdrawn or out of time. A holder who is not there (idle on that floor, or
//! without a socket) cannot answer: once it has been absent for the notice time while a request is open, it is deemed
//! to have granted it. Absence counts from when it began or from the request, whichever is later, so nobody loses a
//! lock to a short fault of the network. Requests for one lock are served in order. They are soft state, as waits are.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::table::Lock;
use super::{RequestId, Token};
use crate::building::LockSettings;
use crate::building::command::Actor;
use crate::id::SessionId;
use crate::time::Mono;

/// An open editing request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) lock: Token,
    pub(crate) actor: Actor,
    pub(crate) asked: Mono,
    pub(crate) until: Mono,
    pub(crate) armed: Option<Mono>,
}

/// What a request wants at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestDue {
    /// The holder is deemed to grant it.
    Deemed,
    /// The holder is there and did not answer in time.
    Lapsed,
    /// Nothing before this time, as far as can be known.
    At(Mono),
}

/// From when on the holder of a lock counts as absent. May lie in the future.
pub(crate) fn absent_since(lock: &Lock, suspended: Option<Mono>, settings: &LockSettings) -> Mono {
    let idle = lock.lease.active.plus(settings.idle_ms);
    suspended.map_or(idle, |suspended| suspended.min(idle))
}

impl Request {
    pub(crate) fn due(&self, now: Mono, absent_since: Mono, settings: &LockSettings) -> RequestDue {
        let deemed = self.asked.max(absent_since).plus(settings.request_idle_grant_ms);
        if now >= deemed {
            RequestDue::Deemed
        } else if now < self.until {
            RequestDue::At(self.until.min(deemed))
        } else if now >= absent_since {
            // Out of time, but nobody was there to answer: the notice time runs to its end.
            RequestDue::At(deemed)
        } else {
            RequestDue::Lapsed
        }
    }
}

/// All open requests of a building.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    by_id: BTreeMap<RequestId, Request>,
    by_lock: HashMap<Token, SmallVec<[RequestId; 1]>, RandomState>,
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn get(&self, id: RequestId) -> Option<&Request> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.by_id.values()
    }

    /// The requests for a lock, the first one first.
    pub(crate) fn for_lock(&self, lock: Token) -> impl Iterator<Item = &Request> {
        // Most releases happen while nobody asks for anything.
        let ids = if self.by_id.is_empty() { None } else { self.by_lock.get(&lock) };
        ids.into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    pub(crate) fn of_session<'a>(&'a self, session: &'a SessionId) -> impl Iterator<Item = &'a Request> {
        self.by_id.values().filter(move |request| request.actor.session == *session)
    }

    pub(crate) fn insert(&mut self, request: Request) {
        self.by_lock.entry(request.lock).or_default().push(request.id);
        self.by_id.insert(request.id, request);
    }

    pub(crate) fn remove(&mut self, id: RequestId) -> Option<Request> {
        let request = self.by_id.remove(&id)?;
        if let Some(ids) = self.by_lock.get_mut(&request.lock) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_lock.remove(&request.lock);
            }
        }
        Some(request)
    }
}
