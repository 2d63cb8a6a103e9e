//! `arxosrt preload explain` and `model`: what the preloader expects of a person, and how well it has done so far.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::preload::{CandidateRow, ExplainRow, ModelRow, SourceRow};

use crate::args::Format;
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::rows::Row;
use crate::output::table::{Column, left, right};
use crate::output::text::{bytes, span};
use crate::output::{Output, read};

/// From how many trials on a share of them says something.
const TRIALS_TOLD_LEAST: u64 = 30;

type Fields = Vec<(&'static str, String)>;

pub(super) async fn user(mut client: Client, user: &str, output: &mut Output) -> Result<Exit, Failure> {
    let document = client.document(&path(&["preload", "users", user])).await?;
    output.document(
        &document,
        |row: &ExplainRow| row.user_id.clone(),
        |row: &ExplainRow| {
            vec![
                ("user", row.user_id.clone()),
                ("floor", format!("{}, {} ago", row.floor_id, span(row.ago_ms))),
                ("holdout", if row.holdout { "yes: nothing is loaded ahead in this session" } else { "no" }.into()),
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
    let uplift = match (row.uplift, row.uplift_error) {
        (Some(uplift), Some(error)) => format!("{:+.1} points of hits, ± {:.1}", uplift * 100.0, error * 100.0),
        _ => "not known yet".to_owned(),
    };
    let mut fields = vec![
        ("loading", format!("{loads}, {} under way, {} wait to be used", row.loading, row.unused)),
        ("learned", format!("{} contexts, {}", row.contexts, bytes(row.bytes))),
        ("sessions", row.sessions.to_string()),
        ("signals", format!("{}, {} dropped", row.signals, row.signals_dropped)),
        ("budget", format!("{} left, thresholds raised by {}", bytes(row.budget_left_bytes), percent(row.raised))),
        ("recall", maybe(row.recall)),
        ("uplift", format!("{uplift}; {:.1} % of sessions go without", f64::from(row.holdout_permille) / 10.0)),
        ("saved", row.saved_at.clone().unwrap_or_else(|| "-".into())),
    ];
    fields.extend(row.calibration.iter().filter(|bin| bin.trials > 0).map(|bin| {
        let what_came = match bin.trials {
            few @ ..TRIALS_TOLD_LEAST => format!("{few} times, too few to tell"),
            trials => format!("came true in {} of {trials}", percent(bin.observed)),
        };
        ("said", format!("{}, {what_came}", percent(bin.predicted)))
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
        let what = match &self.strategy {
            Some(strategy) => format!("{} {strategy}", self.floor_id),
            None => self.floor_id.clone(),
        };
        vec![
            what,
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
        right("PROPOSED"),
        right("USED"),
        right("LATE"),
        right("WASTED"),
        right("PRECISION"),
        right("SAVED"),
        right("BYTES"),
    ];

    fn id(&self) -> &str {
        &self.source
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.source.clone(),
            if self.on { "on" } else { "watched" }.to_owned(),
            self.proposed.to_string(),
            self.used.to_string(),
            self.late.to_string(),
            self.wasted.to_string(),
            maybe(self.precision),
            span(self.saved_ms),
            bytes(self.bytes),
        ]
    }
}
