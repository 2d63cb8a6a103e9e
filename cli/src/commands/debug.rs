//! `arxosrt debug …`: for those who look into the machine.

use arxosrt_core::control::ReplayReport;
use arxosrt_core::control::code::Exit;

use crate::args::Debug;
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::{Output, read};

pub(super) async fn run(mut client: Client, command: &Debug, output: &mut Output) -> Result<Exit, Failure> {
    let Debug::Replay { building } = command;
    let document = client.document(&path(&["buildings", building, "replay"])).await?;
    let report: ReplayReport = read(&document.object)?;
    output.document(&document, |report: &ReplayReport| report.building_id.clone(), fields)?;
    // A log that does not give the running state back is the one thing that must not go unnoticed in a script.
    Ok(if report.equal { Exit::Ok } else { Exit::Failed })
}

fn fields(report: &ReplayReport) -> Vec<(&'static str, String)> {
    let verdict = if report.equal { "the log gives the running state" } else { "THE LOG GIVES ANOTHER STATE" };
    vec![
        ("building", report.building_id.clone()),
        ("snapshot", format!("at {}", report.snapshot_position)),
        ("events", format!("{} up to {}", report.events, report.position)),
        ("replayed", report.replayed.clone()),
        ("running", report.running.clone()),
        ("verdict", verdict.into()),
    ]
}
