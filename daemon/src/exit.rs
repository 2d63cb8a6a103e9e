//! With which code does the daemon end, and what may a supervisor conclude from it?
//!
//! The numbers are those of `sysexits.h`. 64, 77 and 78 do not get better by starting again.

use std::process::ExitCode;

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked to.
    Done = 0,
    /// The command line is wrong.
    Usage = 64,
    /// Something that it needs is not there.
    Unavailable = 69,
    /// The operating system refused something that it should not.
    System = 71,
    /// A file or socket cannot be created, or another process uses it.
    CannotCreate = 73,
    /// A file or socket may not be used by this user.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Exit {
    /// The code for a file or socket that could not be created or opened for writing.
    pub fn of_create(error: &std::io::Error) -> Exit {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::CannotCreate,
        }
    }
}
