//! Which address has a value?
//!
//! A template is a path with names in braces; what takes their place is encoded, so that an id with `/`, `?` or `..` in
//! it names one segment and nothing else. A template without a value for one of its names gives no address: what lies in
//! no building is nowhere below `/buildings/{building}`.

use hyper::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is within a segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// What a template may name.
const NAMES: [&str; 3] = ["id", "floor", "building"];

/// What an address is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// The id as it was asked for.
    pub id: &'a str,
    /// The floor.
    pub floor: Option<&'a str>,
    /// The building.
    pub building: Option<&'a str>,
}

/// The beginning of all addresses: a scheme, a host, and perhaps a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(String);

/// An address with names in it; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(&'static str),
}

impl Base {
    /// Checks a service's address.
    pub fn new(text: &str) -> Result<Base, String> {
        let uri: Uri = text.parse().map_err(|_| format!("{} is no address", shown(text)))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Err("an address must not hold a password; a token is read from `origin.http.token_file`".to_owned())
            }
            (Some("http" | "https"), Some(_)) if uri.query().is_none() => {
                Ok(Base(text.trim_end_matches('/').to_owned()))
            }
            (Some("http" | "https"), Some(_)) => Err("a service's address must not have a query".to_owned()),
            _ => Err(format!("{} must begin with http:// or https://", shown(text))),
        }
    }

    /// The service without its path, for people.
    pub fn shown(&self) -> &str {
        let host = self.0.find("://").map_or(0, |at| at + 3);
        let end = self.0[host..].find('/').map_or(self.0.len(), |at| host + at);
        &self.0[..end]
    }

    /// Does what is sent travel in the open, beyond this machine?
    pub fn is_open(&self) -> bool {
        let uri: Option<Uri> = self.0.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.0.starts_with("http://") && !is_here
    }
}

/// What somebody wrote as an address, unless it might hold a password.
fn shown(text: &str) -> String {
    if text.contains('@') { "this".to_owned() } else { format!("{text:?}") }
}

impl Template {
    /// Checks a template.
    pub fn new(text: &str) -> Result<Template, String> {
        if text.is_empty() {
            return Ok(Template::default());
        }
        if !text.starts_with('/') {
            return Err(format!("{text:?} must begin with `/`: it is below `origin.http.url`"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let Some(end) = rest[open..].find('}') else {
                return Err(format!("{text:?} has a brace that nothing closes"));
            };
            let name = &rest[open + 1..open + end];
            let Some(name) = NAMES.iter().find(|known| **known == name) else {
                return Err(format!("{text:?} names {{{name}}}; only {{id}}, {{floor}} and {{building}} are known"));
            };
            parts.push(Part::Text(rest[..open].to_owned()));
            parts.push(Part::Name(name));
            rest = &rest[open + end + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        let template = Template(parts);
        let sample = About { id: "a", floor: Some("a"), building: Some("a") };
        match template.path(sample).is_some_and(|path| path.parse::<Uri>().is_ok()) {
            true => Ok(template),
            false => Err(format!("{text:?} is no address")),
        }
    }

    /// There is none.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Does it name this?
    pub fn names(&self, name: &str) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Name(named) if *named == name))
    }

    /// The address of something.
    pub fn address(&self, base: &Base, about: About<'_>) -> Option<Uri> {
        format!("{}{}", base.0, self.path(about)?).parse().ok()
    }

    fn path(&self, about: About<'_>) -> Option<String> {
        if self.is_none() {
            return None;
        }
        let mut path = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::Name("id") => path.extend(utf8_percent_encode(about.id, SEGMENT)),
                Part::Name("floor") => path.extend(utf8_percent_encode(about.floor?, SEGMENT)),
                Part::Name(_) => path.extend(utf8_percent_encode(about.building?, SEGMENT)),
            }
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_whatever_is_in_it() {
        let base = Base::new("https://api.example/v2/").unwrap();
        let template = Template::new("/b/{building}/floors/{floor}?of={id}").unwrap();
        let about = About { id: "a&b=c", floor: Some("hq:level-1/../x?y#z%"), building: Some("..") };
        let address = template.address(&base, about).unwrap().to_string();
        assert_eq!(
            address,
            "https://api.example/v2/b/%2E%2E/floors/hq%3Alevel%2D1%2F%2E%2E%2Fx%3Fy%23z%25?of=a%26b%3Dc"
                .replace("%2D", "-")
        );
        assert_eq!(template.address(&base, About { floor: None, ..about }), None, "it lies on no floor");
        assert!(Template::new("").unwrap().address(&base, about).is_none());
        assert_eq!((base.shown(), base.is_open()), ("https://api.example", false));
        for (text, open) in [("http://127.0.0.1:1", false), ("http://[::1]:1/x", false), ("http://10.0.0.1", true)] {
            assert_eq!(Base::new(text).unwrap().is_open(), open, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_an_address_is_said_and_a_password_is_not_repeated() {
        for bad in ["floors", "/a/{flor}", "/a/{id", "/a b"] {
            assert!(Template::new(bad).is_err(), "{bad}");
        }
        for bad in ["", "api.example", "ftp://x", "https://u:secret@x/", "https://u:secret@x y", "https://x/?key=1"] {
            let why = Base::new(bad).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
