//! What does a service have under a strategy and an id?
//!
//! Where it is, the configuration's template for the strategy says. Of what people edit, what they agreed on goes before
//! what the service says, as it does for a folder: see `overlay`. That needs a list of objects or routes to be a JSON
//! array whose elements have ids. Single objects and routes are asked of the hub, which has those that are being edited
//! and loads the others.

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::EntryId;
use arxosrt_core::directory::Directory;
use arxosrt_core::id::RoomId;
use bytes::Bytes;
use hyper::header::IF_NONE_MATCH;
use hyper::{Method, StatusCode};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::client::{Reply, Request};
use super::template::About;
use super::{Place, Service, documents, pointer};
use crate::hub::ask::{HubHandle, Standing};
use crate::origin::document::misfit;
use crate::origin::elements::Elements;
use crate::origin::fetch::{Answer, Fetch, FetchError, Fetched, Health, Purpose, Source};
use crate::origin::overlay::Overlay;
use crate::origin::wanted::{Wanted, grid_of, thing, value};

/// How long a value that a client has set may take to be handed over.
const STORE_PATIENCE: Duration = Duration::from_secs(8);
/// Answers above this many bytes are looked through beside the tasks that wait for sockets.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// A service, as the cache sees it.
#[derive(Clone)]
pub struct HttpSource(Arc<Inner>);

struct Inner {
    service: Arc<Service>,
    directory: Arc<Directory>,
    hub: HubHandle,
    /// The hub loads the documents of single things from somewhere.
    has_documents: bool,
}

impl HttpSource {
    /// The values of a service.
    pub fn new(service: Arc<Service>, directory: Arc<Directory>, hub: HubHandle, has_documents: bool) -> HttpSource {
        HttpSource(Arc::new(Inner { service, directory, hub, has_documents }))
    }

    /// Are the values of this strategy asked of the service?
    pub fn has(&self, strategy: &str) -> bool {
        self.0.service.values.get(strategy).is_some_and(|place| !place.read.is_none())
    }
}

impl Source for HttpSource {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        let inner = self.0.clone();
        Box::pin(async move { inner.fetch(&fetch).await })
    }

    fn store(&self, strategy: &str, id: &EntryId, value: Bytes) -> Answer<bool> {
        let (inner, strategy, id) = (self.0.clone(), Box::<str>::from(strategy), id.clone());
        Box::pin(async move { inner.store(&strategy, &id, value).await })
    }

    fn health(&self) -> Health {
        let client = &self.0.service.client;
        let (is_up, trouble) = client.fitness().is();
        Health { is_up, busy: client.busy(), trouble }
    }
}

impl Inner {
    async fn fetch(&self, fetch: &Fetch) -> Result<Fetched, FetchError> {
        let until = Instant::now() + fetch.deadline;
        let Some(place) = self.service.values.get(&fetch.strategy) else { return Err(FetchError::NoSource) };
        let is_floor = |room: &RoomId| self.directory.floor(room).is_some();
        let wanted = Wanted::of(&fetch.strategy, fetch.id.as_str(), &self.directory, is_floor);
        let late = |_| FetchError::Timeout(fetch.deadline);
        match &wanted {
            Some(Wanted::Nothing) => return Ok(Fetched::Missing),
            Some(Wanted::Thing(_, resource)) if self.has_documents => {
                return timeout_at(until, thing(&self.hub, resource)).await.map_err(late)?;
            }
            _ => {}
        }
        let overlay = match wanted.as_ref().filter(|wanted| wanted.is_edited()).and_then(Wanted::floor) {
            None => Overlay::default(),
            Some(floor) => {
                let building = self.directory.building_or_lone(floor);
                timeout_at(until, Overlay::of(&self.hub, &building, floor)).await.map_err(late)??
            }
        };
        let changed = match &wanted {
            Some(Wanted::Floor(floor) | Wanted::Grid(floor) | Wanted::List(_, floor)) => {
                match (overlay.floor(floor), &wanted) {
                    (Some(Standing::Deleted | Standing::Elsewhere), _) => return Ok(Fetched::Missing),
                    (Some(Standing::Here(text)), Some(Wanted::Grid(_))) => return Ok(grid_of(text)),
                    (Some(Standing::Here(text)), Some(Wanted::Floor(_))) => {
                        return Ok(value(text.as_bytes().to_vec(), None));
                    }
                    (_, Some(Wanted::List(kind, _))) if !overlay.is_empty_for(*kind) => Some(*kind),
                    _ => None,
                }
            }
            _ => None,
        };
        let Some(address) = self.address(place, false, wanted.as_ref(), fetch.id.as_str()) else {
            return Ok(Fetched::Missing);
        };
        let known = fetch.etag.clone().filter(|_| changed.is_none());
        let is_conditional = known.is_some();
        let condition = known.map(|etag| (IF_NONE_MATCH, etag));
        let promoted = fetch.promoted.clone();
        let request = Request { condition, promoted, ..Request::get(address, fetch.purpose, until) };
        let Reply { status, etag, body } = self.service.client.exchange(&request).await?;
        let text = match status {
            StatusCode::NOT_MODIFIED if is_conditional => return Ok(Fetched::Unchanged),
            StatusCode::OK => {
                let pointer = place.pointer.clone();
                let looked = if body.len() > INLINE_BYTES_MAX {
                    let looked = spawn_blocking(move || part_of(&body, &pointer)).await;
                    looked.map_err(|_| FetchError::Unavailable("the daemon ends".to_owned()))?
                } else {
                    part_of(&body, &pointer)
                };
                looked?
            }
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND | StatusCode::GONE => None,
            status => return Err(refusal(status)),
        };
        let Some(kind) = changed else {
            return Ok(text.map_or(Fetched::Missing, |bytes| Fetched::Value { bytes, etag }));
        };
        let malformed = |error: serde_json::Error| FetchError::Malformed(misfit(&error));
        let listed = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let elements = listed.map(Elements::read).transpose().map_err(malformed)?;
        let agreed = overlay.list(kind, elements.as_ref()).map_err(malformed)?;
        Ok(agreed.map_or(Fetched::Missing, |text| value(text.into_bytes(), None)))
    }

