//! A list that goes on: redrawn on a terminal, one line per change everywhere else.

use std::time::Duration;

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::{Line, LineType};
use tokio::time::Instant;

use crate::args::Format;
use crate::client::{Client, Lines};
use crate::error::Failure;
use crate::output::rows::Row;
use crate::output::{Output, read};

/// Between two pictures: what a slow terminal line still carries.
const FRAME: Duration = Duration::from_millis(250);

/// Follows `kind`; `keep` says which of its things.
pub(super) async fn watch<R: Row>(
    client: Client,
    kind: &str,
    keep: impl Fn(&R) -> bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let lines = client.stream(&format!("/v1/watch?kind={kind}")).await?;
    let result = if output.format() == Format::Table && output.is_terminal() {
        pictures(lines, keep, output).await
    } else {
        changes(lines, keep, output).await
    };
    ended(result)
}

/// A reader that goes away is how watching usually ends.
pub(super) fn ended(result: Result<(), Failure>) -> Result<Exit, Failure> {
    match result {
        Err(failure) if failure.exit == Exit::BrokenPipe => Ok(Exit::Ok),
        other => other.map(|()| Exit::Ok),
    }
}

/// The daemon's last word, as the end of a command that was meant to go on.
pub(super) fn said_bye(line: &Line) -> Failure {
    let reason = line.reason.as_deref().unwrap_or("no reason given");
    Failure::new(Exit::Unreachable, "bye", format!("the daemon ended the stream: {reason}"))
}

async fn changes<R: Row>(mut lines: Lines, keep: impl Fn(&R) -> bool, output: &mut Output) -> Result<(), Failure> {
    while let Some((text, line)) = lines.next().await? {
        if is_wanted(&line, &keep)? {
            output.json_line(&String::from_utf8_lossy(&text))?;
            output.flush()?;
        }
        if line.kind_of_line == LineType::Bye {
            return Err(said_bye(&line));
        }
    }
    Ok(())
}

fn is_wanted<R: Row>(line: &Line, keep: &impl Fn(&R) -> bool) -> Result<bool, Failure> {
    match (&line.object, line.kind_of_line) {
        (_, LineType::Heartbeat) => Ok(false),
        // A thing that is kept no longer is still gone for whoever saw it.
        (Some(object), LineType::Put) => Ok(keep(&read(object)?)),
        _ => Ok(true),
    }
}

async fn pictures<R: Row>(mut lines: Lines, keep: impl Fn(&R) -> bool, output: &mut Output) -> Result<(), Failure> {
    let mut rows: Vec<R> = Vec::new();
    let mut is_whole = false;
    let mut is_drawn = true;
    let mut next_frame = Instant::now();
    output.line("\u{1b}[2J")?;
    loop {
        let next = if is_whole && !is_drawn {
            match tokio::time::timeout_at(next_frame, lines.next()).await {
                Ok(next) => next,
                Err(_) => {
                    output.redraw(&rows)?;
                    is_drawn = true;
                    next_frame = Instant::now() + FRAME;
                    continue;
                }
            }
        } else {
            lines.next().await
        };
        let Some((_, line)) = next? else {
            return Ok(());
        };
        match line.kind_of_line {
            LineType::Put | LineType::Delete => {
                let Some(object) = &line.object else { continue };
                let row: R = read(object)?;
                place(&mut rows, row, line.kind_of_line == LineType::Put, &keep);
                is_drawn = false;
            }
            LineType::SnapshotEnd => {
                is_whole = true;
                is_drawn = false;
            }
            LineType::Bye => return Err(said_bye(&line)),
            LineType::Event | LineType::Heartbeat | LineType::Gap | LineType::Unknown => {}
        }
    }
}

/// Puts the row where its predecessor was, at the end, or nowhere.
fn place<R: Row>(rows: &mut Vec<R>, row: R, is_there: bool, keep: &impl Fn(&R) -> bool) {
    let at = rows.iter().position(|old| old.id() == row.id());
    match (at, is_there && keep(&row)) {
        (Some(at), true) => rows[at] = row,
        (Some(at), false) => {
            rows.remove(at);
        }
        (None, true) => rows.push(row),
        (None, false) => {}
    }
}
