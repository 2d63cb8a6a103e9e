//! Writing JSON objects straight into a byte buffer, and two looks at a text before it is parsed: how deep it nests, and
//! whether it holds halves of characters.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write as _;

/// An object that is being written. Closed by [`Object::end`].
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// Writes a key that needs no escaping and leaves the buffer ready for its value.
    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A text.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        string(self.key(key), value);
        self
    }

    /// A text that is known to need no escaping, such as a time, a handle or a name from a table.
    pub fn plain(&mut self, key: &str, value: impl Display) -> &mut Self {
        let out = self.key(key);
        out.push(b'"');
        write!(out, "{value}").expect("a Vec takes every byte");
        out.push(b'"');
        self
    }

    /// The bytes of a text that is known to need no escaping.
    pub fn ascii(&mut self, key: &str, value: &[u8]) -> &mut Self {
        let out = self.key(key);
        out.push(b'"');
        out.extend_from_slice(value);
        out.push(b'"');
        self
    }

    /// All members of an object that is written already.
    pub fn members_of(&mut self, object: &[u8]) -> &mut Self {
        let members = &object[1..object.len() - 1];
        if !members.is_empty() {
            if !self.empty {
                self.out.push(b',');
            }
            self.empty = false;
            self.out.extend_from_slice(members);
        }
        self
    }

    /// An integer.
    pub fn int(&mut self, key: &str, value: u64) -> &mut Self {
        integer(self.key(key), value);
        self
    }

    /// A truth value.
    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// A JSON value that is already text.
    pub fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key).extend_from_slice(value.as_bytes());
        self
    }

    /// A JSON value that is already text, under a key that may need escaping.
    pub fn raw_text_key(&mut self, key: &str, value: &str) -> &mut Self {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        string(self.out, key);
        self.out.push(b':');
        self.out.extend_from_slice(value.as_bytes());
        self
    }

    /// A JSON value that is already text, or `null`.
    pub fn raw_or_null(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        self.raw(key, value.unwrap_or("null"))
    }

    /// An object or array that `write` appends whole.
    pub fn with(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        write(self.key(key));
        self
    }

    /// An array; `write` is called for each item and appends one value.
    pub fn list<T>(
        &mut self,
        key: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) -> &mut Self {
        let out = self.key(key);
        out.push(b'[');
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write(out, item);
        }
        out.push(b']');
        self
    }

    /// Closes the object.
    pub fn end(self) {
        self.out.push(b'}');
    }
}

/// Appends a JSON string.
pub fn string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    let bytes = value.as_bytes();
    let mut from = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let escape: &[u8] = match b {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..0x20 => {
                out.extend_from_slice(&bytes[from..i]);
                write!(out, "\\u{b:04x}").expect("a Vec takes every byte");
                from = i + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..i]);
        out.extend_from_slice(escape);
        from = i + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends a decimal integer.
pub fn integer(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Whether `text` opens more than `max` arrays and objects within each other. Right for JSON; for other text it may
/// say anything, and the parser that follows says the rest.
pub fn deeper_than(text: &str, max: usize) -> bool {
    if text.len() <= max {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for b in text.bytes() {
        if quoted {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match b {
            b'"' => quoted = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The text with U+FFFD in the place of every `\u` escape that is half of a surrogate pair.
///
/// JSON's grammar allows such halves, and programs that cut a text in the middle of an emoji send them. What we do not
/// parse we pass on as it is, and many receivers cannot read a text with half a character: one sender's message would
/// break the others. Browsers replace such halves in the same way wherever text leaves them.
pub fn whole_characters(text: &str) -> Cow<'_, str> {
    if !text.contains("\\u") {
        return Cow::Borrowed(text);
    }
    let escape = |at: usize| {
        let digits = text.as_bytes().get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut whole = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        at += match escape(at) {
            Some(0xd800..=0xdbff) if matches!(escape(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                whole.push_str(&text[copied..at]);
                whole.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            // A backslash and whatever it escapes, which may be a backslash.
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    whole.push_str(&text[copied..]);
    Cow::Owned(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_replaced_and_nothing_else() {
        for (text, whole) in [
            (r#""plain 🏢 \n""#, r#""plain 🏢 \n""#),
            (r#""\ud83c\udfe2 \u00e9""#, r#""\ud83c\udfe2 \u00e9""#),
            (r#""\ud83c""#, r#""\ufffd""#),
            (r#""\uD83C\uD83C\uDFE2\uDFE2""#, r#""\ufffd\uD83C\uDFE2\ufffd""#),
            (r#"{"\udfe2":"é\ud83c\n"}"#, r#"{"\ufffd":"é\ufffd\n"}"#),
            (r#""\\ud83c \\\ud83c""#, r#""\\ud83c \\\ufffd""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\u+83c \ué""#, r#""\u+83c \ué""#),
            (r"\", r"\"),
        ] {
            assert_eq!(whole_characters(text), whole, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_json_that_says_the_same() {
        for text in ["", "plain", "q\"b\\s/", "\u{0}\u{1f}\n\r\t", "🏢 ünï", "</script>"] {
            let mut out = Vec::new();
            let mut object = Object::new(&mut out);
            object.text("a", text).int("n", u64::MAX).bool("b", true).raw_or_null("z", None);
            object.list("l", [1, 2], integer);
            object.end();
            let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(value["a"], text);
            assert_eq!(value["n"], u64::MAX);
            assert_eq!(value["l"], serde_json::json!([1, 2]));
            assert!(value["z"].is_null());
        }
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(!deeper_than(&nested(64), 64));
        assert!(deeper_than(&nested(65), 64));
        assert!(!deeper_than(&format!("\"{}\\\"{}\"", "[".repeat(99), "{".repeat(99)), 64));
    }
}
