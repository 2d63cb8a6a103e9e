//! `arxosrt`: what a running `arxosrtd` does, for operators and their scripts.
//!
//! The way of a command: [`args`] says what was typed, [`client`] speaks with the daemon over its control socket,
//! [`commands`] decide what to ask, [`output`] prints, [`error`] says how it ended. What always holds:
//!
//! - standard output holds what was asked for, whole or not at all; everything else goes to standard error;
//! - the exit code means the same for every command ([`arxosrt_core::control::code::Exit`]);
//! - nothing a client named ever reaches a terminal as a control sequence ([`output::text`]);
//! - nobody is asked a question who cannot answer, and silence never means yes ([`confirm`]).
//!
//! It does not depend on the daemon: they share the words of [`arxosrt_core::control`] only.

#![warn(missing_docs)]
#![deny(clippy::print_stdout, clippy::print_stderr)] // they panic when the reader has gone: output::Output instead

pub mod args;
pub mod client;
pub mod commands;
pub mod confirm;
pub mod error;
pub mod output;

use std::ffi::OsString;

use arxosrt_core::control::code::Exit;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use args::Args;
use error::Failure;
use output::Output;

/// Runs one command line and says how it ended. Whatever went wrong has been printed.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let words: Vec<OsString> = words.into_iter().collect();
    let args = match read(&words) {
        Ok(args) => args,
        Err(error) => {
            // Help and version end well, and nobody is left to be told that the reader has gone.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let mut output = Output::new(&args.global);
    let result = perform(&args, &mut output).and_then(|exit| output.finish().map(|()| exit));
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            output.fail(&failure);
            failure.exit
        }
    }
}

fn read(words: &[OsString]) -> Result<Args, clap::Error> {
    if let Some(time) = args::lost_time(words) {
        let message = format!("{time} stands behind --wait and belongs to nothing; write --wait={time}, or -- {time}");
        return Err(Args::command().error(ErrorKind::InvalidValue, message));
    }
    Args::try_parse_from(words)
}

fn perform(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "failed", format!("cannot start: {error}")))?;
    let result = runtime.block_on(commands::dispatch(args, output));
    // A read of standard input may still be waiting; nobody needs it any more.
    runtime.shutdown_background();
    result
}
