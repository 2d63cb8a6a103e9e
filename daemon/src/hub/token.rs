//! Resume tokens: the secret with which a session is taken over by another connection.
//!
//! A token is the time of its issue and an HMAC-SHA-256 over time, session and person, under a key that was born with
//! the store. So a token of a session is good after a restart of the daemon too, and nobody has to write anything down
//! when a session is lost.

use arxosrt_core::id::{SessionId, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Signs and checks resume tokens.
pub struct Signer {
    key: [u8; 32],
}

impl Signer {
    /// A signer with this key.
    pub fn new(key: [u8; 32]) -> Self {
        Signer { key }
    }

    fn mac(&self, issued_ms: &str, session: &SessionId, user: &UserId) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        // Ids hold no control characters, so the parts cannot run into each other.
        for part in [issued_ms, "\0", session.as_str(), "\0", user.as_str()] {
            mac.update(part.as_bytes());
        }
        mac
    }

    /// The token of a session of this person.
    pub fn sign(&self, issued_ms: i64, session: &SessionId, user: &UserId) -> String {
        let issued = issued_ms.to_string();
        let tag = self.mac(&issued, session, user).finalize().into_bytes();
        format!("{issued}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Is this a token of that session of this person?
    pub fn verify(&self, token: &str, session: &SessionId, user: &UserId) -> bool {
        let Some((issued, tag)) = token.split_once('.') else { return false };
        let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else { return false };
        self.mac(issued, session, user).verify_slice(&tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_its_own_session_only() {
        let id = |text: &str| SessionId::new(text).expect("an id");
        let user = |text: &str| UserId::new(text).expect("an id");
        let signer = Signer::new([7; 32]);
        let token = signer.sign(1_000, &id("s_1"), &user("ana"));
        assert!(signer.verify(&token, &id("s_1"), &user("ana")));
        assert!(!signer.verify(&token, &id("s_2"), &user("ana")));
        assert!(!signer.verify(&token, &id("s_1"), &user("ben")));
        assert!(!Signer::new([8; 32]).verify(&token, &id("s_1"), &user("ana")));
        assert!(!signer.verify(&token.replacen('1', "2", 1), &id("s_1"), &user("ana")));
        for bad in ["", ".", "x", "1000.", "1000.###"] {
            assert!(!signer.verify(bad, &id("s_1"), &user("ana")), "{bad}");
        }
    }
}
