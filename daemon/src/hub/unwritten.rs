//! What has the origin not got yet? Asked by whoever reads the origin, and laid over what that says.
//!
//! A building sleeps only when the origin has all that it knows, so one that is not in memory is not woken for this.

use std::ops::Bound;

use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

use super::Hub;
use super::answer::send;
use super::ask::{Page, Reply, Standing, Unwritten};
use super::lists::page_of;
use super::recovery::closed;

impl Hub {
    pub(super) fn unwritten(
        &mut self,
        building: &BuildingId,
        floor: &RoomId,
        from: Bound<ResourceId>,
        reply: Reply<Page<Unwritten>>,
    ) {
        if self.closed.contains(building) {
            return send(reply, Err(closed(building).into()));
        }
        let Some(&host) = self.host_ids.get(building) else {
            return send(reply, Ok(Page { rows: Vec::new(), more: false }));
        };
        let rows = self.hosts[host as usize].building.unwritten(from).map(|unwritten| Unwritten {
            resource: unwritten.resource.clone(),
            kind: unwritten.kind(),
            version: unwritten.version(),
            is: match unwritten.is_deleted() {
                true => Standing::Deleted,
                false if unwritten.floor().as_ref() != Some(floor) => Standing::Elsewhere,
                false => unwritten.document().map_or(Standing::Deleted, |text| Standing::Here(text.into())),
            },
        });
        let page = page_of(rows, |row| match &row.is {
            Standing::Here(text) => text.len(),
            Standing::Elsewhere | Standing::Deleted => 0,
        });
        self.reply_after(host, reply, page);
    }
}
