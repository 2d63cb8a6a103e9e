//! How has somebody laid out a JSON value, and how does another value look in the same layout?
//!
//! A layout is seen at brackets, commas, colons and line ends outside of strings; that much of JSON is scanned here, in
//! texts that a parser has accepted before. Applied to a value, it sets blanks and line ends anew and copies all else.

use std::ops::Range;

/// How somebody lays out a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// A blank behind each colon.
    pub colon: bool,
    /// A blank behind each comma.
    pub comma: bool,
    /// Levels whose parts have lines of their own.
    pub broken: usize,
    /// What each level is set in by.
    pub indent: String,
    /// What the line is set in by on which the value begins.
    pub base: String,
}

impl Style {
    /// One line with blanks, as people write it.
    pub fn spaced() -> Self {
        Style { colon: true, comma: true, broken: 0, indent: String::new(), base: String::new() }
    }

    /// No blank that is not needed.
    pub fn compact() -> Self {
        Style { colon: false, comma: false, broken: 0, indent: String::new(), base: String::new() }
    }

    /// The members of an object on lines of their own, each on one.
    pub fn lines() -> Self {
        Style { broken: 1, indent: "  ".to_owned(), ..Style::spaced() }
    }

    /// The layout of the value that lies at `part` of `text`.
    pub fn of(text: &str, part: &Range<usize>) -> Self {
        let before = &text[..part.start];
        let line = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        let base: String = line.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
        let value = &text[part.clone()];
        let mut style = Style { base, ..Style::compact() };
        let mut depth = 0;
        let mut colons = 0;
        let mut commas = 0;
        for (at, token) in tokens(value) {
            let rest = &value[at + 1..];
            match token {
                '{' | '[' => depth += 1,
                '}' | ']' => depth -= 1,
                ':' => {
                    style.colon |= colons == 0 && rest.starts_with(' ');
                    colons += 1;
                }
                ',' if !rest.starts_with(['\n', '\r']) => {
                    style.comma |= commas == 0 && rest.starts_with(' ');
                    commas += 1;
                }
                '\n' => {
                    if style.broken == 0 {
                        let set_in: String = rest.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
                        style.indent = set_in.strip_prefix(&style.base).unwrap_or(&set_in).to_owned();
                    }
                    style.broken = style.broken.max(depth);
                }
                _ => {}
            }
        }
        style.comma |= commas == 0 && style.colon;
        style
    }

    /// The value `text` in this layout.
    pub fn apply(&self, text: &str) -> String {
        self.apply_at(0, text)
    }

    /// A member or element `text` as it stands inside a value of this layout.
    pub fn apply_inside(&self, text: &str) -> String {
        self.apply_at(1, text)
    }

    fn apply_at(&self, outer: usize, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 8);
        let mut depth = outer;
        let mut copied = 0;
        let mut is_opening = false;
        let line = |out: &mut String, depth: usize| {
            out.push('\n');
            out.push_str(&self.base);
            (0..depth).for_each(|_| out.push_str(&self.indent));
        };
        let value = text.trim();
        for (at, token) in tokens(value).chain([(value.len(), '\n')]) {
            let scalar = &value[copied..at];
            copied = at + token.len_utf8();
            if !scalar.is_empty() {
                if is_opening && depth <= self.broken {
                    line(&mut out, depth);
                }
                is_opening = false;
                out.push_str(scalar);
            }
            match token {
                '{' | '[' => {
                    if is_opening && depth <= self.broken {
                        line(&mut out, depth);
                    }
                    out.push(token);
                    depth += 1;
                    is_opening = true;
                }
                '}' | ']' => {
                    if !is_opening && depth <= self.broken {
                        line(&mut out, depth - 1);
                    }
                    is_opening = false;
                    depth -= 1;
                    out.push(token);
                }
                ',' => {
                    out.push(',');
                    if depth <= self.broken {
                        line(&mut out, depth);
                    } else if self.comma {
                        out.push(' ');
                    }
                }
                ':' => out.push_str(if self.colon { ": " } else { ":" }),
                _ => {}
            }
        }
        out
    }
}

/// The places of brackets, commas, colons and blanks outside of strings.
fn tokens(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut in_string = false;
    let mut is_escaped = false;
    text.bytes().enumerate().filter_map(move |(at, byte)| {
        if in_string {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            return None;
        }
        in_string = byte == b'"';
        matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':' | b' ' | b'\n' | b'\r' | b'\t')
            .then_some((at, byte as char))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_on_the_layout_of_another() {
        let compact = r#"{"a":[1,{"b":2.50}],"c":"x, y: {","d":{},"e":[]}"#;
        for text in [
            compact,
            r#"{"a": [1, {"b": 2.50}], "c": "x, y: {", "d": {}, "e": []}"#,
            "{\n  \"a\": [1, {\"b\": 2.50}],\n  \"c\": \"x, y: {\",\n  \"d\": {},\n  \"e\": []\n}",
            "{\n\t\"a\": [\n\t\t1,\n\t\t{\n\t\t\t\"b\": 2.50\n\t\t}\n\t],\n\t\"c\": \"x, y: {\",\n\t\"d\": {},\n\t\"e\": []\n}",
        ] {
            let style = Style::of(text, &(0..text.len()));
            assert_eq!(style.apply(compact), text);
            assert_eq!(style.apply(text), text, "a layout changes nothing that has it");
        }
        let file = "[\n    {\n      \"a\": 1\n    }\n]";
        let part = file.find('{').unwrap()..file.rfind('}').unwrap() + 1;
        assert_eq!(Style::of(file, &part).apply(r#"{"b":2}"#), "{\n      \"b\": 2\n    }");
    }
}
