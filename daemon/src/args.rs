//! What may stand on `arxosrtd`'s command line?

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;

/// The realtime backbone for collaborative work on building models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Parser)]
#[command(name = "arxosrtd", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 64 bad command line, 69 a needed service is not there, \
    73 a socket or file cannot be created or is in use, 77 no permission, 78 bad configuration.")]
pub struct Args {
    /// Read this configuration file [otherwise $ARXOSRT_CONFIG, /etc/arxosrt/arxosrt.toml, ./arxosrt.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Keep the database and other state here [otherwise $STATE_DIRECTORY, $XDG_DATA_HOME/arxosrt,
    /// ~/.local/share/arxosrt]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Set one option, over the environment and the file; may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,

    /// Listen beyond loopback although nobody is authenticated
    #[arg(long)]
    pub insecure: bool,

    /// Name every problem of the configuration and exit: 0 when there is none, else 78
    #[arg(long)]
    pub check_config: bool,
}

impl Args {
    /// Reads a command line, program name first. `--help` and `--version` come back as an error too: print it with
    /// [`clap::Error::print`] and exit with [`exit_of`] it.
    pub fn read(argv: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Args::try_parse_from(argv)
    }
}

/// How to exit after a command line that starts nothing.
pub fn exit_of(error: &clap::Error) -> crate::exit::Exit {
    match error.use_stderr() {
        true => crate::exit::Exit::Usage,
        false => crate::exit::Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::exit::Exit;

    fn read(line: &str) -> Result<Args, clap::Error> {
        Args::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn everything_that_scripts_rely_on_is_there() {
        let args =
            read("arxosrtd -c a.toml --data-dir d --set http.listen=127.0.0.1:0 --set=locks.grace_s=0 --insecure")
                .unwrap();
        assert_eq!(
            args,
            Args {
                config: Some("a.toml".into()),
                data_dir: Some("d".into()),
                set: vec!["http.listen=127.0.0.1:0".into(), "locks.grace_s=0".into()],
                insecure: true,
                check_config: false,
            }
        );
        assert!(read("arxosrtd --check-config --config x").unwrap().check_config);
    }

    #[test]
    fn a_wrong_line_is_a_usage_error_and_help_is_not() {
        for (line, exit) in [
            ("arxosrtd --lisen x", Exit::Usage),
            ("arxosrtd stray", Exit::Usage),
            ("arxosrtd --set", Exit::Usage),
            ("arxosrtd --help", Exit::Done),
            ("arxosrtd --version", Exit::Done),
        ] {
            assert_eq!(exit_of(&read(line).unwrap_err()), exit, "{line}");
        }
    }
}