    async fn store(&self, strategy: &str, id: &EntryId, value: Bytes) -> Result<bool, FetchError> {
        let Some(place) = self.service.values.get(strategy) else { return Err(FetchError::NoSource) };
        let is_floor = |room: &RoomId| self.directory.floor(room).is_some();
        let wanted = Wanted::of(strategy, id.as_str(), &self.directory, is_floor);
        let Some(address) = self.address(place, true, wanted.as_ref(), id.as_str()) else { return Ok(false) };
        let until = Instant::now() + STORE_PATIENCE;
        let request =
            Request { method: Method::PUT, body: Some(value), ..Request::get(address, Purpose::Demand, until) };
        let reply = self.service.client.exchange(&request).await?;
        match reply.status {
            status if status.is_success() => Ok(true),
            status => Err(refusal(status)),
        }
    }

    fn address(&self, place: &Place, is_write: bool, wanted: Option<&Wanted>, id: &str) -> Option<hyper::Uri> {
        let floor = match wanted {
            Some(wanted) => wanted.floor().cloned(),
            None => id.strip_prefix("floor:").and_then(|floor| RoomId::new(floor).ok()),
        };
        let building = match wanted {
            Some(Wanted::Building(building)) => Some(building.clone()),
            Some(Wanted::Thing(_, resource)) => documents::building_of(&self.directory, resource),
            _ => floor.as_ref().and_then(|floor| self.directory.building_of_room(floor).cloned()),
        };
        let about = About {
            id,
            floor: floor.as_ref().map(RoomId::as_str),
            building: building.as_ref().map(|building| building.as_str()),
        };
        let template = if is_write { &place.write } else { &place.read };
        template.address(&self.service.base, about)
    }
}

/// The part of an answer that is the value.
fn part_of(body: &Bytes, pointer: &str) -> Result<Option<Bytes>, FetchError> {
    let text = std::str::from_utf8(body).map_err(|_| FetchError::Malformed("it is not UTF-8".to_owned()))?;
    let found = pointer::find(text, pointer).map_err(|error| FetchError::Malformed(misfit(&error)))?;
    Ok(match found {
        Some(_) if pointer.is_empty() => Some(body.clone()),
        Some("null") | None => None,
        // A part of an answer does not keep the whole of it in memory.
        Some(part) => Some(Bytes::copy_from_slice(part.as_bytes())),
    })
}

/// What a status means that is no answer.
pub(super) fn refusal(status: StatusCode) -> FetchError {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FetchError::Denied(status.as_u16()),
        status if status.is_server_error() => {
            FetchError::Unavailable(format!("it answers with status {}", status.as_u16()))
        }
        status if status.is_redirection() => {
            FetchError::Malformed(format!("it leads elsewhere with status {}, which is not followed", status.as_u16()))
        }
        status => FetchError::Malformed(format!("it answers with status {}", status.as_u16())),
    }
}
