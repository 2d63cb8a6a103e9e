//! `arxosrt status`, `whoami`, `version`: the daemon at a glance, and oneself through its eyes.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::hello::Peer;
use arxosrt_core::control::{API, API_VERSION, SharedRow, Status};
use serde_json::json;

use crate::args::{Format, Global};
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::text::span;
use crate::output::{Output, read};

/// This program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn status(mut client: Client, check: bool, output: &mut Output) -> Result<Exit, Failure> {
    let document = client.document(&path(&["status"])).await?;
    let status: Status = read(&document.object)?;
    output.document(&document, |status: &Status| status.state.clone(), fields)?;
    if client.hello().version != VERSION {
        output.remark(&format!("note: arxosrtd is {}, this arxosrt is {VERSION}", client.hello().version));
    }
    Ok(if check && status.state != "ready" { Exit::Unhealthy } else { Exit::Ok })
}

fn fields(status: &Status) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("state", status.state.clone()),
        ("version", status.version.clone()),
        ("up", format!("{} since {}", span(status.uptime_ms), status.started_at)),
        ("engine", status.engine.clone()),
        ("connections", status.connections.to_string()),
        ("users", status.users.to_string()),
        ("sessions", status.sessions.to_string()),
        ("rooms", status.rooms.to_string()),
        ("locks", format!("{} held, {} waiting", status.locks, status.waiters)),
        ("buildings", format!("{} in use, {} known", status.buildings, status.directory.buildings)),
        ("directory", {
            let known = status.directory;
            format!("{} floors, {} objects, {} routes", known.floors, known.objects, known.routes)
        }),
        ("last token", status.last_token.to_string()),
    ];
    for origin in &status.origins {
        let state = match (origin.up, &origin.trouble) {
            (true, _) => format!("{} answers", origin.name),
            (false, Some(trouble)) => format!("{} does not answer: {trouble}", origin.name),
            (false, None) => format!("{} does not answer", origin.name),
        };
        fields.push(("origin", state));
    }
    if let Some(shared) = status.shared.as_ref().filter(|shared| shared.state != "off") {
        fields.push(("redis", standing(shared)));
    }
    if status.buildings_closed > 0 {
        let more = status.buildings_closed.saturating_sub(status.closed.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        fields.push(("closed", format!("{}{more}: the log is damaged", status.closed.join(", "))));
    }
    fields
}

/// How the tier fares that daemons share, in a line.
pub(super) fn standing(shared: &SharedRow) -> String {
    let address = shared.address.as_deref().unwrap_or("its address");
    match shared.since_ms {
        Some(since_ms) => format!("{}: {address} has not answered for {}", shared.state, span(since_ms)),
        None => format!("{}: {address}", shared.state),
    }
}

pub(super) async fn whoami(mut client: Client, output: &mut Output) -> Result<Exit, Failure> {
    let document = client.document(&path(&["whoami"])).await?;
    output.document(
        &document,
        |peer: &Peer| peer.actor(),
        |peer: &Peer| {
            let groups: Vec<String> = peer.groups.iter().map(u32::to_string).collect();
            vec![
                ("you", peer.actor()),
                ("role", format!("{} by {}", peer.role, peer.via)),
                ("gid", peer.gid.to_string()),
                ("groups", groups.join(" ")),
            ]
        },
    )?;
    Ok(Exit::Ok)
}

/// The versions on both sides. Without a daemon it is still an answer.
pub(super) async fn version(global: &Global, output: &mut Output) -> Result<Exit, Failure> {
    let daemon = Client::connect(global).await;
    let daemon = daemon.as_ref().map(Client::hello);
    if matches!(output.format(), Format::Json | Format::Ndjson) {
        let daemon = daemon.ok().map(|hello| json!({"version": hello.version, "api": hello.api, "state": hello.state}));
        let versions = json!({"arxosrt": {"version": VERSION, "api": {"min": API, "max": API}}, "arxosrtd": daemon});
        output.json(&json!({"api_version": API_VERSION, "kind": "Version", "object": versions}))?;
        return Ok(Exit::Ok);
    }
    let daemon = match daemon {
        Ok(hello) => {
            format!("{} (control API v{} to v{}), {}", hello.version, hello.api.min, hello.api.max, hello.state)
        }
        Err(failure) => format!("unknown: {}", failure.message),
    };
    output.fields(&[("arxosrt", format!("{VERSION} (control API v{API})")), ("arxosrtd", daemon)])?;
    Ok(Exit::Ok)
}
