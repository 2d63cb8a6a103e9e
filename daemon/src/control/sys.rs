//! The one system call of the control socket that no library wraps: `SO_PEERGROUPS`, the supplementary groups of a
//! peer as they were when it connected.
//!
//! Not `/proc/PID/status`, which may by now be another process, and not the group database, which knows what the groups
//! would be at the next login. The answer does not contain the primary gid.
#![allow(unsafe_code)] // getsockopt has no safe wrapper for this option in std, tokio or libc

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Groups asked for at first; almost everybody has fewer.
const GROUPS_AT_FIRST: usize = 32;

/// The kernel's own bound on a process's groups.
const GROUPS_MAX: usize = 65_536;

/// The supplementary groups of the peer of a connected Unix socket.
pub fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut room = GROUPS_AT_FIRST;
    loop {
        let mut groups: Vec<libc::gid_t> = vec![0; room];
        let mut bytes = (room * size_of::<libc::gid_t>()) as libc::socklen_t;
        // SAFETY: `groups` is writable for `bytes` bytes and outlives the call; the kernel writes at most that many,
        // stores how many it wrote (or needs) in `bytes`, and any bit pattern is a valid gid.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &mut bytes,
            )
        };
        let told = bytes as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(told);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Too small: the kernel has said how many there are.
            Some(libc::ERANGE) if told > room && told <= GROUPS_MAX => room = told,
            // A kernel before 4.13, or a peer without credentials.
            Some(libc::ENOPROTOOPT | libc::ENODATA) => return Ok(Vec::new()),
            _ => return Err(error),
        }
    }
}

/// The effective uid of this process.
pub fn own_uid() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory and cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_peer_of_a_socket_pair_has_our_own_groups() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut told = peer_groups(one.as_fd()).unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
        let mut ours: Vec<u32> = line.split_whitespace().map(|gid| gid.parse().unwrap()).collect();
        told.sort_unstable();
        ours.sort_unstable();
        assert_eq!(told, ours);
    }
}
