//! `arxosrt users …`

use arxosrt_core::control::UserRow;
use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::ReasonRequest;
use hyper::Method;

use super::{needed_reason, outcome, watch};
use crate::args::{Global, Users};
use crate::client::{Client, path};
use crate::confirm::{Answer, confirm};
use crate::error::Failure;
use crate::output::Output;
use crate::output::text::span;

pub(super) async fn run(
    mut client: Client,
    global: &Global,
    command: &Users,
    output: &mut Output,
) -> Result<Exit, Failure> {
    match command {
        Users::List { watch, room } => {
            let keep = |user: &UserRow| match room {
                Some(wanted) => user.sessions.iter().any(|session| session.rooms.contains(wanted)),
                None => true,
            };
            if *watch {
                return watch::watch(client, "users", keep, output).await;
            }
            output.list(client.list(&path(&["users"])).await?, keep)?;
        }
        Users::Show { user } => {
            let document = client.document(&path(&["users", user])).await?;
            output.document(&document, |user: &UserRow| user.user_id.clone(), fields)?;
        }
        Users::Kick { targets, session } => {
            return kick(client, global, targets, *session, output).await;
        }
    }
    Ok(Exit::Ok)
}

fn fields(user: &UserRow) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("user", user.user_id.clone()),
        ("name", user.username.clone()),
        ("state", user.state.clone()),
        ("idle", span(user.idle_ms)),
        ("locks", user.locks.to_string()),
        ("doing", user.current_action.clone().unwrap_or_default()),
    ];
    for session in &user.sessions {
        let address = session.address.as_deref().unwrap_or("-");
        let rooms = session.rooms.join(" ");
        let (id, transport, since) = (&session.session_id, &session.transport, &session.connected_at);
        fields.push(("session", format!("{id} by {transport} from {address} since {since} in {rooms}")));
    }
    fields
}

/// Ends sessions one by one. With several targets some may fail: then the rest is still done, and the exit code says so.
async fn kick(
    mut client: Client,
    global: &Global,
    targets: &[String],
    is_session: bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let reason = needed_reason(global, "kick")?.to_owned();
    let (noun, collection) = if is_session { ("session", "sessions") } else { ("user", "users") };
    confirm(global, &format!("disconnect {noun} {} and release their locks", targets.join(", ")), Answer::Yes)?;
    let request = ReasonRequest { reason };
    let mut failures = Vec::new();
    for target in targets {
        match client.change(Method::DELETE, &path(&[collection, target]), None, &request).await {
            Ok(done) => outcome(output, &done, |changed| match changed.count {
                1 => format!("ended 1 session of {target}"),
                count => format!("ended {count} sessions of {target}"),
            })?,
            // Without a daemon the rest cannot go better.
            Err(failure) if failure.exit == Exit::Unreachable => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    let all_failed = failures.len() == targets.len();
    match (failures.pop(), targets.len()) {
        (None, _) => Ok(Exit::Ok),
        (Some(only), 1) => Err(only),
        (Some(last), total) => {
            for failure in &failures {
                output.remark(&failure.message);
            }
            let exit = if all_failed { last.exit } else { Exit::Partial };
            let message = format!("{} of {total} failed; the last: {}", failures.len() + 1, last.message);
            Err(Failure { exit, message, ..last })
        }
    }
}
