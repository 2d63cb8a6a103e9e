//! How are sensitive values kept from those who may look, but not read?
//!
//! Whoever lists the keys of Redis, or listens on its bus, sees no id: in its place stands a hash, which all nodes
//! compute alike. There is no secret in it, so an id that can be guessed can be confirmed; ids of sessions are long and
//! random. And what this process reads or is given is overwritten when the last who uses it lets go (see
//! [`short_lived`]), and never written to a core file ([`no_core_files`]).

use std::fmt::Write as _;
use std::io;

use arxosrt_core::cache::EntryId;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

/// What stands before what is hashed: the same id hashed for another purpose gives something else.
const PURPOSE: &[u8] = b"arxosrt sensitive id 1\0";

/// So much of the hash says where a value is kept: sessions are spread over a cluster.
const HOME_DIGITS: usize = 16;

/// An id as others may see it, and what it is kept beside.
pub(super) fn hidden(strategy: &str, id: &EntryId) -> (EntryId, String) {
    let mut hash = Sha256::new();
    for part in [PURPOSE, strategy.as_bytes(), b"\0", id.as_str().as_bytes()] {
        hash.update(part);
    }
    let mut digits = String::with_capacity(64);
    for byte in hash.finalize() {
        write!(digits, "{byte:02x}").expect("writing to a string does not fail");
    }
    let home = digits[..HOME_DIGITS].to_owned();
    (EntryId::new(&digits).expect("64 digits are an id"), home)
}

/// The same bytes, overwritten when the last who uses them lets go. What was given is overwritten now, unless others
/// use it too.
pub fn short_lived(bytes: Bytes) -> Bytes {
    let own = Bytes::from_owner(Zeroizing::new(bytes.to_vec()));
    if let Ok(mut given) = bytes.try_into_mut() {
        given[..].zeroize();
    }
    own
}

/// From now on this process leaves no core file, and nobody but the superuser may look into its memory.
///
/// Both are needed: a limit of zero does not hold where core files are piped to a program, and a process that cannot be
/// dumped has its limit shown where operators look for it.
#[allow(unsafe_code)] // neither call has a safe wrapper in the standard library
pub fn no_core_files() -> io::Result<()> {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a whole `rlimit` that outlives the call, which only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a plain system call with numbers as arguments.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_id_is_the_same_everywhere_and_another_for_each() {
        let of = |strategy, id| hidden(strategy, &EntryId::new(id).unwrap());
        let (id, home) = of("user_session", "s1");
        assert_eq!((id.as_str().len(), home.len()), (64, 16));
        assert_eq!(of("user_session", "s1"), (id.clone(), home));
        for other in [of("user_session", "s2"), of("user_sessio", "ns1"), of("other", "s1")] {
            assert_ne!(other.0, id);
        }
    }

    #[test]
    fn bytes_with_a_short_life_are_the_same_bytes() {
        for given in [Bytes::from(vec![7; 100]), Bytes::from_static(b"abc"), Bytes::new()] {
            assert_eq!(short_lived(given.clone()), given);
        }
        let given = Bytes::from(b"secret".to_vec());
        let other = given.clone();
        assert_eq!((short_lived(given), other), (Bytes::from_static(b"secret"), Bytes::from_static(b"secret")));
    }

    #[test]
    fn after_it_is_forbidden_there_is_no_core_file() {
        no_core_files().unwrap();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"]);
    }
}
