//! Under which names may the daemon be addressed, and from which pages, while nobody is authenticated?
//!
//! A page in somebody's browser reaches whatever that person's machine reaches. The browser says where the page comes
//! from (`Origin`) and whom it means to address (`Host`); pages cannot change either. `Origin` alone is not enough: a
//! site may let its own name point to 127.0.0.1 for a while, and then its pages are of the very host that they address.
//! What they cannot do is address the daemon by a name that is not theirs. So:
//!
//! - the daemon answers to the names of this machine's own loopback, to those in `http.allowed_hosts`, and, where it
//!   listens beyond loopback, to plain addresses, which no site can let its name become;
//! - pages may come from loopback, from the very host that they address, and from those in `http.allowed_hosts`.
//!
//! A request that names no host is not from a browser.

use std::net::IpAddr;

/// The names and pages that are let in.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Beside loopback, in lower case; one without a port stands for every port.
    listed: Vec<String>,
    /// Any plain address will do.
    by_address: bool,
}

impl Hosts {
    /// Those of loopback and `listed`; any plain address too, if other machines can reach the port.
    pub fn new(listed: &[String], beyond_loopback: bool) -> Self {
        let listed = listed.iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        Hosts { listed, by_address: beyond_loopback }
    }

    /// May the daemon be addressed as the `Host` of this request?
    pub fn answers_to(&self, host: Option<&str>) -> bool {
        let Some(host) = host else { return true };
        let name = name_of(host);
        is_loopback(name) || self.lists(host) || (self.by_address && name.parse::<IpAddr>().is_ok())
    }

    /// May a page of this `Origin` address us as this `Host`?
    pub fn welcomes(&self, origin: &str, host: Option<&str>) -> bool {
        let Some((_, authority)) = origin.split_once("://") else { return false };
        let is_very_host = host.is_some_and(|host| authority.eq_ignore_ascii_case(host)) && self.answers_to(host);
        is_very_host || is_loopback(name_of(authority)) || self.lists(authority)
    }

    fn lists(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        self.listed.iter().any(|listed| *listed == authority || listed == name_of(&authority))
    }
}

/// The authority without its port; an IPv6 address without its brackets.
fn name_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host of a request, a page that makes it, and whether each is let in.
    #[track_caller]
    fn check(hosts: &Hosts, cases: &[(&str, bool, &str, bool)]) {
        for (host, answers, origin, welcome) in cases {
            assert_eq!(hosts.answers_to(Some(host)), *answers, "host {host}");
            assert_eq!(hosts.welcomes(origin, Some(host)), *welcome, "{origin} to {host}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_point_here_is_not_ours() {
        check(
            &Hosts::default(),
            &[
                ("localhost:8790", true, "http://localhost:3000", true),
                ("127.8.0.1", true, "http://127.0.0.1", true),
                ("[::1]:8790", true, "http://[::1]:5", true),
                ("LOCALHOST", true, "http://localhost", true),
                ("evil.example:8790", false, "http://evil.example:8790", false),
                ("127.0.0.1.evil.example", false, "http://127.0.0.1.evil.example", false),
                ("localhost.evil.example", false, "http://localhost.evil.example", false),
                ("127.0.0.1:8790", true, "https://evil.example", false),
                ("127.0.0.1:8790", true, "null", false),
                ("192.168.1.4:8790", false, "http://192.168.1.4:8790", false),
                ("", false, "http://", false),
            ],
        );
        assert!(Hosts::default().answers_to(None), "a browser always names a host");
    }

    #[test]
    fn listed_names_and_beyond_loopback_addresses_are_ours() {
        let hosts = Hosts::new(&["Models.Example".to_owned(), "other.example:8443".to_owned()], true);
        check(
            &hosts,
            &[
                ("models.example", true, "https://models.example", true),
                ("models.example:99", true, "https://models.example:99", true),
                // A proxy may address us by our own name; the page is still of the proxy's.
                ("127.0.0.1:8790", true, "https://models.example", true),
                ("other.example:8443", true, "https://other.example:8443", true),
                ("other.example", false, "https://other.example", false),
                ("192.168.1.4:8790", true, "http://192.168.1.4:8790", true),
                ("192.168.1.4:8790", true, "http://192.168.1.5", false),
                ("evil.example", false, "http://evil.example", false),
            ],
        );
    }
}
