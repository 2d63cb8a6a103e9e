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
use arxosrt_core::directory::{ItemKind, Located};
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
use super::text::without_member;
use crate::hub::ask::{Ask, HubHandle, Standing};

/// How many files are read at once.
const FILES_AT_ONCE: usize = 4;
/// What stands before the id of a floor where an id might be of something else.
const FLOOR: &str = "floor:";

/// The folder, as the cache sees it.
#[derive(Clone)]
pub struct DirectorySource(Arc<Inner>);

struct Inner {
    documents: Arc<Documents>,
    hub: HubHandle,
    slots: Slots,
    fitness: Fitness,
}

/// What a strategy and an id name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Building(BuildingId),
    Floor(RoomId),
    List(Kind, RoomId),
    Grid(RoomId),
    Analytics(RoomId),
    Thing(ResourceId),
    Nothing,
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
            let Some(wanted) = inner.wanted(&fetch.strategy, fetch.id.as_str()) else {
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
    /// What is wanted; none when the folder has nothing of this strategy.
    fn wanted(&self, strategy: &str, id: &str) -> Option<Wanted> {
        // An id that is a floor's as it stands is that floor's, whatever it begins with.
        let floor = |id: &str| RoomId::new(id).ok().filter(|room| self.is_floor(room));
        let of_floor = |id: &str| id.strip_prefix(FLOOR).and_then(|id| RoomId::new(id).ok());
        let listed = |kind: Kind, other: ItemKind| {
            let Ok(resource) = ResourceId::new(id) else { return Wanted::Nothing };
            match (self.documents.directory.locate(&resource), of_floor(id)) {
                (Some(Located::Item { kind, .. }), _) if kind == other => Wanted::Nothing,
                (Some(Located::Item { .. }), _) | (None, None) => Wanted::Thing(resource),
                (_, Some(floor)) => Wanted::List(kind, floor),
                (Some(Located::Floor(_) | Located::Building(_)), None) => Wanted::Nothing,
            }
        };
        Some(match strategy {
            "floor_data" => match (floor(id), BuildingId::new(id), of_floor(id)) {
                (Some(floor), ..) => Wanted::Floor(floor),
                (None, Ok(building), _) if self.documents.directory.building(&building).is_some() => {
                    Wanted::Building(building)
                }
                (None, _, Some(floor)) => Wanted::Floor(floor),
                (None, _, None) => RoomId::new(id).map_or(Wanted::Nothing, Wanted::Floor),
            },
            "object_data" => listed(Kind::Object, ItemKind::Route),
            "route_data" => listed(Kind::Route, ItemKind::Object),
            "grid_calibration" => of_floor(id).or_else(|| floor(id)).map_or(Wanted::Nothing, Wanted::Grid),
            "analytics_data" => of_floor(id).or_else(|| floor(id)).map_or(Wanted::Nothing, Wanted::Analytics),
            _ => return None,
        })
    }

    fn is_floor(&self, room: &RoomId) -> bool {
        self.documents.building_of(room).is_some()
    }

    async fn answer(self: Arc<Self>, wanted: Wanted, fetch: &Fetch) -> Result<Fetched, FetchError> {
        let floor = match &wanted {
            Wanted::Nothing => return Ok(Fetched::Missing),
            Wanted::Thing(resource) => return self.thing(resource).await,
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
        let slot = self.slots.enter(fetch.purpose, fetch.deadline).await?;
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

    /// One object or route: what the building holds, else what the folder has.
    async fn thing(&self, resource: &ResourceId) -> Result<Fetched, FetchError> {
        let asked = self.hub.ask(|reply| Ask::Document { resource: resource.clone(), reply }).await;
        let answered = asked.map_err(|_| FetchError::Unavailable("the daemon ends".to_owned()))?;
        Ok(match answered.map_err(|refused| FetchError::Unavailable(refused.message))? {
            Some((_, json)) => value(String::from(Box::<str>::from(json)).into_bytes(), None),
            None => Fetched::Missing,
        })
    }

    /// Reads what is wanted. Blocks.
    fn read(
        &self,
        wanted: &Wanted,
        overlay: &Overlay,
        etag: Option<&str>,
    ) -> Result<Result<Fetched, FetchError>, Trouble> {
        match wanted {
            Wanted::Nothing | Wanted::Thing(_) => Ok(Ok(Fetched::Missing)),
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

fn value(bytes: Vec<u8>, etag: Option<String>) -> Fetched {
    Fetched::Value { bytes: bytes.into(), etag: etag.map(String::into_boxed_str) }
}

/// The grid out of a floor's document.
fn grid_of(floor: &str) -> Fetched {
    match without_member(floor, "grid") {
        Ok((_, Some(grid))) if grid != "null" => value(grid.as_bytes().to_vec(), None),
        _ => Fetched::Missing,
    }
}

/// Does a file begin and end as JSON does? One that somebody is just writing mostly does not.
fn is_whole(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii();
    matches!((bytes.first(), bytes.last()), (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')))
}
