//! The cache for operators: figures, entries, one value by its name, and making things invalid.
//!
//! Entries are told without their values. A value is given by name only, to those who may operate, and never one that is
//! sensitive. What is made invalid is put on record before it is: raising a generation cannot fail, so there is no record
//! of what did not happen.

use std::sync::Arc;
use std::time::Duration;

use arxosrt_core::cache::{Cursor, EntryId, Filter, Reason, StrategyId, Summary, Tag};
use arxosrt_core::control::cache::{
    CacheEntryRow, CacheStats, CacheStrategyRow, Evicted, InvalidateRequest, InvalidatedRow, WarmRequest,
};
use arxosrt_core::control::code::Code;
use arxosrt_core::id::{BuildingId, RoomId};
use arxosrt_core::preload::Source;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use serde::Deserialize;

use super::changes::{Deed, check_reason};
use super::extract::{Input, Operating, Params, Viewer};
use super::failure::Failure;
use super::routes::{document, respond};
use super::server::Server;
use super::{ASK_TIMEOUT, PAGE_DEFAULT, PAGE_MAX, jobs};
use crate::cache::{Cache, CacheError, Invalidation, StrategyFigures, Want};
use crate::jobs::{Item, Kind, Order};

type Answer = Result<Response, Failure>;
type Shared = State<Arc<Server>>;

/// How long a value may take that has to be loaded for an operator.
const VALUE_PATIENCE: Duration = ASK_TIMEOUT;

/// Entries that are looked at without letting others at them.
const LOOKED_AT: usize = 256;

/// `GET /v1/cache-stats`.
pub(super) async fn stats(State(server): Shared, _: Viewer) -> Answer {
    let cache = &server.context.cache;
    let figures = cache.stats();
    let shared = match figures.shared_is_up {
        None => "off",
        Some(true) => "up",
        Some(false) => "degraded",
    };
    document(
        "CacheStats",
        CacheStats {
            entries: figures.entries,
            bytes: figures.bytes,
            bytes_max: figures.bytes_max,
            loading: figures.loading,
            shared: shared.into(),
            strategies: figures.strategies.iter().map(|figures| strategy_row(cache, figures)).collect(),
        },
    )
}

fn strategy_row(cache: &Cache, figures: &StrategyFigures) -> CacheStrategyRow {
    let strategy = cache.strategies().get(figures.strategy);
    let (hits, misses) = (figures.hits(), figures.misses());
    let ratio = |part: f64, of: u64| (of > 0).then(|| part / of as f64);
    let left = |reason| figures.local.left.of(reason);
    CacheStrategyRow {
        strategy: figures.name.to_string(),
        priority: strategy.priority.as_str().into(),
        ttl_ms: strategy.ttl_ms,
        sensitive: strategy.is_sensitive,
        entries: figures.local.entries,
        bytes: figures.local.bytes,
        hits_local: figures.local.hits + figures.local.soft,
        hits_shared: figures.shared_hits,
        misses,
        hit_ratio: ratio(hits as f64, hits + misses),
        negative: figures.local.negative,
        stale: figures.stale,
        loads: figures.loads,
        loads_failed: figures.load_failures,
        load_ms: ratio(figures.load_us as f64 / 1000.0, figures.loads),
        evicted: Evicted {
            space: left(Reason::Space),
            items: left(Reason::Items),
            expired: left(Reason::Expired),
            invalidated: left(Reason::Invalidated) + left(Reason::Removed),
            replaced: left(Reason::Replaced),
        },
        preloaded: figures.local.preloaded,
        preloaded_used: figures.local.preloaded_used,
        preloaded_wasted: figures.local.preloaded_wasted.total(),
    }
}

/// The query of `GET /v1/cache/entries`. Everything that is given must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    strategy: Option<String>,
    floor: Option<String>,
    building: Option<String>,
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// `GET /v1/cache/entries`: what this process holds. An entry that comes or goes between two pages may be missed; none
/// is told twice unless it moved.
pub(super) async fn list(State(server): Shared, _: Viewer, Params(wanted): Params<Wanted>) -> Answer {
    let cache = &server.context.cache;
    let limit = match wanted.limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_MAX => limit,
        limit => return Err(Failure::new(Code::BadRequest, format!("limit is 1 to {PAGE_MAX}, not {limit}"))),
    };
    let tag = match (&wanted.floor, &wanted.building) {
        (Some(_), Some(_)) => return Err(Failure::new(Code::BadRequest, "either a floor or a building")),
        (Some(floor), None) => Some(Tag::floor(&id(floor, RoomId::new)?)),
        (None, Some(building)) => Some(Tag::building(&id(building, BuildingId::new)?)),
        (None, None) => None,
    };
    let strategy = wanted.strategy.as_deref().map(|name| strategy(cache, name)).transpose()?;
    let filter = Filter { strategy, tag };
    let mut from = Some(cursor(wanted.cursor.as_deref())?);
    let mut rows = Vec::new();
    while let Some(at) = from
        && rows.len() < limit
    {
        let (page, next) = cache.list(at, (limit - rows.len()).min(LOOKED_AT), &filter);
        rows.extend(page.iter().map(|summary| entry_row(cache, summary)));
        from = next;
        // Between two pieces others may run.
        tokio::task::yield_now().await;
    }
    respond("CacheEntry", rows, from.map(|Cursor { shard, slot }| format!("{shard}.{slot}")))
}

