//! How do documents that people edit come from a service, and go back to it?
//!
//! One GET, PUT or DELETE each, at the address of the object, route or floor. A document goes back with its version as
//! the member `version`, and under the condition that the service still has what was read or written last. If it has
//! something else, that is told, and what people agreed on is written all the same: the log is what they agreed on.
//!
//! What the service says will never be right (a status from 400 on that no waiting helps against) is refused for good;
//! everything else is tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arxosrt_core::directory::{Directory, ItemKind, Located};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use hyper::header::IF_MATCH;
use hyper::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{Reply, Request};
use super::source::refusal;
use super::template::About;
use super::{Place, Service, pointer};
use crate::origin::directory::Trouble;
use crate::origin::document::{self, misfit};
use crate::origin::documents::{Document, Kind};
use crate::origin::fetch::{FetchError, Purpose};
use crate::origin::write_back::{Diverged, Outcome, Report, Stored, versioned};

/// How long a document may take to come.
const LOAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to go.
const STORE_PATIENCE: Duration = Duration::from_secs(30);
/// How many documents of a building go at once.
const STORES_AT_ONCE: usize = 8;
/// Of how many documents it is known what the service has. What is beyond is written without noticing who else changed
/// it.
const KNOWN_MAX: usize = 1 << 16;

/// The documents of a service.
pub struct HttpDocuments {
    service: Arc<Service>,
    directory: Arc<Directory>,
    known: Mutex<HashMap<ResourceId, Known>>,
}

impl std::fmt::Debug for HttpDocuments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpDocuments").field("service", &self.service.base.shown()).finish_non_exhaustive()
    }
}

/// What the service had when it was asked last.
#[derive(Clone, Debug)]
struct Known {
    etag: Box<str>,
    version: u64,
}

impl HttpDocuments {
    /// The documents of a service with these buildings.
    pub fn new(service: Arc<Service>, directory: Arc<Directory>) -> HttpDocuments {
        HttpDocuments { service, directory, known: Mutex::default() }
    }

    /// Are documents of this kind written?
    pub fn takes(&self, kind: Kind) -> bool {
        self.place(kind).is_some_and(|place| !place.write.is_none())
    }

    /// The document of `resource`, or nothing when the service has none.
    pub async fn load(&self, building: &BuildingId, resource: &ResourceId) -> Result<Option<Document>, Trouble> {
        let kinds: &[Kind] = match self.directory.locate(resource) {
            Some(Located::Item { kind: ItemKind::Object, .. }) => &[Kind::Object],
            Some(Located::Item { kind: ItemKind::Route, .. }) => &[Kind::Route],
            Some(Located::Floor(_)) => &[Kind::Floor],
            Some(Located::Building(_)) => &[],
            None if resource.as_str() == building.as_str() => &[Kind::Floor],
            None => &[Kind::Object, Kind::Route],
        };
        for kind in kinds {
            let Some(place) = self.place(*kind) else { continue };
            let Some(address) = place.read.address(&self.service.base, about(building, resource)) else { continue };
            let request = Request::get(address, Purpose::Demand, Instant::now() + LOAD_PATIENCE);
            let reply = self.service.client.exchange(&request).await.map_err(|error| self.trouble(&error))?;
            match reply.status {
                StatusCode::OK => {
                    let read = self.read(*kind, place, resource, &reply);
                    if let Some(document) = read.map_err(|what| self.trouble(what))? {
                        return Ok(Some(document));
                    }
                }
                StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => {}
                status => return Err(self.trouble(&refusal(status))),
            }
        }
        Ok(None)
    }

    /// Writes documents of one building; the reports are in the same order. Floors that are new come before what is on
    /// them, and those that go after it.
    pub async fn store(self: Arc<Self>, documents: Vec<Stored>) -> Vec<Report> {
        let early = Outcome::Failed(self.trouble("the daemon ends"));
        let mut reports = vec![Report { outcome: early, diverged: None }; documents.len()];
        let turn_of = |stored: &Stored| match (stored.kind, stored.document.is_some()) {
            (Kind::Floor, true) => 0,
            (Kind::Object | Kind::Route, _) => 1,
            (Kind::Floor, false) => 2,
        };
        for turn in 0..3 {
            let mut under_way = JoinSet::new();
            for (at, stored) in documents.iter().enumerate().filter(|(_, stored)| turn_of(stored) == turn) {
                if under_way.len() == STORES_AT_ONCE
                    && let Some(Ok((at, report))) = under_way.join_next().await
                {
                    reports[at] = report;
                }
                let (this, stored) = (self.clone(), stored.clone());
                under_way.spawn(async move { (at, this.store_one(&stored).await) });
            }
            while let Some(done) = under_way.join_next().await {
                if let Ok((at, report)) = done {
                    reports[at] = report;
                }
            }
        }
        reports
    }

    async fn store_one(&self, stored: &Stored) -> Report {
        let mut diverged = None;
        let outcome = match self.write(stored, &mut diverged).await {
            Ok(outcome) => outcome,
            Err(FetchError::TooLarge(max)) => {
                Outcome::Refused(format!("the service's answer has more than {max} bytes"))
            }
            Err(error) => Outcome::Failed(self.trouble(&error)),
        };
        Report { outcome, diverged }
    }

