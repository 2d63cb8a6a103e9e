//! How does a client tell one version of a value from another?
//!
//! By a strong entity tag made of the bytes alone, so that all nodes, and this one after a restart, name the same bytes
//! the same way. The origin's own validator is kept beside it and is spoken to the origin only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// So much of the hash is kept: two values that differ meet in it once in 2^64 values.
const BYTES: usize = 16;

/// The version of a value: a hash of its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Etag([u8; BYTES]);

impl Etag {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Etag {
        let hash = Sha256::digest(bytes);
        let mut etag = [0; BYTES];
        etag.copy_from_slice(&hash[..BYTES]);
        Etag(etag)
    }

    /// Whether a list of tags as in `If-Match` or `If-None-Match` names this one. `*` names every one. For reading, tags
    /// that are marked as weak count; for writing they do not (RFC 9110, 8.8.3.2).
    pub fn is_named_in(&self, list: &str, weak_counts: bool) -> bool {
        let own = self.to_string();
        list.split(',').map(str::trim).any(|tag| {
            tag == "*" || tag == own || weak_counts && tag.strip_prefix("W/").is_some_and(|strong| strong == own)
        })
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Etag({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_have_the_same_tag_everywhere() {
        assert_eq!(Etag::of(b"{}").to_string(), "\"RBNvo1WzZ4oRRq0W9-hkng\"");
        assert_ne!(Etag::of(b"{}"), Etag::of(b"{ }"));
    }

    #[test]
    fn a_list_names_a_tag_whole_or_not() {
        let tag = Etag::of(b"1");
        let (own, other) = (tag.to_string(), Etag::of(b"2").to_string());
        for list in [own.clone(), format!("{other}, {own}"), "*".to_owned()] {
            assert!(tag.is_named_in(&list, false), "{list}");
        }
        assert!(!tag.is_named_in(&other, true) && !tag.is_named_in("", true));
        let weak = format!("W/{own}");
        assert!(tag.is_named_in(&weak, true) && !tag.is_named_in(&weak, false));
    }
}