fn cursor(text: Option<&str>) -> Result<Cursor, Failure> {
    let Some(text) = text else { return Ok(Cursor::default()) };
    let parts = text.split_once('.').and_then(|(shard, slot)| Some((shard.parse().ok()?, slot.parse().ok()?)));
    match parts {
        Some((shard, slot)) => Ok(Cursor { shard, slot }),
        None => Err(Failure::new(Code::BadRequest, format!("{text:?} is not a cursor of this list"))),
    }
}

/// `GET /v1/cache/entries/{strategy}/{id}`: where it is and how it fares, or why it is not there.
pub(super) async fn show(State(server): Shared, _: Viewer, Path((name, text)): Path<(String, String)>) -> Answer {
    let cache = &server.context.cache;
    let (at, id) = (strategy(cache, &name)?, id(&text, EntryId::new)?);
    let definition = cache.strategies().get(at);
    let row = match cache.peek(at, &id) {
        Some(summary) => entry_row(cache, &summary),
        None => {
            let why = match (definition.is_sensitive, cache.shared_is_up()) {
                (true, Some(true)) => "values of this strategy are kept in the shared tier only and are not shown",
                (true, _) => "values of this strategy are kept in the shared tier only, which cannot be reached",
                (false, Some(_)) => "this process does not hold it; the shared tier may",
                (false, None) => "it was not read since the start, or has gone",
            };
            let tags = cache.place(at, &id).tags.iter().map(Tag::to_string).collect();
            CacheEntryRow {
                strategy: name,
                id: text,
                held: "none".into(),
                state: "none".into(),
                why: Some(why.into()),
                tags,
                ..CacheEntryRow::default()
            }
        }
    };
    document("CacheEntry", row)
}

