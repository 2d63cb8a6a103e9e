//! Do the table's indexes tell what its locks tell?

use super::{Holders, Lock, Table, mode_at};
use crate::lock::closure::{Counts, Mode, Node, NodeMap};
use crate::lock::small_set::SmallSet;

impl Table {
    /// Whether indexes and locks tell the same, and no two sessions exclude each other (L1, L7).
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut again = NodeMap::<Counts>::default();
        let mut owned = 0;
        for lock in self.iter() {
            again.add(&lock.closure());
            owned += 1;
            for target in &lock.targets[..] {
                let seen = target.place.rooms().iter().map(|room| self.rooms.get(room));
                let there = seen.chain([self.resources.get(&target.resource)]);
                for spot in there {
                    if !spot.is_some_and(|spot| spot.locks.contains(lock.token)) {
                        return Err(format!("{:?} is not found by {target:?}", lock.token));
                    }
                }
            }
        }
        let floors = self.rooms.iter().map(|(room, spot)| (Node::Floor(room), &spot.holders));
        let items = self.resources.iter().map(|(item, spot)| (Node::Item(item), &spot.holders));
        for (node, holders) in floors.chain(items).chain([(Node::Building, &self.building)]) {
            if holders.counts() != again.counts(node) {
                return Err(format!("L7: {node:?} counts {holders:?}, its locks give {:?}", again.counts(node)));
            }
            self.check_owner(node, holders)?;
        }
        let indexed: usize = self.by_session.values().map(SmallSet::len).sum();
        if indexed != owned {
            return Err(format!("{owned} locks are held, sessions hold {indexed}"));
        }
        let spots = self.rooms.values().chain(self.resources.values());
        let mut tokens = spots.flat_map(|spot| spot.locks.iter());
        if let Some(lost) = tokens.find(|token| self.locks.get(*token).is_none()) {
            return Err(format!("{lost:?} is indexed and not held"));
        }
        if self.locks.last_key() > self.last {
            return Err(format!("L2: a lock is younger than the last token {:?}", self.last));
        }
        Ok(())
    }

    /// A node that is held exclusively is held by one session, and nobody else holds anything below.
    fn check_owner(&self, node: Node<'_>, holders: &Holders) -> Result<(), String> {
        let mut owners = holders.exclusives.iter().map(|token| self.get(*token).map(|lock| &lock.session));
        let Some(owner) = owners.next() else {
            return Ok(());
        };
        let owner = owner.ok_or_else(|| format!("L7: {node:?} is held by a token without a lock"))?;
        if owners.any(|other| other != Some(owner)) {
            return Err(format!("L1: {node:?} is held exclusively by two sessions: {holders:?}"));
        }
        let below = |lock: &&Lock| mode_at(&lock.closure(), node) == Some(Mode::Intent);
        if self.of_session(owner).filter(below).count() != holders.intents as usize {
            return Err(format!("L1: {node:?} is held exclusively by {owner} and wanted below by another session"));
        }
        Ok(())
    }
}
