//! Operators have things loaded before anybody asks for them: what they order becomes a job. And they ask what the
//! preloader expects by itself.

use std::sync::Arc;

use arxosrt_core::cache::{EntryId, strategy};
use arxosrt_core::control::code::Code;
use arxosrt_core::control::preload::{PreloadItem, PreloadRequest};
use arxosrt_core::id::{BuildingId, RoomId, UserId};
use axum::extract::State;
use axum::response::Response;

use super::changes::check_reason;
use super::extract::{Long, Named, Operating, Viewer};
use super::failure::Failure;
use super::jobs;
use super::routes::document;
use super::server::Server;
use crate::jobs::{Item, Kind, Order};

type Answer = Result<Response, Failure>;
type Shared = State<Arc<Server>>;

/// `POST /v1/preload`: a job of these items.
pub(super) async fn order(
    State(server): Shared,
    Operating(peer): Operating,
    Long(request): Long<PreloadRequest>,
) -> Answer {
    let PreloadRequest { items, split, if_missing, reason } = request;
    let reason = reason.map(check_reason).transpose()?.map(Into::into);
    let target = target(&items);
    let mut wanted = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        match checked(item).map_err(|why| Failure::new(Code::BadRequest, format!("item {at}: {why}")))? {
            Item::Building(building) if split => wanted.extend(floors(&server, &building)?),
            item => wanted.push(item),
        }
    }
    let by = peer.actor().into();
    let order = Order { kind: Kind::Preload, target: target.into(), by, reason, items: wanted, if_missing };
    jobs::order(&server, &peer, "preload", order).await
}

/// `GET /v1/preload/users/{id}`: what was last decided for a person.
pub(super) async fn explain(State(server): Shared, _: Viewer, Named(user): Named<UserId>) -> Answer {
    match server.context.preload.explain(user.clone()).await {
        Some(row) => document("Explain", row),
        None => Err(Failure::new(Code::UserNotFound, format!("the preloader has not seen {user:?} lately"))),
    }
}

/// `GET /v1/preload/model`: what was learned, and whether it pays.
pub(super) async fn model(State(server): Shared, _: Viewer) -> Answer {
    let row = server.context.preload.model().await;
    document("PreloadModel", row.ok_or_else(|| Failure::new(Code::Draining, "the daemon is ending"))?)
}

/// What it is about, in a few words.
fn target(items: &[PreloadItem]) -> String {
    match items {
        [PreloadItem { floor: Some(floor), .. }] => format!("floor {floor}"),
        [PreloadItem { building: Some(building), .. }] => format!("building {building}"),
        [PreloadItem { strategy: Some(strategy), id: Some(id), .. }] => format!("{strategy} {id}"),
        items => format!("{} items", items.len()),
    }
}

fn checked(item: PreloadItem) -> Result<Item, String> {
    match item {
        PreloadItem { floor: Some(floor), building: None, strategy: None, id: None } => {
            RoomId::new(&floor).map(Item::Floor).map_err(|error| error.to_string())
        }
        PreloadItem { floor: None, building: Some(building), strategy: None, id: None } => {
            BuildingId::new(&building).map(Item::Building).map_err(|error| error.to_string())
        }
        PreloadItem { floor: None, building: None, strategy: Some(name), id: Some(id) } => {
            if !strategy::is_name(&name) {
                return Err(format!("{name:?} cannot name a strategy"));
            }
            let id = EntryId::new(&id).map_err(|error| error.to_string())?;
            Ok(Item::Entry { strategy: name.into(), id })
        }
        _ => Err("an item has either floor, or building, or strategy and id".into()),
    }
}

fn floors(server: &Server, building: &BuildingId) -> Result<Vec<Item>, Failure> {
    let known = server.context.directory.building(building);
    let known = known.ok_or_else(|| {
        Failure::new(Code::BuildingNotFound, format!("the building {:?} is not in the directory", building.as_str()))
    })?;
    Ok(known.floors.iter().map(|floor| Item::Floor(floor.clone())).collect())
}
