//! The cache over REST: values by strategy and id, and what existing clients ask about floors.
//!
//! A value is answered as it is, JSON as the origin has it, without an envelope and without `timestamp`: its headers say
//! the rest. `ETag` is made of the bytes, `Age` and `Cache-Control` of its time here, and `x-arxosrt-cache` says who had
//! it. Refusals have the one shape that all have.

use std::time::Duration;

use arxosrt_core::cache::{EntryId, StrategyId};
use arxosrt_core::id::{RoomId, UserId};
use arxosrt_core::wire::json::deeper_than;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::super::Context;
use super::super::answer::{Problem, shortened, stamped};
use super::super::input::{Input, read_body};
use super::Answer;
use super::view::Done;
use crate::cache::{CacheError, CacheFigures, Invalidation, ServedFrom, StrategyFigures, Value, Want, WriteIf};
use crate::http::HttpContext;
use crate::origin::fetch::FetchError;

/// Says who had a value.
static SERVED_FROM: HeaderName = HeaderName::from_static("x-arxosrt-cache");

type ValuePath = Result<Path<(String, String)>, PathRejection>;

/// Who asks, for the preloader.
#[derive(Deserialize)]
pub(super) struct Asker {
    user_id: Option<String>,
}

/// `GET /cache/{strategy}/{id}`: whoever has this version already is told so without it.
pub(super) async fn get(
    State(context): State<Context>,
    path: ValuePath,
    asker: Result<Query<Asker>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let (strategy, id) = value_path(&context, path)?;
    let Query(asker) = asker.map_err(|error| Problem::wrong_fields(vec![format!("query: {}", error.body_text())]))?;
    let user = match asker.user_id.as_deref().map(UserId::new).transpose() {
        Ok(user) => user,
        Err(error) => return Err(Problem::wrong_fields(vec![format!("query -> user_id: {error}")])),
    };
    let want = Want { user, patience: patience(&context) };
    let value = context.cache.get(strategy, &id, want).await.map_err(problem)?;
    let list = joined(&headers, header::IF_NONE_MATCH);
    let is_known = list.is_some_and(|list| value.etag.is_named_in(&list, true));
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "application/json")], value.bytes.clone()).into_response(),
    };
    describe(response.headers_mut(), &value);
    if context.cache.strategies().get(strategy).is_sensitive {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

/// `PUT /cache/{strategy}/{id}`: the body is the value.
pub(super) async fn put(State(context): State<Context>, path: ValuePath, request: Request) -> Answer {
    let (strategy, id) = value_path(&context, path)?;
    let headers = request.headers();
    if let Some(kind) = headers.get(header::CONTENT_TYPE)
        && !is_json(kind)
    {
        let kind = shortened(&String::from_utf8_lossy(kind.as_bytes()));
        return Err(Problem::new("unsupported_media_type", format!("a value is application/json, not {kind}")));
    }
    let condition = match (joined(headers, header::IF_MATCH), joined(headers, header::IF_NONE_MATCH)) {
        (Some(list), _) => WriteIf::Matches(list),
        (None, Some(list)) if list.trim() == "*" => WriteIf::Absent,
        (None, Some(_)) => {
            return Err(Problem::new("bad_request", "a write takes `If-None-Match: *` or `If-Match`"));
        }
        (None, None) => WriteIf::Always,
    };
    let bytes = read_body(request, &context.limits).await?;
    let text =
        std::str::from_utf8(&bytes).map_err(|error| Problem::new("invalid_json", format!("the value: {error}")))?;
    if deeper_than(text, context.limits.json_depth_max) {
        let message = format!("the value nests more than {} arrays and objects", context.limits.json_depth_max);
        return Err(Problem::new("too_deep", message));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| Problem::new("invalid_json", format!("the value is not JSON: {error}")))?;
    let written = context.cache.put(strategy, &id, bytes, condition, patience(&context)).await.map_err(problem)?;
    let body = WrittenBody {
        success: true,
        message: "Value set",
        etag: written.etag.to_string(),
        in_origin: written.is_in_origin,
    };
    let mut response = stamped(body);
    response.headers_mut().insert(header::ETAG, etag_value(&written.etag.to_string()));
    Ok(response)
}

/// `DELETE /cache/{strategy}/{id}`: the cache forgets the value; the origin keeps what it has.
pub(super) async fn delete(State(context): State<Context>, path: ValuePath) -> Answer {
    let (strategy, id) = value_path(&context, path)?;
    let removed = context.cache.delete(strategy, &id).await.map_err(problem)?;
    let message = if removed { "Value removed" } else { "There was no value" };
    Ok(stamped(Removed { success: true, message, removed }))
}

/// `GET /cache-stats`.
pub(super) async fn stats(State(context): State<Context>) -> Answer {
    Ok(stamped(StatsBody { cache_stats: Figures::of(&context.cache.stats()) }))
}

/// `POST /preload-floor`.
pub(super) async fn preload_floor(State(context): State<Context>, input: Input) -> Answer {
    let floor = floor(&input)?;
    (context.preload_floor)(&floor);
    Ok(stamped(Done::yes(format!("Floor data preloading initiated for: {floor}"))))
}

/// `POST /invalidate-floor-cache`.
pub(super) async fn invalidate_floor(State(context): State<Context>, input: Input) -> Answer {
    let floor = floor(&input)?;
    let count = context.cache.invalidate(&Invalidation::Floor(floor.clone())).count;
    let message = format!("Invalidated {count} cache entries for floor: {floor}");
    Ok(stamped(InvalidatedBody { success: true, message, count }))
}

#[derive(Serialize)]
struct WrittenBody {
    success: bool,
    message: &'static str,
    etag: String,
    /// The origin has taken it too.
    in_origin: bool,
}

#[derive(Serialize)]
struct Removed {
    success: bool,
    message: &'static str,
    removed: bool,
}

#[derive(Serialize)]
struct InvalidatedBody {
    success: bool,
    message: String,
    count: u64,
}

#[derive(Serialize)]
struct StatsBody<'a> {
    cache_stats: Figures<'a>,
}

