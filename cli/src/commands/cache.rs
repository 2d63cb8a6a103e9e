//! `arxosrt cache …`: what is kept near, without its values unless one is asked for by name.
//!
//! Forgetting one entry or one floor costs a load and is done at once; what makes many people wait for the origin at the
//! same time is shown and asked about first, with the number of entries that the daemon counts.

pub(super) mod replay;

use arxosrt_core::control::cache::{
    CacheEntryRow, CacheStats, CacheStrategyRow, Evicted, InvalidateRequest, InvalidatedRow, WarmRequest,
};
use arxosrt_core::control::code::Exit;
use hyper::Method;

use super::preload::{ended, order};
use crate::args::{Cache, Format, Global};
use crate::client::{Client, path};
use crate::confirm::{Answer, confirm};
use crate::error::Failure;
use crate::output::rows::Row;
use crate::output::table::{Column, left, right};
use crate::output::text::{bytes, span};
use crate::output::{Output, read};

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    command: &Cache,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Cache::Replay(replay) => return replay::run(replay, output),
        Cache::Stats => stats(&mut client, output).await?,
        Cache::List { strategy, floor, building, limit } => {
            let given = [("strategy", strategy), ("floor", floor), ("building", building)];
            let narrowed: Vec<(&str, &str)> =
                given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
            let most = limit.map_or(usize::MAX, |limit| limit as usize);
            let list = client.pages(&path(&["cache", "entries"]), &narrowed, "cursor", most).await?;
            output.list(list, |_: &CacheEntryRow| true)?;
        }
        Cache::Show { strategy, id } => {
            let document = client.document(&path(&["cache", "entries", strategy, id])).await?;
            output.document(&document, |row: &CacheEntryRow| row.id.clone(), fields)?;
        }
        Cache::Get { strategy, id } => {
            let value = client.bytes(&path(&["cache", "entries", strategy, id, "value"])).await?;
            // On a terminal it is shown as text; a pipe gets the very bytes.
            output.value(&value)?;
        }
        Cache::Invalidate { strategy, id, floor, building, all, dry_run } => {
            let request = InvalidateRequest {
                strategy: strategy.clone(),
                id: id.clone(),
                floor: floor.clone(),
                building: building.clone(),
                all: *all,
                dry_run: *dry_run,
                reason: global.reason.clone(),
            };
            invalidate(&mut client, global, request, output).await?;
        }
        Cache::Warm { wait } => {
            let request = WarmRequest { reason: global.reason.clone() };
            let ordered = order(&mut client, "cache/warm", &request).await?;
            return ended(client, ordered, *wait, output).await;
        }
    }
    Ok(Exit::Ok)
}

async fn stats(client: &mut Client, output: &mut Output) -> Result<(), Failure> {
    let document = client.document(&format!("{}/cache-stats", path(&[]))).await?;
    let stats: CacheStats = read(&document.object)?;
    if output.format() != Format::Table {
        return output.document(&document, |_: &CacheStats| "cache".to_owned(), |_| Vec::new());
    }
    output.fields(&[
        ("entries", stats.entries.to_string()),
        ("bytes", format!("{} of at most {}", bytes(stats.bytes), bytes(stats.bytes_max))),
        ("loading", stats.loading.to_string()),
        ("shared", stats.shared.clone()),
    ])?;
    output.line("")?;
    output.table(&stats.strategies)
}

async fn invalidate(
    client: &mut Client,
    global: &Global,
    request: InvalidateRequest,
    output: &mut Output,
) -> Result<(), Failure> {
    let at = path(&["cache", "invalidate"]);
    let is_wide = request.all || request.building.is_some() || (request.strategy.is_some() && request.id.is_none());
    if is_wide && !request.dry_run && !global.yes {
        let asked = InvalidateRequest { dry_run: true, ..request.clone() };
        let outlook: InvalidatedRow = read(&client.change(Method::POST, &at, None, &asked).await?.object)?;
        let what = format!(
            "forget {} ({}, to be loaded again when they are read next)",
            outlook.target,
            entries(outlook.count)
        );
        let answer = if request.all { Answer::Typed("all") } else { Answer::Yes };
        confirm(global, &what, answer)?;
    }
    let done = client.change(Method::POST, &at, None, &request).await?;
    let row: InvalidatedRow = read(&done.object)?;
    let verb = if row.dry_run { "would forget" } else { "forgot" };
    output.outcome(&done, &row.target, &format!("{verb} {}: {}", row.target, entries(row.count)))
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn fields(row: &CacheEntryRow) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("strategy", row.strategy.clone()),
        ("id", row.id.clone()),
        ("held", row.held.clone()),
        ("state", row.state.clone()),
    ];
    if let Some(why) = &row.why {
        fields.push(("why", why.clone()));
    }
    if row.held != "none" {
        fields.extend([
            ("bytes", bytes(row.bytes)),
            ("age", span(row.age_ms)),
            ("ttl left", span(row.ttl_left_ms)),
            ("current", if row.current { "yes" } else { "no: a group of it was made invalid" }.to_owned()),
            ("hits", row.hits.to_string()),
        ]);
    }
    if let Some(by) = &row.preloaded_by {
        fields.push(("preloaded", format!("by {by}")));
    }
    fields.extend(row.tags.iter().map(|tag| ("tag", tag.clone())));
    fields
}

impl Row for CacheEntryRow {
    const COLUMNS: &'static [Column] = &[
        left("STRATEGY"),
        left("ID"),
        left("STATE"),
        right("BYTES"),
        right("AGE"),
        right("TTL"),
        right("HITS"),
        left("PRELOADED"),
    ];

    fn id(&self) -> &str {
        &self.id
    }

    /// What `arxosrt cache show` takes.
    fn name(&self) -> String {
        format!("{} {}", self.strategy, self.id)
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.strategy.clone(),
            self.id.clone(),
            self.state.clone(),
            bytes(self.bytes),
            span(self.age_ms),
            span(self.ttl_left_ms),
            self.hits.to_string(),
            self.preloaded_by.clone().unwrap_or_default(),
        ]
    }
}

impl Row for CacheStrategyRow {
    const COLUMNS: &'static [Column] = &[
        left("STRATEGY"),
        right("TTL"),
        right("ENTRIES"),
        right("BYTES"),
        right("HIT%"),
        right("LOCAL"),
        right("SHARED"),
        right("MISSES"),
        right("STALE"),
        right("LOADS"),
        right("FAILED"),
        right("MS"),
        right("EVICTED"),
        right("PRELOADED"),
        right("USED"),
    ];

    fn id(&self) -> &str {
        &self.strategy
    }

    fn cells(&self) -> Vec<String> {
        let Evicted { space, items, .. } = self.evicted;
        let maybe =
            |figure: Option<f64>, scale: f64| figure.map_or_else(|| "-".into(), |f| format!("{:.1}", f * scale));
        vec![
            self.strategy.clone(),
            span(self.ttl_ms),
            self.entries.to_string(),
            bytes(self.bytes),
            maybe(self.hit_ratio, 100.0),
            self.hits_local.to_string(),
            self.hits_shared.to_string(),
            self.misses.to_string(),
            self.stale.to_string(),
            self.loads.to_string(),
            self.loads_failed.to_string(),
            maybe(self.load_ms, 1.0),
            (space + items).to_string(),
            self.preloaded.to_string(),
            self.preloaded_used.to_string(),
        ]
    }
}
