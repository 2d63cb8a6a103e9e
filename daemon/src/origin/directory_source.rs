//! What does the folder of buildings have under a strategy and an id?
//!
//! | strategy | id | value |
//! |---|---|---|
//! | `floor_data` | `F` or `floor:F` | `floor.json` with the grid as its member `grid` |
//! | `floor_data` | `B` | `building.json` |
//! | `object_data`, `route_data` | `floor:F` | `objects.json`, `routes.json` |
//! | `object_data`, `route_data` | `ID` | the document of one object or route |
//! | `grid_calibration`, `analytics_data` | `floor:F` | `grid.json`, `analytics.json` |
//!
//! What people agreed on goes before what the files say, whether it will be written there or not; see `overlay`. A file
//! of a floor that nobody has edited is handed on as it stands, without being parsed. Reading blocks, so it is done by
//! threads that may, and by few at once: one disk serves them all.

use std::path::PathBuf;
use std::sync::Arc;

use arxosrt_core::cache::EntryId;
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};
use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::directory::Trouble;
use super::documents::{Documents, FileNow, Kind};
use super::fetch::{Answer, Fetch, FetchError, Fetched, Health, Source};
use super::fitness::Fitness;
use super::folder::FILE_BYTES_MAX;
use super::overlay::Overlay;
use super::slots::{Slot, Slots};
use super::wanted::{Wanted, grid_of, thing, value};
use crate::hub::ask::{HubHandle, Standing};

/// How many files are read at once.
const FILES_AT_ONCE: usize = 4;
/// The folder, as the cache sees it.
#[derive(Clone)]
pub struct DirectorySource(Arc<Inner>);

struct Inner {
    documents: Arc<Documents>,
    hub: HubHandle,
    slots: Slots,
    fitness: Fitness,
}

impl DirectorySource {
    /// The source of these documents.
    pub fn new(documents: Arc<Documents>, hub: HubHandle) -> DirectorySource {
        let fitness = Fitness::new("folder of buildings");
        DirectorySource(Arc::new(Inner { documents, hub, slots: Slots::new(FILES_AT_ONCE), fitness }))
    }
}

impl Source for DirectorySource {
    fn fetch(&self, fetch: Fetch) -> Answer<Fetched> {
        let inner = self.0.clone();
        Box::pin(async move {
            let is_floor = |room: &RoomId| inner.documents.building_of(room).is_some();
            let Some(wanted) = Wanted::of(&fetch.strategy, fetch.id.as_str(), &inner.documents.directory, is_floor)
            else {
                return Err(FetchError::NoSource);
            };
            match timeout(fetch.deadline, inner.clone().answer(wanted, &fetch)).await {
                Ok(answer) => answer,
                Err(_) => Err(FetchError::Timeout(fetch.deadline)),
            }
        })
    }

    /// Files are changed by edits, and by people.
    fn store(&self, _: &str, _: &EntryId, _: Bytes) -> Answer<bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn health(&self) -> Health {
        let (is_up, trouble) = self.0.fitness.is();
        Health { is_up, busy: self.0.slots.busy(), trouble }
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, wanted: Wanted, fetch: &Fetch) -> Result<Fetched, FetchError> {
        let floor = match &wanted {
            Wanted::Nothing => return Ok(Fetched::Missing),
            Wanted::Thing(_, resource) => return thing(&self.hub, resource).await,
            Wanted::Building(_) | Wanted::Analytics(_) => None,
            Wanted::Floor(floor) | Wanted::List(_, floor) | Wanted::Grid(floor) => Some(floor),
        };
        let overlay = match floor {
            None => Overlay::default(),
            Some(floor) => {
                let lone = || BuildingId::of_lone_room(floor);
                let building = self.documents.building_of(floor).unwrap_or_else(lone);
                Overlay::of(&self.hub, &building, floor).await?
            }
        };
        let slot = self.slots.enter_promoted(fetch.purpose, &fetch.promoted, fetch.deadline).await?;
        let etag = fetch.etag.clone();
        let reading = self.clone();
        let read = spawn_blocking(move || {
            let _slot: Slot = slot;
            reading.read(&wanted, &overlay, etag.as_deref())
        });
        let read = read.await.map_err(|_| FetchError::Unavailable("the read ended early".to_owned()))?;
        match read {
            Ok(answer) => {
                self.fitness.answered();
                answer
            }
            Err(trouble) => {
                self.fitness.failed(trouble.to_string());
                // Where the folder is concerns the log and nobody who asks.
                Err(FetchError::Unavailable(trouble.what))
            }
        }
    }

