//! Where was something set, and what is wrong with it?

use std::fmt;
use std::path::PathBuf;

/// Which layer set a value, as exactly as a person needs to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// A place in the file; line and column count from 1, columns in characters.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable.
    Env(String),
    /// A command line flag.
    Flag(String),
    /// No layer: the default.
    Default,
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A line of 0 stands for the file as a whole.
            Whence::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Whence::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Whence::Env(name) => write!(f, "${name}"),
            Whence::Flag(flag) => write!(f, "{flag}"),
            Whence::Default => write!(f, "default"),
        }
    }
}

/// Something that keeps the daemon from starting as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was set.
    pub whence: Whence,
    /// What is wrong, with the value and the limit.
    pub what: String,
    /// What to do about it, when that can be guessed.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.whence, self.what)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}