/// `GET /v1/cache/entries/{strategy}/{id}/value`: the value, byte for byte, loaded if it is not there.
pub(super) async fn value(State(server): Shared, _: Operating, Path((name, text)): Path<(String, String)>) -> Answer {
    let cache = &server.context.cache;
    let (at, id) = (strategy(cache, &name)?, id(&text, EntryId::new)?);
    if cache.strategies().get(at).is_sensitive {
        return Err(Failure::new(Code::Refused, format!("values of {name} are sensitive: they are shown to nobody")));
    }
    let value =
        cache.get(at, &id, Want { user: None, patience: VALUE_PATIENCE }).await.map_err(|error| match error {
            CacheError::NotThere => Failure::new(Code::EntryNotFound, format!("the origin has no {name} {text:?}")),
            error => Failure::new(Code::Refused, error.to_string()),
        })?;
    let mut response = Response::new(Body::from(value.bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `POST /v1/cache/invalidate`.
pub(super) async fn invalidate(
    State(server): Shared,
    Operating(peer): Operating,
    Input(request): Input<InvalidateRequest>,
) -> Answer {
    let cache = &server.context.cache;
    let (what, target) = named(cache, &request)?;
    let reason = request.reason.map(check_reason).transpose()?;
    if request.dry_run {
        let count = count(cache, &what).await;
        return document(
            "Invalidated",
            InvalidatedRow { target, count, dry_run: true, audited: false, audit_id: None },
        );
    }
    let deed = Deed { action: "cache.invalidate", target, reason };
    let audit_id = jobs::record(&server, &peer, &deed, None).await?;
    // What was invalid already is not made so once more, and is not counted.
    let count = count(cache, &what).await;
    cache.invalidate(&what);
    let target = deed.target;
    document("Invalidated", InvalidatedRow { target, count, dry_run: false, audited: true, audit_id })
}

fn named(cache: &Cache, request: &InvalidateRequest) -> Result<(Invalidation, String), Failure> {
    let InvalidateRequest { strategy: name, id: text, floor, building, all, .. } = request;
    match (name, text, floor, building, all) {
        (Some(name), Some(text), None, None, false) => {
            let key = Invalidation::Key(strategy(cache, name)?, id(text, EntryId::new)?);
            Ok((key, format!("{name} {text}")))
        }
        (Some(name), None, None, None, false) => {
            Ok((Invalidation::Strategy(strategy(cache, name)?), format!("strategy {name}")))
        }
        (None, None, Some(floor), None, false) => {
            Ok((Invalidation::Floor(id(floor, RoomId::new)?), format!("floor {floor}")))
        }
        (None, None, None, Some(building), false) => {
            Ok((Invalidation::Building(id(building, BuildingId::new)?), format!("building {building}")))
        }
        (None, None, None, None, true) => Ok((Invalidation::All, "all".into())),
        _ => Err(Failure::new(Code::BadRequest, "exactly one of strategy (with or without id), floor, building, all")),
    }
}

/// How many entries it would touch.
async fn count(cache: &Cache, what: &Invalidation) -> u64 {
    let filter = match what {
        Invalidation::Key(strategy, id) => {
            return u64::from(cache.peek(*strategy, id).is_some_and(|summary| summary.is_current));
        }
        Invalidation::Strategy(strategy) => Filter { strategy: Some(*strategy), tag: None },
        Invalidation::Floor(floor) => Filter { strategy: None, tag: Some(Tag::floor(floor)) },
        Invalidation::Building(building) => Filter { strategy: None, tag: Some(Tag::building(building)) },
        Invalidation::All => Filter::default(),
    };
    let (mut count, mut from) = (0, Some(Cursor::default()));
    while let Some(at) = from {
        let (page, next) = cache.list(at, LOOKED_AT, &filter);
        count += page.iter().filter(|summary| summary.is_current).count() as u64;
        from = next;
        tokio::task::yield_now().await;
    }
    count
}

/// `POST /v1/cache/warm`: a job of what was in use.
pub(super) async fn warm(
    State(server): Shared,
    Operating(peer): Operating,
    Input(WarmRequest { reason }): Input<WarmRequest>,
) -> Answer {
    let reason = reason.map(check_reason).transpose()?.map(Into::into);
    let hot = server.context.hot.clone();
    let hot =
        hot.ok_or_else(|| Failure::new(Code::Refused, "what is hot is not kept: cache.warm, or a data directory"))?;
    let names = tokio::task::spawn_blocking(move || hot.names()).await;
    let names = match names {
        Ok(Ok(names)) => names,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = "nothing is known to have been hot: names are saved every few minutes and at the stop, and this \
                           data directory has none yet";
            return Err(Failure::new(Code::Refused, message));
        }
        Ok(Err(error)) => return Err(Failure::new(Code::Refused, format!("what was hot is not known: {error}"))),
        Err(error) => return Err(Failure::new(Code::Internal, error.to_string())),
    };
    let target = format!("{} entries that were hot", names.len()).into();
    let items = names.into_iter().map(|(strategy, id)| Item::Entry { strategy, id }).collect();
    let by = peer.actor().into();
    jobs::order(&server, &peer, "cache.warm", Order { kind: Kind::Warm, target, by, reason, items, if_missing: true })
        .await
}

fn strategy(cache: &Cache, name: &str) -> Result<StrategyId, Failure> {
    cache.strategies().find(name).ok_or_else(|| {
        let known: Vec<&str> = cache.strategies().iter().map(|(_, strategy)| &*strategy.name).collect();
        Failure::new(Code::StrategyNotFound, format!("there is no strategy {name:?}"))
            .hint(format!("there are {}", known.join(" ")))
    })
}

fn id<T, E: std::fmt::Display>(text: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, Failure> {
    parse(text).map_err(|error| Failure::new(Code::BadRequest, error.to_string()))
}

fn entry_row(cache: &Cache, summary: &Summary) -> CacheEntryRow {
    let state = match (summary.is_current, summary.left_ms, summary.is_negative) {
        (false, ..) => "outdated",
        (true, 0, _) => "stale",
        (true, _, true) => "negative",
        (true, _, false) => "fresh",
    };
    CacheEntryRow {
        strategy: cache.strategies().get(summary.key.strategy).name.to_string(),
        id: summary.key.id.to_string(),
        held: "local".into(),
        state: state.into(),
        why: None,
        bytes: summary.weight,
        age_ms: summary.age_ms,
        ttl_left_ms: summary.left_ms,
        tags: summary.tags.iter().map(Tag::to_string).collect(),
        current: summary.is_current,
        hits: summary.uses.into(),
        preloaded_by: summary.unused_source.map(source_name),
    }
}

/// What the preloader calls a source.
fn source_name(number: u8) -> String {
    Source::of_number(number).map_or_else(|| number.to_string(), |source| source.as_str().to_owned())
}