    /// Reads what is wanted. Blocks.
    fn read(
        &self,
        wanted: &Wanted,
        overlay: &Overlay,
        etag: Option<&str>,
    ) -> Result<Result<Fetched, FetchError>, Trouble> {
        match wanted {
            Wanted::Nothing | Wanted::Thing(..) => Ok(Ok(Fetched::Missing)),
            Wanted::Building(building) => {
                let folder =
                    self.documents.state().layout.building(building).map(|folder| folder.join("building.json"));
                self.plain(folder, etag)
            }
            Wanted::Analytics(floor) => self.plain(self.file(floor, "analytics.json"), etag),
            Wanted::Grid(floor) => match overlay.floor(floor) {
                Some(Standing::Here(text)) => Ok(Ok(grid_of(text))),
                Some(Standing::Elsewhere | Standing::Deleted) => Ok(Ok(Fetched::Missing)),
                None => self.plain(self.file(floor, "grid.json"), etag),
            },
            Wanted::Floor(floor) => match overlay.floor(floor) {
                Some(Standing::Here(text)) => Ok(Ok(value(text.as_bytes().to_vec(), None))),
                Some(Standing::Elsewhere | Standing::Deleted) => Ok(Ok(Fetched::Missing)),
                None => self.floor(floor),
            },
            Wanted::List(_, floor) if matches!(overlay.floor(floor), Some(Standing::Deleted)) => {
                Ok(Ok(Fetched::Missing))
            }
            Wanted::List(kind, floor) if overlay.is_empty_for(*kind) => self.plain(self.file(floor, kind.file()), etag),
            Wanted::List(kind, floor) => self.list(*kind, floor, overlay),
        }
    }

    fn file(&self, floor: &RoomId, name: &str) -> Option<PathBuf> {
        let building = self.documents.building_of(floor)?;
        Some(self.documents.floor_folder(&building, floor)?.join(name))
    }

    /// A file as it stands.
    fn plain(&self, file: Option<PathBuf>, etag: Option<&str>) -> Result<Result<Fetched, FetchError>, Trouble> {
        let Some(file) = file else { return Ok(Ok(Fetched::Missing)) };
        Ok(match self.documents.file(&file, etag)? {
            FileNow::Unchanged => Ok(Fetched::Unchanged),
            FileNow::Missing => Ok(Fetched::Missing),
            FileNow::TooLarge => Err(FetchError::TooLarge(FILE_BYTES_MAX as usize)),
            FileNow::Is { bytes, name } => match is_whole(&bytes) {
                true => Ok(value(bytes, name)),
                false => Err(FetchError::Malformed(format!("{} is not whole", file.display()))),
            },
        })
    }

    /// A floor's document out of its two files.
    fn floor(&self, floor: &RoomId) -> Result<Result<Fetched, FetchError>, Trouble> {
        let Some(building) = self.documents.building_of(floor) else { return Ok(Ok(Fetched::Missing)) };
        let Some(folder) = self.documents.floor_folder(&building, floor) else { return Ok(Ok(Fetched::Missing)) };
        let Ok(resource) = ResourceId::new(floor.as_str()) else { return Ok(Ok(Fetched::Missing)) };
        let found = self.documents.load_floor(&resource, floor.clone(), &folder)?;
        Ok(Ok(found.map_or(Fetched::Missing, |document| value(String::from(document.text).into_bytes(), None))))
    }

    /// A floor's objects or routes with what is not written yet.
    fn list(&self, kind: Kind, floor: &RoomId, overlay: &Overlay) -> Result<Result<Fetched, FetchError>, Trouble> {
        let file = self.file(floor, kind.file());
        let elements = match &file {
            Some(file) => self.documents.elements(file)?,
            None => None,
        };
        Ok(match overlay.list(kind, elements.as_deref()) {
            Ok(Some(text)) => Ok(value(text.into_bytes(), None)),
            Ok(None) => Ok(Fetched::Missing),
            Err(error) => Err(FetchError::Malformed(super::document::misfit(&error))),
        })
    }
}

/// Does a file begin and end as JSON does? One that somebody is just writing mostly does not.
fn is_whole(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii();
    matches!((bytes.first(), bytes.last()), (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')))
}
