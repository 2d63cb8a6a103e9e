//! What each command asks and prints: one file per noun.

mod audit;
mod cache;
mod check;
mod conflicts;
mod debug;
mod drain;
mod events;
mod help;
mod jobs;
mod locks;
mod preload;
mod rooms;
mod status;
mod users;
mod watch;

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::{Changed, document::Document};

use crate::args::{Args, Cache, Command, Format, Global, Preload};
use crate::client::Client;
use crate::error::Failure;
use crate::output::{Output, Raw, read};

/// Carries out what was typed.
pub async fn dispatch(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let global = &args.global;
    match &args.command {
        Command::Help { topic } => return help::help(topic, output),
        Command::Version => return status::version(global, output).await,
        Command::Cache(Cache::Replay(replay)) => return cache::replay::run(replay, output),
        Command::Preload(Preload::Replay(replay)) => return preload::replay::run(replay, output),
        Command::Preload(command) => preload::refuse_entries(command)?,
        _ => {}
    }
    refuse_impossible(&args.command, global)?;
    let client = Client::connect(global).await?;
    match &args.command {
        Command::Status { check } => status::status(client, *check, output).await,
        Command::Check => check::run(client, output).await,
        Command::Whoami => status::whoami(client, output).await,
        Command::Rooms(command) => rooms::run(client, global, command, output).await,
        Command::Users(command) => users::run(client, global, command, output).await,
        Command::Locks(command) => locks::run(client, global, command, output).await,
        Command::Conflicts(command) => conflicts::run(client, global, command, output).await,
        Command::Cache(command) => cache::run(client, global, command, output).await,
        Command::Preload(command) => preload::run(client, global, command, output).await,
        Command::Jobs(command) => jobs::run(client, global, command, output).await,
        Command::Events { topics, room } => events::run(client, topics, room.as_deref(), output).await,
        Command::Drain { window } => drain::run(client, global, *window, output).await,
        Command::Audit(command) => audit::run(client, command, output).await,
        Command::Debug(command) => debug::run(client, command, output).await,
        Command::Help { .. } | Command::Version => Ok(Exit::Ok),
    }
}

/// A list that goes on has no end at which one document could be closed, and no ids without what became of them.
fn refuse_impossible(command: &Command, global: &Global) -> Result<(), Failure> {
    use crate::args::{Conflicts, Locks, Rooms, Users};
    let goes_on = matches!(
        command,
        Command::Events { .. }
            | Command::Rooms(Rooms::List { watch: true })
            | Command::Users(Users::List { watch: true, .. })
            | Command::Locks(Locks::List { watch: true, .. })
            | Command::Conflicts(Conflicts::List { watch: true, .. } | Conflicts::Watch { .. })
    );
    let refused = match global.output {
        Format::Json => "json",
        Format::Name => "name",
        Format::Table | Format::Ndjson => return Ok(()),
    };
    if !goes_on {
        return Ok(());
    }
    Err(Failure::usage(format!("-o {refused} cannot show what goes on without end")).hint("use -o ndjson"))
}

/// The reason that a change needs.
fn needed_reason<'a>(global: &'a Global, what: &str) -> Result<&'a str, Failure> {
    match global.reason.as_deref().map(str::trim) {
        Some(reason) if !reason.is_empty() => Ok(reason),
        _ => Err(Failure::usage(format!("{what} needs --reason: it is told to those concerned and kept in the audit"))),
    }
}

/// Prints the outcome of a change; `sentence` makes of the count what people read.
fn outcome(
    output: &mut Output,
    document: &Document<Raw>,
    sentence: impl FnOnce(&Changed) -> String,
) -> Result<(), Failure> {
    let changed: Changed = read(&document.object)?;
    output.outcome(document, &changed.target, &sentence(&changed))?;
    if !changed.audited {
        output.remark("warning: the daemon could not write its audit record; its log has it");
    }
    Ok(())
}
