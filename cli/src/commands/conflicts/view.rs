//! How do a conflict, its outcome and the figures look on a terminal? Lines of name and value; both sides by name.

use arxosrt_core::control::conflict::{BySeverity, ConflictRow, ConflictStats, DisputedPath, ResolvedRow};
use serde_json::value::RawValue;

use crate::output::text::span;

type Fields = Vec<(&'static str, String)>;

/// A conflict, path by path.
pub(super) fn conflict(row: &ConflictRow) -> Fields {
    let mut fields = vec![
        ("conflict", format!("{} (revision {})", row.conflict_id, row.revision)),
        ("resource", format!("{} in {}", row.resource_id, row.rooms.join(" "))),
        ("severity", format!("{}, {}", row.severity, row.conflict_type)),
        ("status", status(row)),
        ("committed", format!("{} ({})", row.username_1, row.user_id_1)),
        ("waits", format!("{} ({})", row.username_2, row.user_id_2)),
        ("found", format!("{} by {}, at version {}", row.created_at, row.source, row.version)),
        ("says", row.description.clone()),
    ];
    fields.extend(row.paths.iter().flat_map(|disputed| path(row, disputed)));
    fields
}

fn status(row: &ConflictRow) -> String {
    let mut status = row.status.clone();
    if let Some(at) = &row.escalated_at {
        status.push_str(&format!(", operators are wanted since {at}"));
    }
    if let Some(ms) = row.decided_in_ms {
        status.push_str(&format!(", the two have {} left", span(ms)));
    }
    if let (Some(word), Some(by)) = (&row.resolution, &row.resolved_by) {
        status.push_str(&format!(": {word} by {by}"));
    }
    for (word, text) in [("at", &row.resolved_at), ("because", &row.reason)] {
        if let Some(text) = text {
            status.push_str(&format!(" {word} {text}"));
        }
    }
    status
}

fn path(row: &ConflictRow, disputed: &DisputedPath) -> Fields {
    let DisputedPath { path, fields, conflict_type, severity, .. } = disputed;
    let unit = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(" ")) };
    // The whole document has the empty path.
    let path = if path.is_empty() { "the whole" } else { path };
    let says = |name: &str, value: &RawValue| format!("{name}: {}", value.get());
    let mut lines = vec![
        ("path", format!("{path}{unit}, {severity}, {conflict_type}")),
        ("  base", disputed.base.get().to_owned()),
        ("  first", says(&row.username_1, &disputed.value_1)),
        ("  second", says(&row.username_2, &disputed.value_2)),
        ("  now", disputed.current.get().to_owned()),
    ];
    if let Some(kept) = &disputed.kept {
        lines.push(("  kept", kept.clone()));
    }
    lines
}

/// What a resolution would do.
pub(super) fn outlook(done: &ResolvedRow) -> Fields {
    let mut fields = vec![("conflict", done.conflict_id.clone()), ("resource", done.resource_id.clone())];
    match done.changes.is_empty() {
        true => fields.push(("changes", "none: the document stays as it is".to_owned())),
        false => fields.extend(done.changes.iter().map(|change| ("would", change.get().to_owned()))),
    }
    fields.push(("version", format!("would be {}", done.version)));
    fields
}

/// The figures.
pub(super) fn stats(stats: &ConflictStats) -> Fields {
    let ConflictStats { opened, settled, forecast, .. } = stats;
    let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
    let score = |score: Option<f64>| score.map_or_else(|| "-".to_owned(), |score| format!("{score:.4}"));
    let BySeverity { low, medium, high, critical } = opened;
    let shown = if forecast.shown { "shown" } else { "not shown" };
    let mut fields = vec![
        ("open", stats.open.to_string()),
        ("escalated", stats.escalated.to_string()),
        ("edits", format!("{}, {} merged without a dispute", stats.edits, stats.merged)),
        ("auto-merge", ratio(stats.auto_merge_ratio)),
        ("found", format!("{low} low, {medium} medium, {high} high, {critical} critical")),
        (
            "settled",
            format!(
                "{} by people, {} by operators, {} by timeout, {} by rules",
                settled.people, settled.operators, settled.timeout, settled.rules
            ),
        ),
        ("mean time", stats.mean_settle_ms.map_or_else(|| "-".to_owned(), span)),
        ("restored", stats.restored.to_string()),
        (
            "forecast",
            format!(
                "{} judged, Brier {} against {} of the base rate, {shown}",
                forecast.judged,
                score(forecast.brier),
                score(forecast.base_brier)
            ),
        ),
    ];
    fields.extend(
        stats.hot_paths.iter().map(|hot| ("hot path", format!("{} {} {}", hot.conflicts, hot.resource_id, hot.path))),
    );
    fields
}
