//! Where in an answer is the value?
//!
//! A JSON pointer (RFC 6901) is followed through the text, and the value is the part of the text that it leads to: its
//! numbers keep their digits and its members their order. What lies beside the way is passed over without being kept.

use serde_json::value::RawValue;

use crate::origin::text::members;

/// The value that a pointer leads to; none when there is nothing.
pub fn find<'t>(text: &'t str, pointer: &str) -> serde_json::Result<Option<&'t str>> {
    let mut at: &'t RawValue = serde_json::from_str(text)?;
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        at = match at.get().as_bytes().first() {
            Some(b'{') => {
                let here = at.get();
                let Some(member) = members(here)?.into_iter().rev().find(|member| member.name == name) else {
                    return Ok(None);
                };
                serde_json::from_str(&here[member.value])?
            }
            Some(b'[') => {
                let items: Vec<&'t RawValue> = serde_json::from_str(at.get())?;
                let is_number = name == "0" || (!name.starts_with('0') && name.bytes().all(|b| b.is_ascii_digit()));
                let place = name.parse::<usize>().ok().filter(|_| is_number);
                let Some(item) = place.and_then(|place| items.get(place).copied()) else { return Ok(None) };
                item
            }
            _ => return Ok(None),
        };
    }
    Ok(Some(at.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 6901, and what it leaves open.
    #[test]
    fn a_pointer_leads_where_the_standard_says() {
        let text = r#"{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "i\\j": 5, "k\"l": 6, " ": 7,
            "m~n": 8, "deep": {"x": [{"y": 1.50}]}, "nothing": null}"#;
        let check = |pointer: &str, value: Option<&str>| {
            assert_eq!(find(text, pointer).unwrap(), value, "{pointer:?}");
        };
        check("", Some(text));
        check("/foo", Some(r#"["bar", "baz"]"#));
        for (pointer, value) in [("/foo/0", "\"bar\""), ("/", "0"), ("/a~1b", "1"), ("/c%d", "2"), ("/e^f", "3")] {
            check(pointer, Some(value));
        }
        for (pointer, value) in [("/i\\j", "5"), ("/k\"l", "6"), ("/ ", "7"), ("/m~0n", "8"), ("/nothing", "null")] {
            check(pointer, Some(value));
        }
        check("/deep/x/0/y", Some("1.50"));
        for nowhere in ["/no", "/foo/2", "/foo/-", "/foo/00", "/foo/0/x", "/foo/+1", "/deep/x/y"] {
            check(nowhere, None);
        }
        assert!(find("{", "/a").is_err());
    }
}
