//! How many connections can this process hold?
//!
//! Each connection is a file descriptor. The soft limit that a shell or a unit starts with (often 1024) is for programs
//! that use `select`; the daemon raises it as far as it is allowed to and derives its own bound from the result, so
//! that the last descriptors are there for the database, the control socket and logs when the last client is refused.

use std::io;

/// Descriptors that are not for clients: listeners, database, control connections, origin files, timers, logs.
pub const RESERVED_FILES: u64 = 192;
/// The soft limit is raised no further: beyond it the kernel's own `fs.nr_open` commonly ends.
pub const FILES_MAX: u64 = 1 << 20;
/// Fewer client connections than this make no sense; the daemon then says so.
pub const CONNECTIONS_MIN: usize = 16;

/// How many connections there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Open files that the process may have.
    pub files_max: u64,
    /// Client connections that there may be.
    pub connections_max: usize,
    /// Why it is not what was configured.
    pub warning: Option<String>,
}

/// Raises the soft limit of open files to the hard one and answers the new soft limit.
pub fn raise_files() -> io::Result<u64> {
    let (soft, hard) = sys::files()?;
    let wanted = hard.min(FILES_MAX);
    if wanted > soft {
        sys::set_files(wanted, hard)?;
        return Ok(wanted);
    }
    Ok(soft)
}

/// The bound on connections: `configured` (0: as many as possible) within what `files_max` allows.
pub fn capacity(configured: usize, files_max: u64) -> Capacity {
    let possible = usize::try_from(files_max.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX).max(CONNECTIONS_MIN);
    let (connections_max, warning) = match configured {
        0 => (possible, None),
        n if n <= possible => (n, None),
        n => (
            possible,
            Some(format!(
                "`limits.connections_max` is {n}, but {files_max} open files allow {possible}: \
                 raise the limit of open files (LimitNOFILE=, ulimit -n) to {}",
                n as u64 + RESERVED_FILES
            )),
        ),
    };
    Capacity { files_max, connections_max, warning }
}

/// The two system calls.
#[allow(unsafe_code)] // the standard library has no resource limits
mod sys {
    use std::io;

    /// The soft and the hard limit of open files.
    pub fn files() -> io::Result<(u64, u64)> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid rlimit that the call may write to, and it keeps no pointer to it.
        match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
            0 => Ok((limit.rlim_cur, limit.rlim_max)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sets both limits of open files.
    pub fn set_files(soft: u64, hard: u64) -> io::Result<()> {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: `limit` is a valid rlimit that the call only reads, and it keeps no pointer to it.
        match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_one_and_stays() {
        let files = raise_files().unwrap();
        let (soft, hard) = sys::files().unwrap();
        assert_eq!(soft, files);
        assert!(soft == hard || soft >= FILES_MAX, "{soft} of {hard}");
        assert_eq!(raise_files().unwrap(), files, "a second time changes nothing");
    }

    #[test]
    fn connections_never_take_the_last_descriptors() {
        assert_eq!(capacity(0, 1024).connections_max, 1024 - RESERVED_FILES as usize);
        assert_eq!(capacity(100, 1024), Capacity { files_max: 1024, connections_max: 100, warning: None });
        let cut = capacity(5000, 1024);
        assert_eq!(cut.connections_max, 832);
        let warning = cut.warning.unwrap();
        assert!(warning.contains("5000") && warning.contains("1024") && warning.contains("5192"), "{warning}");
        assert_eq!(capacity(0, 10).connections_max, CONNECTIONS_MIN);
        assert_eq!(capacity(0, u64::MAX).warning, None);
    }
}
