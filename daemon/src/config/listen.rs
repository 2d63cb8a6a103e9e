//! May the daemon listen where it was told to?
//!
//! Without authentication a client is whoever it says it is: it may speak, lock and release as anybody. On loopback
//! only this machine's people can do that. Anywhere else the daemon refuses to start, so that nobody opens a building
//! to a network by a one-word mistake; who means it says so with `--insecure`.

use super::{AuthMode, Config, Problem, SetBy, Whence};

/// The problem of listening there, if there is one.
pub fn problem(config: &Config, set_by: &SetBy) -> Option<Problem> {
    let listen = config.http.listen;
    let open_to_all = match config.auth.mode {
        AuthMode::None => true,
    };
    if !open_to_all || config.http.insecure || is_loopback(listen.ip()) {
        return None;
    }
    Some(Problem {
        whence: set_by.get("http.listen").cloned().unwrap_or(Whence::Default),
        what: format!(
            "`http.listen` is {listen}, which other machines can reach, and `auth.mode` is \"none\": \
             anybody there could act as anybody"
        ),
        hint: Some(
            "listen on 127.0.0.1 behind an authenticating proxy, \
             or pass --insecure (http.insecure = true) if the network is trusted"
                .to_owned(),
        ),
    })
}

/// Loopback, also when written as an IPv4 address inside IPv6.
pub fn is_loopback(ip: std::net::IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_open_without_authentication() {
        for (listen, insecure, refused) in [
            ("127.0.0.1:8790", false, false),
            ("127.8.8.8:0", false, false),
            ("[::1]:8790", false, false),
            ("[::ffff:127.0.0.1]:8790", false, false),
            ("0.0.0.0:8790", false, true),
            ("[::]:8790", false, true),
            ("192.168.1.4:8790", false, true),
            ("[::ffff:10.0.0.1]:8790", false, true),
            ("0.0.0.0:8790", true, false),
        ] {
            let mut config = Config::default();
            config.http.listen = listen.parse().unwrap();
            config.http.insecure = insecure;
            let problem = problem(&config, &SetBy::new());
            assert_eq!(problem.is_some(), refused, "{listen}");
            if let Some(problem) = problem {
                let text = problem.to_string();
                assert!(text.contains(listen) && text.contains("--insecure") && text.contains("auth.mode"), "{text}");
            }
        }
    }
}
