//! The log's events as they lie in its bytes, every text borrowed.
//!
//! The same fields in the same order as in [`super::event`], for reading only: a log says the same names again and
//! again, so a [`Reader`] gives those that it has seen lately the text that it made for them then.

use std::sync::Arc;

use serde::Deserialize;
use smallvec::SmallVec;

use super::codec::{self, Corrupt};
use super::command::{Place, Target, Targets};
use super::conflict::{Opened, Settled};
use super::event::{
    Adopted, Answered, Broadcast, Edited, Escalated, Event, GrantCause, LockGranted, LockReleased, ReleaseReason, Seqs,
    Sighting,
};
use crate::id::{BadId, SessionId, Texts, UserId};
use crate::lock::{LockType, Token};
use crate::time::Wall;

#[derive(Deserialize)]
enum Stored<'a> {
    #[serde(borrow)]
    Broadcast(StoredBroadcast<'a>),
    LockGranted(StoredGrant<'a>),
    LockReleased(StoredRelease<'a>),
    // Rarer by far, and what is dear in them are values.
    Adopted(Arc<Adopted>),
    Edited(Arc<Edited>),
    Answered(Arc<Answered>),
    Written(Arc<super::event::Stored>),
    ConflictOpened(Arc<Opened>),
    ConflictEscalated(Arc<Escalated>),
    ConflictSettled(Arc<Settled>),
}

#[derive(Deserialize)]
struct StoredBroadcast<'a> {
    at: Wall,
    #[serde(borrow)]
    seen: (&'a str, u64),
    from: Option<(&'a str, &'a str, &'a str)>,
    message: &'a str,
    client_msg_id: Option<&'a str>,
}

#[derive(Deserialize)]
struct StoredGrant<'a> {
    at: Wall,
    token: Token,
    lock_type: LockType,
    #[serde(borrow)]
    targets: SmallVec<[(&'a str, StoredPlace<'a>); 1]>,
    seqs: Seqs,
    session: &'a str,
    user: &'a str,
    username: &'a str,
    legacy: bool,
    ttl_ms: u64,
    held_since: Wall,
    metadata: Option<&'a str>,
    cause: GrantCause,
}

#[derive(Deserialize)]
struct StoredRelease<'a> {
    at: Wall,
    token: Token,
    lock_type: LockType,
    #[serde(borrow)]
    targets: SmallVec<[(&'a str, StoredPlace<'a>); 1]>,
    seqs: Seqs,
    session: &'a str,
    user: &'a str,
    username: &'a str,
    reason: ReleaseReason,
    forced: Option<(&'a str, &'a str)>,
}

#[derive(Deserialize)]
enum StoredPlace<'a> {
    #[serde(borrow)]
    Building(&'a str),
    Floor(&'a str),
    Item(SmallVec<[&'a str; 1]>),
}

/// Reads the batches of a log, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    ids: Texts,
    shown_names: Texts,
}

impl Reader {
    /// The events of a batch.
    pub fn events(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Corrupt> {
        let stored: Vec<Stored<'_>> = codec::decode(bytes, "events")?;
        let events = stored.into_iter().map(|one| self.event(one));
        events.collect::<Result<_, _>>().map_err(|_: BadId| Corrupt::Malformed("id"))
    }

    fn event(&mut self, stored: Stored<'_>) -> Result<Event, BadId> {
        Ok(match stored {
            Stored::Broadcast(b) => Event::Broadcast(Arc::new(Broadcast {
                at: b.at,
                seen: Sighting { room: self.ids.id(b.seen.0)?, seq: b.seen.1 },
                from: match b.from {
                    Some((session, user, username)) => Some(self.owner(session, user, username)?),
                    None => None,
                },
                message: b.message.into(),
                client_msg_id: b.client_msg_id.map(Box::from),
            })),
            Stored::LockGranted(g) => {
                let targets = self.targets(&g.targets)?;
                let (session, user, username) = self.owner(g.session, g.user, g.username)?;
                Event::LockGranted(Arc::new(LockGranted {
                    at: g.at,
                    token: g.token,
                    lock_type: g.lock_type,
                    targets,
                    seqs: g.seqs,
                    session,
                    user,
                    username,
                    legacy: g.legacy,
                    ttl_ms: g.ttl_ms,
                    held_since: g.held_since,
                    metadata: g.metadata.map(Box::from),
                    cause: g.cause,
                }))
            }
            Stored::LockReleased(r) => {
                let targets = self.targets(&r.targets)?;
                let (session, user, username) = self.owner(r.session, r.user, r.username)?;
                Event::LockReleased(Arc::new(LockReleased {
                    at: r.at,
                    token: r.token,
                    lock_type: r.lock_type,
                    targets,
                    seqs: r.seqs,
                    session,
                    user,
                    username,
                    reason: r.reason,
                    forced: r.forced.map(|(by, why)| (by.into(), why.into())),
                }))
            }
            Stored::Adopted(adopted) => Event::Adopted(adopted),
            Stored::Edited(edited) => Event::Edited(edited),
            Stored::Answered(answered) => Event::Answered(answered),
            Stored::Written(stored) => Event::Stored(stored),
            Stored::ConflictOpened(opened) => Event::ConflictOpened(opened),
            Stored::ConflictEscalated(escalated) => Event::ConflictEscalated(escalated),
            Stored::ConflictSettled(settled) => Event::ConflictSettled(settled),
        })
    }

    fn owner(&mut self, session: &str, user: &str, username: &str) -> Result<(SessionId, UserId, Arc<str>), BadId> {
        Ok((self.ids.id(session)?, self.ids.id(user)?, self.shown_names.recall(username).0))
    }

    fn targets(&mut self, stored: &[(&str, StoredPlace<'_>)]) -> Result<Targets, BadId> {
        match stored {
            // Nearly always; made without a detour over a vector.
            [only] => Ok(Targets::from([self.target(only)?])),
            several => several.iter().map(|one| self.target(one)).collect(),
        }
    }

    fn target(&mut self, (resource, place): &(&str, StoredPlace<'_>)) -> Result<Target, BadId> {
        let mut room = |text: &str| self.ids.id(text);
        let place = match place {
            StoredPlace::Building(own) => Place::Building(room(own)?),
            StoredPlace::Floor(floor) => Place::Floor(room(floor)?),
            StoredPlace::Item(floors) => Place::Item(floors.iter().map(|floor| room(floor)).collect::<Result<_, _>>()?),
        };
        Ok(Target { resource: self.ids.id(resource)?, place })
    }
}