/// The figures that existing clients read, and more.
#[derive(Serialize)]
struct Figures<'a> {
    hits: u64,
    misses: u64,
    hit_rate: f64,
    evictions: u64,
    preloads: u64,
    local_cache_size: u64,
    redis_connected: bool,
    bytes: u64,
    bytes_max: u64,
    loading: u64,
    strategies: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    strategy: &'a str,
    local_hits: u64,
    shared_hits: u64,
    negative_hits: u64,
    stale_served: u64,
    misses: u64,
    loads: u64,
    load_failures: u64,
    load_ms_mean: u64,
    evictions: u64,
    entries: u64,
    bytes: u64,
    preloaded: u64,
    preloaded_used: u64,
    preloaded_wasted: u64,
}

impl<'a> Figures<'a> {
    fn of(figures: &'a CacheFigures) -> Figures<'a> {
        Figures {
            hits: figures.sum(StrategyFigures::hits),
            misses: figures.sum(StrategyFigures::misses),
            hit_rate: figures.hit_rate(),
            evictions: figures.sum(StrategyFigures::evictions),
            preloads: figures.sum(|strategy| strategy.local.preloaded),
            local_cache_size: figures.entries,
            redis_connected: figures.shared_is_up == Some(true),
            bytes: figures.bytes,
            bytes_max: figures.bytes_max,
            loading: figures.loading,
            strategies: figures.strategies.iter().map(Row::of).collect(),
        }
    }
}

impl<'a> Row<'a> {
    fn of(figures: &'a StrategyFigures) -> Row<'a> {
        Row {
            strategy: &figures.name,
            local_hits: figures.local.hits + figures.local.soft,
            shared_hits: figures.shared_hits,
            negative_hits: figures.local.negative,
            stale_served: figures.stale,
            misses: figures.misses(),
            loads: figures.loads,
            load_failures: figures.load_failures,
            load_ms_mean: (figures.load_us / 1000).checked_div(figures.loads).unwrap_or(0),
            evictions: figures.evictions(),
            entries: figures.local.entries,
            bytes: figures.local.bytes,
            preloaded: figures.local.preloaded,
            preloaded_used: figures.local.preloaded_used,
            preloaded_wasted: figures.local.preloaded_wasted.total(),
        }
    }
}

fn floor(input: &Input) -> Result<RoomId, Problem> {
    let mut fields = input.fields();
    let floor = fields.id("floor_id", RoomId::new);
    fields.check()?;
    floor.ok_or_else(|| fields.problem())
}

/// Strategy and id, percent-decoded once.
fn value_path(context: &HttpContext, path: ValuePath) -> Result<(StrategyId, EntryId), Problem> {
    let wrong = |name: &str, what: String| Problem::wrong_fields(vec![format!("path -> {name}: {what}")]);
    let Path((strategy, id)) = path.map_err(|error| wrong("id", error.body_text()))?;
    let found = context.cache.strategies().find(&strategy);
    let found = found.ok_or_else(|| {
        let named = shortened(&strategy);
        Problem::new(
            "unknown_strategy",
            format!("there is no cache strategy {named}; cache-stats lists those there are"),
        )
    })?;
    Ok((found, EntryId::new(&id).map_err(|error| wrong("id", error.to_string()))?))
}

/// Shorter than the request's own time limit, so that the cache says itself what it waits for.
fn patience(context: &HttpContext) -> Duration {
    context.limits.request_timeout.mul_f64(0.9)
}

fn describe(headers: &mut HeaderMap, value: &Value) {
    headers.insert(header::ETAG, etag_value(&value.etag.to_string()));
    headers.insert(header::AGE, HeaderValue::from(value.age_ms / 1000));
    headers.insert(&SERVED_FROM, HeaderValue::from_static(value.from.as_str()));
    // It changes when somebody edits, so it may be kept and must be asked for again before it is used.
    let keep = if value.from == ServedFrom::Stale { "no-store" } else { "private, no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
}

fn etag_value(etag: &str) -> HeaderValue {
    HeaderValue::from_str(etag).expect("letters and digits in quotes are a header")
}

fn is_json(kind: &HeaderValue) -> bool {
    let kind = kind.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    kind == "application/json" || kind.starts_with("application/") && kind.ends_with("+json")
}

/// All values of a header, as one list.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn problem(error: CacheError) -> Problem {
    let code = match &error {
        CacheError::NotThere => "not_found",
        CacheError::NoSharedTier(_) => "cache_unavailable",
        CacheError::Busy(_) => "cache_busy",
        CacheError::Timeout(_) | CacheError::BrokeOff => "origin_unavailable",
        CacheError::Changed(_) => "value_changed",
        CacheError::TooLarge(..) => "too_large",
        CacheError::Origin(origin) => match origin {
            FetchError::NoSource => "not_found",
            FetchError::Timeout(_) | FetchError::Busy(_) | FetchError::Unavailable(_) => "origin_unavailable",
            FetchError::Denied(_) | FetchError::TooLarge(_) | FetchError::Malformed(_) => "bad_origin",
        },
    };
    Problem::new(code, error.to_string())
}
