//! `arxosrt audit list`: what operators did.

use arxosrt_core::control::code::Exit;

use crate::args::Audit;
use crate::client::{Client, path};
use crate::error::Failure;
use crate::output::Output;
use crate::output::rows::AuditLine;

pub(super) async fn run(mut client: Client, command: &Audit, output: &mut Output) -> Result<Exit, Failure> {
    let Audit::List { limit } = command;
    output.list(client.latest(&path(&["audit"]), *limit).await?, |_: &AuditLine| true)?;
    Ok(Exit::Ok)
}
