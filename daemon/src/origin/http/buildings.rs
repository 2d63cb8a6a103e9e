//! Which buildings does a service have, and which floors?
//!
//! One list, read at the start and fixed from then on: where a thing lies decides which log it is in, so it must not
//! change while people work. An element has what `building.json` has, and `floors`, each with what `floor.json` has and,
//! where they are to be found by their ids alone, `objects` and `routes`:
//!
//! ```json
//! [{"id": "hq", "name": "…", "floors": [
//!     {"id": "hq:level-1", "name": "…", "level": 1, "objects": [{"id": "…"}], "routes": [{"id": "…", "floors": ["…"]}]}
//! ]}]
//! ```
//!
//! A service that cannot be reached in the time that the start waits leaves every room a building of its own, until the
//! next start. That is a warning and no more: those who work meanwhile are not kept from it.

use std::collections::HashMap;

use arxosrt_core::directory::{Builder, BuildingDraft, Directory, FloorDraft, ItemDraft};
use arxosrt_core::id::{BuildingId, RoomId};
use hyper::StatusCode;
use serde::Deserialize;
use tokio::time::{Duration, Instant, sleep};

use super::Service;
use super::client::Request;
use super::source::refusal;
use super::template::About;
use crate::origin::directory::ITEMS_MAX;
use crate::origin::document::{Item, misfit};
use crate::origin::fetch::Purpose;
use crate::origin::newest::{Found, newest};

/// The pause between two attempts to read the list.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
struct ListedBuilding {
    id: BuildingId,
    name: Option<Box<str>>,
    #[serde(default)]
    floors: Vec<ListedFloor>,
}

#[derive(Deserialize)]
struct ListedFloor {
    id: RoomId,
    name: Option<Box<str>>,
    #[serde(default)]
    level: i32,
    #[serde(default)]
    objects: Vec<Item>,
    #[serde(default)]
    routes: Vec<Item>,
}

/// Reads the list, again and again until it is there or the time for it is over.
pub async fn read(service: &Service) -> Result<Directory, String> {
    let Some(address) = service.directory.address(&service.base, About::default()) else {
        return Ok(Directory::default());
    };
    let until = Instant::now() + service.directory_wait;
    loop {
        let request = Request::get(address.clone(), Purpose::Demand, until);
        let why = match service.client.exchange(&request).await {
            Ok(reply) if reply.status == StatusCode::OK => return directory(&reply.body),
            Ok(reply) => refusal(reply.status).to_string(),
            Err(error) => error.to_string(),
        };
        if Instant::now() + PAUSE >= until {
            return Err(why);
        }
        sleep(PAUSE).await;
    }
}

fn directory(json: &[u8]) -> Result<Directory, String> {
    let buildings: Vec<ListedBuilding> = serde_json::from_slice(json).map_err(|error| misfit(&error))?;
    let mut builder = Builder::default();
    let mut items = 0;
    for building in buildings {
        let draft = draft(building)?;
        items += draft.objects.len() + draft.routes.len();
        if items > ITEMS_MAX {
            return Err(format!("there are more than {ITEMS_MAX} objects and routes"));
        }
        let id = draft.id.clone();
        let rejected = builder.add(draft).len();
        if rejected > 0 {
            tracing::warn!(building = %id, rejected, "ids of the list of buildings are taken already and left out");
        }
    }
    Ok(builder.build())
}

fn draft(building: ListedBuilding) -> Result<BuildingDraft, String> {
    let places: HashMap<RoomId, usize> =
        building.floors.iter().enumerate().map(|(at, floor)| (floor.id.clone(), at)).collect();
    let (mut floors, mut objects, mut routes) = (Vec::new(), Vec::new(), Vec::new());
    for (at, floor) in building.floors.into_iter().enumerate() {
        for (found, items) in [(&mut objects, floor.objects), (&mut routes, floor.routes)] {
            for item in items {
                let mut spans = vec![at];
                for room in &item.floors {
                    let Some(place) = places.get(room) else {
                        return Err(format!("`{}` spans `{room}`, which is no floor of `{}`", item.id, building.id));
                    };
                    spans.push(*place);
                }
                found.push(Found { item: ItemDraft { id: item.id, floors: spans }, floor: at, version: item.version });
            }
        }
        let name = floor.name.unwrap_or_else(|| floor.id.as_str().into());
        floors.push(FloorDraft { room: floor.id, name, level: floor.level });
    }
    Ok(BuildingDraft {
        name: building.name.unwrap_or_else(|| building.id.as_str().into()),
        id: building.id,
        floors,
        objects: newest(objects, |_, _| {}),
        routes: newest(routes, |_, _| {}),
    })
}
