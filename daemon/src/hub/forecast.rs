//! The forecast of conflicts: what it is fed with, and who is warned.
//!
//! It goes by nothing but what rooms are told anyway: committed edits, locks on objects and routes, and presence whose
//! metadata names a `resource_id`. Cursors cost nothing here. A warning goes to the two people, to sessions that said
//! `hello` and are in a room of the resource; it names the resource and the other person, both of whom they see there. An
//! edit that waits in a conflict whole is therefore no activity: nobody else has heard of it.
//!
//! What was learnt is soft state of the daemon, one for all buildings: after a restart it learns anew, and is silent until
//! it has.

use arxosrt_core::building::command::Place;
use arxosrt_core::building::conflict::Opened;
use arxosrt_core::building::event::{Edited, LockGranted};
use arxosrt_core::control::conflict::ForecastStats;
use arxosrt_core::directory::Located;
use arxosrt_core::edit::forecast::{Doing, Forecast, Forecaster, Mark, Parts, Settings};
use arxosrt_core::id::{ResourceId, RoomId, UserId};
use arxosrt_core::lock::LockType;
use arxosrt_core::wire::outbound_edit;
use smallvec::SmallVec;

use super::arena::{Class, text_frame};
use super::batch::Target;
use super::{HostKey, Hub, RoomKey, UserKey};

/// How likely a conflict must be for anybody to be warned: people learn to overlook warnings of which most are wrong, but
/// one that is right pays for two that are not.
const WARNED_FROM: f64 = 0.3;

/// The member of a presence's metadata that says what somebody looks at.
const LOOKED_AT: &str = "resource_id";

/// The daemon's forecaster, and what the decision that is being carried out has touched.
pub(super) struct Risk {
    forecaster: Forecaster,
    touched: Option<Parts>,
}

impl Risk {
    /// It knows nothing yet.
    pub(super) fn new() -> Self {
        Risk { forecaster: Forecaster::new(Settings::default()), touched: None }
    }

    /// An edit is about to be decided.
    pub(super) fn begin_edit(&mut self) {
        self.touched = None;
    }

    /// A room was told of an edit.
    pub(super) fn touch(&mut self, edited: &Edited) {
        let parts = self.touched.get_or_insert_default();
        edited.changes.iter().for_each(|change| parts.add(change.path()));
    }

    /// How good it is.
    pub(super) fn stats(&self) -> ForecastStats {
        ForecastStats {
            judged: self.forecaster.judged(),
            brier: self.forecaster.brier(),
            base_brier: self.forecaster.base_brier(),
            shown: self.forecaster.shown(),
        }
    }
}

impl Hub {
    /// An edit was decided. It counts as activity only now: a conflict that came with it could not be foreseen by it.
    pub(super) fn risk_of_edit(&mut self, host: HostKey, person: &UserId, resource: &ResourceId, rooms: &[RoomId]) {
        if let Some(parts) = self.risk.touched.take() {
            self.active_on(host, person, resource, rooms, parts, Doing::Editing);
        }
    }

    /// A lock was granted; views and whole floors tell nothing of what somebody is about to change.
    pub(super) fn risk_of_lock(&mut self, host: HostKey, granted: &LockGranted) {
        if !matches!(granted.lock_type, LockType::ObjectEdit | LockType::RouteEdit) {
            return;
        }
        for target in granted.targets.iter() {
            if let Place::Item(rooms) = &target.place {
                self.active_on(host, &granted.user, &target.resource, rooms, Parts::default(), Doing::Holding);
            }
        }
    }

    /// Somebody's metadata was set: it may say what the person looks at.
    pub(super) fn risk_of_look(&mut self, user: UserKey, room: RoomKey) {
        let user = &self.users[user as usize];
        let Some((_, json)) = user.metadata.iter().find(|(key, _)| **key == *LOOKED_AT) else { return };
        let Ok(resource) = serde_json::from_str::<ResourceId>(json) else { return };
        let (person, room) = (user.id.clone(), &self.rooms[room as usize]);
        let lies_here = match (self.placed.get(&resource), self.directory.locate(&resource)) {
            (Some((_, rooms)), _) => rooms.contains(&room.id),
            (None, Some(Located::Item { floors, .. })) => floors.contains(&room.id),
            (None, _) => false,
        };
        if lies_here {
            let (host, room) = (room.host, room.id.clone());
            self.active_on(host, &person, &resource, &[room], Parts::default(), Doing::Looking);
        }
    }

    /// A conflict was found.
    pub(super) fn risk_came_true(&mut self, opened: &Opened) {
        self.risk.forecaster.conflict(&opened.resource, &opened.first.user, &opened.second.user, self.now);
        self.count_forecasts();
    }

    /// Time has passed: what is over is judged.
    pub(super) fn judge_forecasts(&mut self) {
        self.risk.forecaster.pass(self.now);
        self.count_forecasts();
    }

    fn active_on(
        &mut self,
        host: HostKey,
        person: &UserId,
        resource: &ResourceId,
        rooms: &[RoomId],
        parts: Parts,
        doing: Doing,
    ) {
        let forecasts = self.risk.forecaster.mark(&Mark { person, resource, parts, doing, at: self.now });
        self.count_forecasts();
        if !self.risk.forecaster.shown() {
            return;
        }
        for forecast in forecasts.iter().filter(|forecast| forecast.probability >= WARNED_FROM) {
            self.warn(host, person, &forecast.other, resource, rooms, forecast);
            self.warn(host, &forecast.other, person, resource, rooms, forecast);
        }
    }

    /// Warns a person of another one, wherever both would be seen.
    fn warn(
        &mut self,
        host: HostKey,
        person: &UserId,
        other: &UserId,
        resource: &ResourceId,
        rooms: &[RoomId],
        forecast: &Forecast,
    ) {
        let (Some(&user), Some(other_user)) = (self.user_ids.get(person), self.user_ids.get(other)) else { return };
        let username = self.users[*other_user as usize].username.clone();
        let sees = |room: RoomKey| rooms.contains(&self.rooms[room as usize].id);
        let sessions = self.users[user as usize].sessions.iter().map(|session| &self.sessions[*session as usize]);
        let slots: SmallVec<[u32; 4]> = sessions
            .filter(|session| session.hello && session.rooms.iter().any(|membership| sees(membership.room)))
            .filter_map(|session| session.conn)
            .collect();
        let (at, signs) = (self.wall, forecast.situation.signs());
        for slot in slots {
            let conn = self.conn_key(slot);
            self.emit_with(host, Target::Conn(conn), Class::Control, None, |out| {
                text_frame(out, |out| {
                    let other = (other, &*username);
                    outbound_edit::conflict_risk(out, at, resource, other, forecast.probability, &signs);
                });
            });
            self.metrics.conflict_warnings.inc();
        }
    }

    fn count_forecasts(&self) {
        let forecaster = &self.risk.forecaster;
        let (made, judged) = (&self.metrics.forecasts_made, &self.metrics.forecasts_judged);
        made.add(forecaster.made() - made.get());
        judged.add(forecaster.judged() - judged.get());
        self.metrics.forecasts_shown.set(u64::from(forecaster.shown()));
    }
}
