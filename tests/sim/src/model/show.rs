//! Does the building show what should be true?

use std::collections::BTreeSet;

use arxosrt_core::building::command::{Facts, Place, Target};
use arxosrt_core::building::{Building, Gap, LockSettings, Settings};
use arxosrt_core::id::RoomId;
use arxosrt_core::lock::{LockType, Ticket, Token};

use super::{Complaint, Held, Model, ensure};
use crate::overlap::{Region, region};

impl Model {
    /// Compares what both show.
    pub fn compare(&self, facts: &Facts, settings: &Settings, building: &Building) -> Result<(), Complaint> {
        let locks = &settings.locks;
        ensure!(
            building.locks().eq(self.held.iter().map(|held| held.token)),
            "L10: held are {:?}, should be {:?}",
            building.locks().collect::<Vec<_>>(),
            self.held.iter().map(|held| held.token).collect::<Vec<_>>()
        );
        for (view, held) in building.lock_views(facts).iter().zip(&self.held) {
            let left = held.end().since(facts.now);
            ensure!(view.expires_in_ms == left, "L5: {:?} ends in {}, should in {left}", view.id, view.expires_in_ms);
            let state = self.state_of(facts, locks, held);
            ensure!(view.holder_state == state, "{:?} is {:?}, should be {state:?}", view.id, view.holder_state);
            let waiters = self.waiting.iter().filter(|w| self.waits_for(w, held)).count();
            ensure!(view.waiters as usize == waiters, "{:?} has {} waiters, should {waiters}", view.id, view.waiters);
        }
        let tickets: Vec<Ticket> = building.waiter_views(facts).iter().map(|waiter| waiter.ticket).collect();
        let should: Vec<Ticket> = self.waiting.iter().map(|waiting| waiting.ticket).collect();
        ensure!(tickets == should, "waiting are {tickets:?}, should {should:?}");
        for waiting in &self.waiting {
            ensure!(!self.may_have(waiting), "L6: {} waits for nothing", waiting.ticket);
        }
        let sessions: BTreeSet<_> = self.waiting.iter().map(|waiting| &waiting.actor.session).collect();
        for session in sessions {
            ensure!(!self.waits_for_itself(session), "L8: {session} waits for itself");
        }
        for (room, told) in &self.told {
            ensure!(building.seq(room) == told.len() as u64, "{room} is at {}, not {}", building.seq(room), told.len());
        }
        Ok(())
    }

    /// Nothing may be left undone once every tick has run.
    pub fn judge_rest(&self, facts: &Facts, locks: &LockSettings) -> Result<(), Complaint> {
        for held in &self.held {
            ensure!(facts.now < held.end(), "L5: {:?} should have ended at {:?}", held.token, held.end());
        }
        for waiting in &self.waiting {
            ensure!(facts.now < waiting.until, "{} should have ended at {:?}", waiting.ticket, waiting.until);
        }
        for asked in &self.asked {
            let held = self.find(asked.lock).ok_or("a request outlives its lock")?;
            let absent = self.absent_since(locks, held);
            ensure!(facts.now < asked.until || facts.now >= absent, "{} should have lapsed", asked.id);
            ensure!(facts.now < self.deemed_at(locks, asked, held), "{} should have been granted", asked.id);
        }
        Ok(())
    }

    /// Compares what a room keeps with what was told.
    pub fn judge_missed(&self, building: &Building, room: &RoomId, since: u64, kept: usize) -> Result<(), Complaint> {
        let none = Vec::new();
        let told = self.told.get(room).unwrap_or(&none);
        match building.missed(room, since) {
            Err(Gap::Ahead) => ensure!(since > told.len() as u64, "{room}: {since} is not ahead of {}", told.len()),
            Err(Gap::Expired) => {
                ensure!(since + (kept as u64) < told.len() as u64, "{room}: {since} of {} is kept", told.len());
            }
            Ok(missed) => {
                let shown = missed.iter().map(|m| (m.seen.seq, m.event, m.seen.target));
                let should =
                    told.iter().zip(1u64..).skip(since as usize).map(|((event, target), seq)| (seq, event, *target));
                ensure!(shown.eq(should), "{room}: another story after {since}");
            }
        }
        Ok(())
    }

    /// Compares the check of a token.
    pub fn judge_verify(
        &self,
        facts: &Facts,
        building: &Building,
        token: Token,
        target: &Target,
        grid: bool,
    ) -> Result<(), Complaint> {
        let says = building.verify(facts, token, target, grid);
        let live = |held: &&Held| facts.now < held.end();
        let valid = self.held.iter().filter(live).any(|held| {
            let type_permits = match held.lock_type {
                LockType::FloorEdit => true,
                LockType::GridCalibration => grid,
                LockType::ObjectEdit | LockType::RouteEdit => !grid,
                LockType::AnalyticsView => false,
            };
            held.token == token && type_permits && covers(held, target)
        });
        ensure!(says.valid == valid, "L3: {token:?} for {target:?}: valid {} ({:?})", says.valid, says.reason);
        let rooms: &[RoomId] = if matches!(target.place, Place::Building(_)) { &[] } else { target.place.rooms() };
        let above = |held: &&Held| {
            held.targets.iter().filter_map(|own| region(held.lock_type, own)).any(|region| match region {
                Region::Building => true,
                Region::Floor(floor) => rooms.contains(&floor),
                Region::Thing(thing, _) => thing == target.resource,
            })
        };
        let fence = self.held.iter().filter(live).filter(above).map(|held| held.token).max();
        ensure!(says.fence == fence, "the fence of {target:?} is {:?}, should be {fence:?}", says.fence);
        Ok(())
    }
}

/// Whether a lock's regions contain the target.
fn covers(held: &Held, target: &Target) -> bool {
    let regions: Vec<Region> = held.targets.iter().filter_map(|own| region(held.lock_type, own)).collect();
    let floors: &[RoomId] = if matches!(target.place, Place::Building(_)) { &[] } else { target.place.rooms() };
    held.targets.iter().any(|own| own.resource == target.resource)
        || regions.contains(&Region::Building)
        || !floors.is_empty() && floors.iter().all(|floor| regions.contains(&Region::Floor(floor.clone())))
}
