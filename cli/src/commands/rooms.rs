//! `arxosrt rooms …`

use std::io::{self, IsTerminal, Read};

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::NoticeRequest;
use arxosrt_core::control::{RoomRow, UserRow};
use hyper::Method;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::{outcome, watch};
use crate::args::{Global, Rooms};
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::{Output, Raw};

/// The largest message that is read from standard input: the daemon's bound on a body.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    command: &Rooms,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Rooms::List { watch: true } => {
            return watch::watch(client, "rooms", |_: &RoomRow| true, output).await;
        }
        Rooms::List { watch: false } => output.list(client.list(&path(&["rooms"])).await?, |_: &RoomRow| true)?,
        Rooms::Show { room } => {
            let document = client.document(&path(&["rooms", room])).await?;
            output.document(&document, |room: &RoomRow| room.room_id.clone(), fields)?;
        }
        Rooms::Users { room } => {
            output.list(client.list(&path(&["rooms", room, "users"])).await?, |_: &UserRow| true)?;
        }
        Rooms::Send { room, text, json } => {
            let message = message(text.as_deref(), json.as_deref())?;
            let notice = NoticeRequest { message, reason: global.reason.clone() };
            let done = client.change(Method::POST, &path(&["rooms", room, "notice"]), None, &notice).await?;
            outcome(output, &done, |changed| format!("told everybody in {}", changed.target))?;
        }
    }
    Ok(Exit::Ok)
}

fn fields(room: &RoomRow) -> Vec<(&'static str, String)> {
    vec![
        ("room", room.room_id.clone()),
        ("building", room.building_id.clone()),
        ("users", room.users.to_string()),
        ("sessions", room.sessions.to_string()),
        ("locks", room.locks.to_string()),
        ("seq", room.seq.to_string()),
        ("epoch", room.epoch.clone()),
    ]
}

/// What is sent: a text in the agreed wrapping, or a JSON value as it was given.
fn message(text: Option<&str>, json: Option<&str>) -> Result<Raw, Failure> {
    let given = match (text, json) {
        (Some(text), _) => {
            return Ok(to_raw_value(&json!({ "notice": text })).expect("a text in an object is JSON"));
        }
        (None, Some("-")) => standard_input()?,
        (None, Some(json)) => json.to_owned(),
        (None, None) => return Err(Failure::usage("--text or --json is needed")),
    };
    RawValue::from_string(given.trim().to_owned())
        .map_err(|error| Failure::usage(format!("the message is not JSON: {error}")))
}

fn standard_input() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::usage("--json - reads standard input, and nothing is piped into it"));
    }
    let mut text = String::new();
    let limit = MESSAGE_BYTES_MAX;
    io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
    if text.len() as u64 > limit {
        return Err(Failure::usage(format!("a message has at most {limit} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_wrapped_text_or_json_as_given() {
        let sent = |text, json| message(text, json).map(|raw| raw.get().to_owned());
        assert_eq!(sent(Some("say \"hi\""), None).unwrap(), r#"{"notice":"say \"hi\""}"#);
        assert_eq!(sent(None, Some(" {\"a\": 1.50} ")).unwrap(), "{\"a\": 1.50}");
        for bad in ["{", "", "hello", "1 2"] {
            assert_eq!(sent(None, Some(bad)).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
