//! `arxosrtd`: reads what it is told, runs, and ends in order.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use arxosrtd::boot::{self, Ended};
use arxosrtd::config::Env;
use arxosrtd::daemon::{self, Daemon};
use arxosrtd::exit::Exit;
use tokio::signal::unix::{SignalKind, signal};

/// Returns memory after a crowd has left; glibc's allocator and mimalloc were measured to keep it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let env: Env = std::env::vars_os().collect();
    let cwd = std::env::current_dir().unwrap_or_default();
    let ready = boot::configure(std::env::args_os(), &env, &cwd)
        .and_then(|(args, loaded)| boot::prepare(&args, loaded, &env, &cwd));
    let started = ready.and_then(|ready| {
        daemon::start(ready).map_err(|error| Ended { exit: error.exit, words: format!("arxosrtd: {}", error.what) })
    });
    match started {
        Ok(daemon) => run(daemon).into(),
        Err(ended) => ended.say().into(),
    }
}

fn run(daemon: Daemon) -> Exit {
    tracing::info!(http = %daemon.http, control = %daemon.control.display(), "ready");
    if std::io::stdout().is_terminal() {
        daemon::greet_terminal(&daemon);
    }
    let drained = daemon.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            // The terminal is gone; its clients deserve the same farewell.
            _ = hang_up.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping; clients are told when to come back; once more hurries");
        daemon
            .drain(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            })
            .await;
        Ok::<(), std::io::Error>(())
    });
    if let Err(error) = drained {
        tracing::error!(%error, "signals cannot be received");
    }
    match daemon.stop() {
        Ok(()) => {
            tracing::info!("stopped");
            Exit::Done
        }
        Err(error) => {
            tracing::error!(error, "the end was not a clean one");
            Exit::System
        }
    }
}