    async fn write(&self, stored: &Stored, diverged: &mut Option<Diverged>) -> Result<Outcome, FetchError> {
        let place = self.place(stored.kind);
        let about = about(&stored.building, &stored.resource);
        let Some(address) = place.and_then(|place| place.write.address(&self.service.base, about)) else {
            return Ok(Outcome::Refused("the configuration names no address for it".to_owned()));
        };
        let body = match &stored.document {
            None => None,
            Some(text) => match versioned(text, stored.version) {
                Ok(text) => Some(text.into_bytes().into()),
                Err(error) => return Ok(Outcome::Refused(misfit(&error))),
            },
        };
        let method = if body.is_some() { Method::PUT } else { Method::DELETE };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&stored.resource).cloned();
        let until = Instant::now() + STORE_PATIENCE;
        let unconditional = Request { method, body, ..Request::get(address, Purpose::Demand, until) };
        let mut reply = match &known {
            None => self.service.client.exchange(&unconditional).await?,
            Some(known) => {
                let condition = Some((IF_MATCH, known.etag.clone()));
                self.service.client.exchange(&Request { condition, ..unconditional.clone() }).await?
            }
        };
        if let (StatusCode::PRECONDITION_FAILED, Some(known)) = (reply.status, known) {
            *diverged = Some(Diverged { expected: Some(known.version), found: None });
            reply = self.service.client.exchange(&unconditional).await?;
        }
        Ok(match reply.status {
            status if status.is_success() => {
                self.remember(stored, reply.etag);
                Outcome::Written
            }
            StatusCode::NOT_FOUND | StatusCode::GONE if stored.document.is_none() => {
                self.remember(stored, None);
                Outcome::Written
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::REQUEST_TIMEOUT => {
                Outcome::Failed(self.trouble(&refusal(reply.status)))
            }
            status if status.is_client_error() => {
                Outcome::Refused(format!("the service refuses it with status {}", status.as_u16()))
            }
            status => Outcome::Failed(self.trouble(&refusal(status))),
        })
    }

    /// The document in an answer.
    fn read(
        &self,
        kind: Kind,
        place: &Place,
        resource: &ResourceId,
        reply: &Reply,
    ) -> Result<Option<Document>, String> {
        let text = std::str::from_utf8(&reply.body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        let found = pointer::find(text, &place.pointer).map_err(|error| misfit(&error))?;
        let Some(text) = found.filter(|text| *text != "null").map(str::trim) else { return Ok(None) };
        let (id, version, floors) = match kind {
            Kind::Object | Kind::Route => {
                let item: document::Item = serde_json::from_str(text).map_err(|error| misfit(&error))?;
                let mut floors: Vec<RoomId> = item.floor_id.into_iter().collect();
                floors
                    .extend(item.floors.into_iter().filter(|floor| floors.first() != Some(floor)).collect::<Vec<_>>());
                (item.id.to_string(), item.version, floors)
            }
            Kind::Floor => {
                let floor: document::Floor = serde_json::from_str(text).map_err(|error| misfit(&error))?;
                (floor.id.to_string(), floor.version, vec![floor.id])
            }
        };
        if id != resource.as_str() {
            return Err(format!("asked for `{resource}`, it answers with another id"));
        }
        if let Some(etag) = reply.etag.clone() {
            self.note(resource, Known { etag, version });
        }
        Ok(Some(Document { kind, text: text.into(), version, floors }))
    }

    fn remember(&self, stored: &Stored, etag: Option<Box<str>>) {
        match etag.filter(|_| stored.document.is_some()) {
            Some(etag) => self.note(&stored.resource, Known { etag, version: stored.version }),
            None => drop(self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&stored.resource)),
        }
    }

    fn note(&self, resource: &ResourceId, now: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KNOWN_MAX || known.contains_key(resource) {
            known.insert(resource.clone(), now);
        }
    }

    fn place(&self, kind: Kind) -> Option<&Place> {
        self.service.documents.get(match kind {
            Kind::Object => "object",
            Kind::Route => "route",
            Kind::Floor => "floor",
        })
    }

    fn trouble(&self, what: impl std::fmt::Display) -> Trouble {
        Trouble { path: self.service.base.shown().into(), place: None, what: what.to_string() }
    }
}

fn about<'a>(building: &'a BuildingId, resource: &'a ResourceId) -> About<'a> {
    About { id: resource.as_str(), floor: None, building: Some(building.as_str()) }
}

/// The building that a thing is in, as far as the directory knows.
pub(super) fn building_of(directory: &Directory, resource: &ResourceId) -> Option<BuildingId> {
    match directory.locate(resource)? {
        Located::Item { floors, .. } => directory.building_of_room(floors.first()?).cloned(),
        Located::Floor(room) => directory.building_of_room(room).cloned(),
        Located::Building(room) => directory.building_of_room(room).cloned(),
    }
}
