//! Where do log lines go, and what may never be in them?
//!
//! Lines go to standard error: text for a person at a terminal, one JSON object each for everything else. Whatever the
//! level, the WebSocket library is held at `info`: below that it prints the payload of frames, and a log carries ids,
//! never what people say. Our own lines keep to the same rule by themselves.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{Log, LogFormat, LogLevel};

/// Targets that print what clients send, and the most that they may say.
const CAPPED: [(&str, LevelFilter); 2] = [("tungstenite", LevelFilter::INFO), ("tokio_tungstenite", LevelFilter::INFO)];

/// Starts logging for the whole process; a second time is refused.
pub fn start(log: &Log) -> Result<(), TryInitError> {
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match is_text(log.format, std::io::stderr().is_terminal()) {
        true => Box::new(fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal())),
        false => Box::new(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter(log.level))).try_init()
}

/// What is written at this level.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // A larger filter lets more through: the smaller of both is the stricter.
    CAPPED.iter().fold(Targets::new().with_default(level), |targets, (target, cap)| {
        targets.with_target(*target, level.min(*cap))
    })
}

fn is_text(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn payloads_are_never_printed_whatever_the_level() {
        for level in [LogLevel::Off, LogLevel::Error, LogLevel::Info, LogLevel::Debug, LogLevel::Trace] {
            for target in ["tungstenite::protocol::frame", "tungstenite", "tokio_tungstenite::compat"] {
                assert!(!filter(level).would_enable(target, &Level::DEBUG), "{level:?} {target}");
                assert!(!filter(level).would_enable(target, &Level::TRACE), "{level:?} {target}");
            }
        }
    }

    #[test]
    fn the_level_holds_for_everything_else() {
        for (level, on, off) in [
            (LogLevel::Error, Level::ERROR, Level::WARN),
            (LogLevel::Info, Level::INFO, Level::DEBUG),
            (LogLevel::Debug, Level::DEBUG, Level::TRACE),
        ] {
            assert!(filter(level).would_enable("arxosrtd::hub", &on), "{level:?}");
            assert!(!filter(level).would_enable("arxosrtd::hub", &off), "{level:?}");
        }
        assert!(filter(LogLevel::Trace).would_enable("hyper", &Level::TRACE));
        assert!(filter(LogLevel::Info).would_enable("tungstenite", &Level::INFO));
        assert!(!filter(LogLevel::Error).would_enable("tungstenite", &Level::INFO), "a cap is not a floor");
        assert!(!filter(LogLevel::Off).would_enable("arxosrtd", &Level::ERROR));
    }

    #[test]
    fn automatic_means_text_only_for_a_person() {
        assert!(is_text(LogFormat::Auto, true) && !is_text(LogFormat::Auto, false));
        assert!(is_text(LogFormat::Text, false) && !is_text(LogFormat::Json, true));
    }
}
