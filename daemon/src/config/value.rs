//! Is this value one that the option can have?
//!
//! Values come typed from a file and as text from everywhere else; both end up at [`Key::accept`]. A refusal names the
//! option, the value and the limit, so that it can be understood without the documentation.

use std::fmt::Write as _;
use std::net::SocketAddr;

use toml::Value;

use super::keys::Key;
use super::suggest::nearest;

/// Why a value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub what: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

/// What a value must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// An integer from the first to the second.
    Integer(u64, u64),
    /// `auto`, or an integer from the first to the second.
    AutoOr(u64, u64),
    /// At most [`LIST_MAX`] integers from the first to the second.
    Integers(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// At most [`LIST_MAX`] texts, none empty.
    Names,
    /// A text of at most so many bytes without control characters; it may be empty.
    Text(usize),
    /// A path of the file system; relative ones start at the file's folder, or where the daemon was started.
    Path,
    /// `ADDRESS:PORT`.
    Address,
}

/// The word that leaves a number to the daemon.
const AUTO: &str = "auto";

/// How many items a list may have.
pub const LIST_MAX: usize = 64;

impl Key {
    /// Checks a value of a file.
    pub fn accept(&self, value: Value) -> Result<Value, Refusal> {
        let path = &*self.path;
        let mismatch = |value: &Value| Err(self.mismatch(value));
        match (self.kind, &value) {
            (Kind::Flag, Value::Boolean(_)) => Ok(value),
            (Kind::Integer(min, max), Value::Integer(n)) => self.in_bounds(path, *n, min, max).map(|()| value),
            (Kind::AutoOr(..), Value::String(text)) if text == AUTO => Ok(value),
            (Kind::AutoOr(min, max), Value::Integer(n)) => self.in_bounds(path, *n, min, max).map(|()| value),
            (Kind::Integers(min, max), Value::Array(items)) => {
                self.short_enough(items)?;
                for (at, item) in items.iter().enumerate() {
                    let Value::Integer(n) = item else {
                        return mismatch(&value);
                    };
                    self.in_bounds(&format!("{path}[{at}]"), *n, min, max)?;
                }
                Ok(value)
            }
            (Kind::Word(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(value),
            (Kind::Names, Value::Array(items)) => {
                self.short_enough(items)?;
                match items.iter().all(|item| item.as_str().is_some_and(|name| !name.trim().is_empty())) {
                    true => Ok(value),
                    false => mismatch(&value),
                }
            }
            (Kind::Text(max), Value::String(text)) if text.len() <= max && !text.chars().any(char::is_control) => {
                Ok(value)
            }
            (Kind::Path, Value::String(text)) if !text.contains('\0') => Ok(value),
            (Kind::Address, Value::String(text)) => match address(text) {
                Some(address) => Ok(Value::String(address.to_string())),
                None => mismatch(&value),
            },
            _ => mismatch(&value),
        }
    }

    /// Checks a value of the environment or of `--set`: TOML, or the bare text.
    ///
    /// Bare, a switch also says `yes`, `no`, `on`, `off`, `1` and `0` in any case, and a list has commas.
    pub fn read(&self, text: &str) -> Result<Value, Refusal> {
        let text = text.trim();
        let toml = || toml::from_str::<toml::Table>(&format!("value = {text}")).ok()?.remove("value");
        let value = match self.kind {
            Kind::Flag => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Value::Boolean(true),
                "false" | "no" | "off" | "0" => Value::Boolean(false),
                _ => Value::String(text.to_owned()),
            },
            Kind::Integer(..) | Kind::AutoOr(..) => toml().unwrap_or_else(|| Value::String(text.to_owned())),
            Kind::Integers(..) | Kind::Names => match toml() {
                Some(list @ Value::Array(_)) => list,
                _ => self.listed(text),
            },
            Kind::Word(_) | Kind::Text(_) | Kind::Path | Kind::Address => match toml() {
                Some(quoted @ Value::String(_)) => quoted,
                _ => Value::String(text.to_owned()),
            },
        };
        self.accept(value)
    }

    fn listed(&self, text: &str) -> Value {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        Value::Array(match self.kind {
            Kind::Integers(..) => {
                items.map(|item| item.parse().map_or_else(|_| Value::String(item.to_owned()), Value::Integer)).collect()
            }
            _ => items.map(|item| Value::String(item.to_owned())).collect(),
        })
    }

    fn mismatch(&self, value: &Value) -> Refusal {
        let meant = match (self.kind, value) {
            (Kind::Word(words), Value::String(text)) => nearest(&text.to_lowercase(), words.iter().copied()),
            (Kind::AutoOr(..), Value::String(text)) => nearest(&text.to_lowercase(), [AUTO]),
            _ => None,
        };
        Refusal {
            what: format!("`{}` must be {}, not {}", self.path, self.wanted(), shown(value)),
            hint: meant.map(|word| format!("did you mean \"{word}\"?")),
        }
    }

    fn in_bounds(&self, path: &str, n: i64, min: u64, max: u64) -> Result<(), Refusal> {
        let unit = self.unit();
        let what = match u64::try_from(n) {
            Ok(n) if n > max => format!("`{path}` is {n}{unit}, the most allowed is {max}{unit}"),
            Ok(n) if n >= min => return Ok(()),
            _ => format!("`{path}` is {n}{unit}, the least allowed is {min}{unit}"),
        };
        Err(Refusal { what, hint: None })
    }

    fn short_enough(&self, items: &[Value]) -> Result<(), Refusal> {
        if items.len() <= LIST_MAX {
            return Ok(());
        }
        let what = format!("`{}` has {} items, the most allowed are {LIST_MAX}", self.path, items.len());
        Err(Refusal { what, hint: None })
    }

    fn unit(&self) -> &'static str {
        let has = |unit: &str| self.path.split(['.', '_']).any(|word| word == unit);
        match () {
            () if has("bytes") => " bytes",
            () if has("ms") => " ms",
            () if has("us") => " µs",
            () if has("s") && !has("per") || has("ttl") => " s",
            () => "",
        }
    }

