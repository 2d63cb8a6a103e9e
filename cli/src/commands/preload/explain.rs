//! `arxosrt preload explain` and `model`: what the preloader expects of a person, and how well it has done so far.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::preload::{CandidateRow, ExplainRow, ModelRow, SourceRow};

use crate::args::Format;
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::rows::Row;
use crate::output::table::{Column, left, right};
use crate::output::text::span;
use crate::output::{Output, read};

type Fields = Vec<(&'static str, String)>;

pub(super) async fn user(mut client: Client, user: &str, output: &mut Output) -> Result<Exit, Failure> {
    let document = client.document(&path(&["preload", "users", user])).await?;
    output.document(
        &document,
        |row: &ExplainRow| row.user_id.clone(),
        |row: &ExplainRow| {
            vec![
                ("user", row.user_id.clone()),
                ("floor", row.floor_id.clone().unwrap_or_else(|| "-".into())),
                ("holdout", if row.holdout { "yes: nothing is loaded ahead for this person" } else { "no" }.into()),
            ]
        },
    )?;
    if output.format() == Format::Table {
        let row: ExplainRow = read(&document.object)?;
        output.line("")?;
        output.table(&row.candidates)?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn model(mut client: Client, output: &mut Output) -> Result<Exit, Failure> {
    let document = client.document(&path(&["preload", "model"])).await?;
    output.document(&document, |_: &ModelRow| "preload".to_owned(), fields)?;
    if output.format() == Format::Table {
        let row: ModelRow = read(&document.object)?;
        output.line("")?;
        output.table(&row.sources)?;
    }
    Ok(Exit::Ok)
}

fn fields(row: &ModelRow) -> Fields {
    let loads = match (&row.paused, row.enabled) {
        (_, false) => "switched off".to_owned(),
        (Some(why), true) => format!("paused: {why}"),
        (None, true) => "on".to_owned(),
    };
    let held = &row.holdout;
    let uplift =
        held.uplift.map_or_else(|| "not known yet".to_owned(), |uplift| format!("{:+.1} points", uplift * 100.0));
    let mut fields = vec![
        ("loading", loads),
        ("contexts", format!("{} of at most {}", row.contexts, row.contexts_max)),
        ("people", row.users.to_string()),
        ("signals", format!("{}, {} dropped", row.signals, row.signals_dropped)),
        ("saved", row.saved_at.clone().unwrap_or_else(|| "-".into())),
        ("with it", format!("{} of {} first reads had an answer", held.hits, held.reads)),
        ("without", format!("{} of {}, {} of people", held.held_out_hits, held.held_out_reads, percent(held.share))),
        ("uplift", uplift),
    ];
    fields.extend(row.calibration.iter().filter(|bin| bin.count > 0).map(|bin| {
        let said = format!("{} to {}", percent(bin.from), percent(bin.to));
        ("said", format!("{said}, was {} of {}", percent(bin.observed), bin.count))
    }));
    fields
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn maybe(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), percent)
}

impl Row for CandidateRow {
    const COLUMNS: &'static [Column] =
        &[left("FLOOR"), right("LIKELY"), right("MODEL"), left("SOURCE"), left("VERDICT"), left("WHY")];

    fn id(&self) -> &str {
        &self.floor_id
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.floor_id.clone(),
            percent(self.probability),
            percent(self.raw),
            self.source.clone(),
            self.verdict.clone(),
            self.why.clone(),
        ]
    }
}

impl Row for SourceRow {
    const COLUMNS: &'static [Column] = &[
        left("SOURCE"),
        left("STATE"),
        right("LOADED"),
        right("USED"),
        right("LATE"),
        right("WASTED"),
        right("PRECISION"),
        right("RECALL"),
        right("SAVED"),
    ];

    fn id(&self) -> &str {
        &self.source
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.source.clone(),
            if self.on { "on" } else { "watched" }.to_owned(),
            self.loaded.to_string(),
            self.used.to_string(),
            self.late.to_string(),
            self.wasted.to_string(),
            maybe(self.precision),
            maybe(self.recall),
            span(self.saved_ms),
        ]
    }
}
