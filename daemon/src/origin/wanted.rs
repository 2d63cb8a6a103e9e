//! What do a strategy and an id name, among the things that people edit?
//!
//! Five strategies are about floors and what is on them. An id may begin with `floor:`, and must where it might be of
//! something else.

use arxosrt_core::directory::{Directory, ItemKind, Located};
use arxosrt_core::id::{BuildingId, ResourceId, RoomId};

use super::documents::Kind;
use super::fetch::{FetchError, Fetched};
use super::text::without_member;
use crate::hub::ask::{Ask, HubHandle};

/// What stands before the id of a floor where an id might be of something else.
const FLOOR: &str = "floor:";

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A building's own description.
    Building(BuildingId),
    /// A floor's document.
    Floor(RoomId),
    /// The objects or routes of a floor.
    List(Kind, RoomId),
    /// A floor's grid.
    Grid(RoomId),
    /// A floor's figures.
    Analytics(RoomId),
    /// One object or route.
    Thing(Kind, ResourceId),
    /// What cannot be there.
    Nothing,
}

impl Wanted {
    /// What is wanted; none when the strategy is about something else.
    pub fn of(strategy: &str, id: &str, directory: &Directory, is_floor: impl Fn(&RoomId) -> bool) -> Option<Wanted> {
        // An id that is a floor's as it stands is that floor's, whatever it begins with.
        let floor = || RoomId::new(id).ok().filter(&is_floor);
        let of_floor = || id.strip_prefix(FLOOR).and_then(|id| RoomId::new(id).ok());
        let listed = |kind: Kind, own: ItemKind| {
            let Ok(resource) = ResourceId::new(id) else { return Wanted::Nothing };
            match (directory.locate(&resource), of_floor()) {
                (Some(Located::Item { kind, .. }), _) if kind != own => Wanted::Nothing,
                (Some(Located::Item { .. }), _) | (None, None) => Wanted::Thing(kind, resource),
                (_, Some(floor)) => Wanted::List(kind, floor),
                (Some(Located::Floor(_) | Located::Building(_)), None) => Wanted::Nothing,
            }
        };
        Some(match strategy {
            "floor_data" => match (floor(), BuildingId::new(id), of_floor()) {
                (Some(floor), ..) => Wanted::Floor(floor),
                (None, Ok(building), _) if directory.building(&building).is_some() => Wanted::Building(building),
                (None, _, Some(floor)) => Wanted::Floor(floor),
                (None, _, None) => RoomId::new(id).map_or(Wanted::Nothing, Wanted::Floor),
            },
            "object_data" => listed(Kind::Object, ItemKind::Object),
            "route_data" => listed(Kind::Route, ItemKind::Route),
            "grid_calibration" => floor().or_else(of_floor).map_or(Wanted::Nothing, Wanted::Grid),
            "analytics_data" => floor().or_else(of_floor).map_or(Wanted::Nothing, Wanted::Analytics),
            _ => return None,
        })
    }

    /// The floor that it is about, if it is about one.
    pub fn floor(&self) -> Option<&RoomId> {
        match self {
            Wanted::Floor(floor) | Wanted::List(_, floor) | Wanted::Grid(floor) | Wanted::Analytics(floor) => {
                Some(floor)
            }
            Wanted::Building(_) | Wanted::Thing(..) | Wanted::Nothing => None,
        }
    }

    /// Can an edit change it?
    pub fn is_edited(&self) -> bool {
        matches!(self, Wanted::Floor(_) | Wanted::List(..) | Wanted::Grid(_))
    }
}

/// One object or route: what the building holds, else what the origin has, of which the hub asks.
pub async fn thing(hub: &HubHandle, resource: &ResourceId) -> Result<Fetched, FetchError> {
    let asked = hub.ask(|reply| Ask::Document { resource: resource.clone(), reply }).await;
    let answered = asked.map_err(|_| FetchError::Unavailable("the daemon ends".to_owned()))?;
    Ok(match answered.map_err(|refused| FetchError::Unavailable(refused.message))? {
        Some((_, json)) => value(String::from(Box::<str>::from(json)).into_bytes(), None),
        None => Fetched::Missing,
    })
}

/// An answer with a value.
pub fn value(bytes: Vec<u8>, etag: Option<String>) -> Fetched {
    Fetched::Value { bytes: bytes.into(), etag: etag.map(String::into_boxed_str) }
}

/// The grid out of a floor's document.
pub fn grid_of(floor: &str) -> Fetched {
    match without_member(floor, "grid") {
        Ok((_, Some(grid))) if grid != "null" => value(grid.as_bytes().to_vec(), None),
        _ => Fetched::Missing,
    }
}