    /// What a value must be, in words.
    pub fn wanted(&self) -> String {
        let unit = self.unit();
        match self.kind {
            Kind::Flag => "true or false".to_owned(),
            Kind::Integer(min, max) => format!("an integer from {min} to {max}{unit}"),
            Kind::AutoOr(min, max) => format!("\"{AUTO}\" or an integer from {min} to {max}{unit}"),
            Kind::Integers(min, max) => format!("a list of integers from {min} to {max}{unit}"),
            Kind::Word(words) => {
                let mut text = String::new();
                for (at, word) in words.iter().enumerate() {
                    let comma = match at {
                        0 => "",
                        _ if at + 1 == words.len() => " or ",
                        _ => ", ",
                    };
                    write!(text, "{comma}\"{word}\"").expect("writing to a string does not fail");
                }
                text
            }
            Kind::Names => "a list of names".to_owned(),
            Kind::Text(max) => format!("a text of at most {max} bytes without control characters"),
            Kind::Path => "a path".to_owned(),
            Kind::Address => "ADDRESS:PORT such as \"127.0.0.1:8790\" or \"[::1]:8790\"".to_owned(),
        }
    }
}

/// The address in `text`. `localhost` is a name for 127.0.0.1; no other names are looked up.
fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}

/// A value in a message: what it is and, when short, which.
pub fn shown(value: &Value) -> String {
    /// Longer texts are cut.
    const SHOWN_CHARS: usize = 60;
    match value {
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => {
            let mut short: String = text.chars().take(SHOWN_CHARS).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            format!("{short:?}")
        }
        Value::Integer(n) => format!("the integer {n}"),
        Value::Float(x) => format!("the fraction {x}"),
        Value::Boolean(b) => format!("{b}"),
        Value::Datetime(time) => format!("the time {time}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::find;

    #[test]
    fn text_is_read_as_the_option_needs_it() {
        let read = |path: &str, text: &str| find(path).unwrap().read(text);
        assert_eq!(read("http.insecure", "YES"), Ok(Value::Boolean(true)));
        assert_eq!(read("http.insecure", "0"), Ok(Value::Boolean(false)));
        assert_eq!(read("hub.writers", "auto"), Ok(Value::String("auto".into())));
        assert_eq!(read("hub.writers", "3"), Ok(Value::Integer(3)));
        assert_eq!(read("http.listen", "localhost:1"), Ok(Value::String("127.0.0.1:1".into())));
        assert_eq!(read("http.listen", "\"[::1]:0\""), Ok(Value::String("[::1]:0".into())));
        assert_eq!(read("store.path", "true"), Ok(Value::String("true".into())));
        assert_eq!(read("locks.ttl_s", "1_000"), Ok(Value::Integer(1000)));
        assert_eq!(read("locks.warn_s", "30, 5"), read("locks.warn_s", "[30, 5]"));
        assert_eq!(read("locks.warn_s", ""), Ok(Value::Array(vec![])));
        assert_eq!(read("control.admin_groups", "ops,root"), read("control.admin_groups", "[\"ops\",\"root\"]"));
    }

    #[test]
    fn a_refusal_names_the_option_the_value_and_the_limit() {
        let refuse = |path: &str, text: &str| find(path).unwrap().read(text).unwrap_err().what;
        for (path, text, says) in [
            ("locks.ttl_s", "0", "`locks.ttl_s` is 0 s, the least allowed is 1 s"),
            ("locks.grace_s", "-1", "`locks.grace_s` is -1 s, the least allowed is 0 s"),
            ("hub.turn_budget_us", "100001", "`hub.turn_budget_us` is 100001 µs, the most allowed is 100000 µs"),
            ("limits.messages_per_s", "0", "`limits.messages_per_s` is 0, the least allowed is 1"),
            ("locks.ttl_s", "5m", "`locks.ttl_s` must be an integer from 1 to 86400 s, not \"5m\""),
            ("hub.writers", "65", "`hub.writers` is 65, the most allowed is 64"),
            ("hub.writers", "all", "`hub.writers` must be \"auto\" or an integer from 0 to 64, not \"all\""),
            ("http.insecure", "maybe", "`http.insecure` must be true or false, not \"maybe\""),
            ("engine.kind", "sqlite", "`engine.kind` must be \"embedded\" or \"memory\", not \"sqlite\""),
            ("locks.warn_s", "[60, 0]", "`locks.warn_s[1]` is 0 s, the least allowed is 1 s"),
            ("locks.warn_s", "[60, true]", "`locks.warn_s` must be a list of integers from 1 to 86400 s, not a list"),
        ] {
            assert_eq!(refuse(path, text), says);
        }
        let many = (0..=LIST_MAX).map(|n| format!("g{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(
            refuse("control.admin_groups", &many),
            "`control.admin_groups` has 65 items, the most allowed are 64"
        );
        assert!(refuse("http.listen", "example.com:80").contains("127.0.0.1:8790"));
        let hint = find("log.level").unwrap().read("Warning").unwrap_err().hint;
        assert_eq!(hint.as_deref(), None, "three letters too many");
        assert_eq!(
            find("log.level").unwrap().read("inof").unwrap_err().hint.as_deref(),
            Some("did you mean \"info\"?")
        );
    }
}
