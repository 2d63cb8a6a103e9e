//! `arxosrt drain`: send everybody away before the daemon is replaced.

use std::time::Duration;

use arxosrt_core::control::Status;
use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::DrainRequest;
use hyper::Method;

use super::outcome;
use crate::args::Global;
use crate::client::{Client, path};
use crate::confirm::{Answer, confirm};
use crate::error::Failure;
use crate::output::text::span;
use crate::output::{Output, read};

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    window: Duration,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let status: Status = read(&client.document(&path(&["status"])).await?.object)?;
    let window_ms = u64::try_from(window.as_millis()).expect("a window is at most a day");
    let what = format!("send {} connections away over {}", status.connections, span(window_ms));
    confirm(global, &what, Answer::Yes)?;
    let request = DrainRequest { window_ms, reason: global.reason.clone() };
    let done = client.change(Method::POST, &path(&["drain"]), None, &request).await?;
    outcome(output, &done, |changed| {
        let over = match changed.window_ms.unwrap_or(window_ms) {
            0 if window_ms > 0 => "at once, since a drain was under way already".to_owned(),
            0 => "at once".to_owned(),
            window_ms => format!("over {}", span(window_ms)),
        };
        format!("draining: {} connections {over}; nobody is admitted until the daemon is restarted", changed.count)
    })?;
    Ok(Exit::Ok)
}
