//! `arxosrt events`: what happens, line by line, for as long as somebody reads.

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::LineType;
use arxosrt_core::control::{OperatorEvent, TOPICS};

use super::watch::{ended, said_bye};
use crate::args::Format;
use crate::client::{Client, query};
use crate::error::Failure;
use crate::output::text::clean;
use crate::output::{Output, read};

pub(super) async fn run(
    client: Client,
    topics: &[String],
    room: Option<&str>,
    output: &mut Output,
) -> Result<Exit, Failure> {
    if let Some(unknown) = topics.iter().find(|topic| !TOPICS.contains(&topic.as_str())) {
        return Err(
            Failure::usage(format!("{unknown:?} is not a topic")).hint(format!("the topics are {}", TOPICS.join(", ")))
        );
    }
    ended(follow(client, topics, room, output).await)
}

async fn follow(client: Client, topics: &[String], room: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    let path = match topics {
        [] => "/v1/events".to_owned(),
        topics => format!("/v1/events?topics={}", query(&topics.join(","))),
    };
    let mut lines = client.stream(&path).await?;
    while let Some((text, line)) = lines.next().await? {
        let event: Option<OperatorEvent> = line.object.as_deref().map(read).transpose()?;
        let is_elsewhere = match (&event, room) {
            (Some(event), Some(room)) => event.room_id.as_deref() != Some(room),
            _ => false,
        };
        match line.kind_of_line {
            LineType::Heartbeat => {}
            LineType::Event if is_elsewhere => {}
            _ if output.format() == Format::Ndjson => output.json_line(&String::from_utf8_lossy(&text))?,
            LineType::Event => {
                if let Some(event) = &event {
                    output.line(&clean(&sentence(event)))?;
                }
            }
            LineType::Gap => output.line(&format!("… {} events dropped …", line.dropped.unwrap_or_default()))?,
            _ => {}
        }
        output.flush()?;
        if line.kind_of_line == LineType::Bye {
            return Err(said_bye(&line));
        }
    }
    Ok(())
}

/// `2026-11-24T04:36:09.123Z  lock.granted  floor_1  alice  lk_7q2  object_edit`
fn sentence(event: &OperatorEvent) -> String {
    let parts = [&event.room_id, &event.user_id, &event.subject, &event.detail];
    let mut sentence = format!("{}  {:<18}", event.at, event.kind);
    for part in parts.into_iter().flatten() {
        sentence.push_str("  ");
        sentence.push_str(part);
    }
    sentence
}
