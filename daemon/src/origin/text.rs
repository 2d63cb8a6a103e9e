//! How is a part of a JSON text changed so that the rest stays as somebody wrote it?
//!
//! Files of the origin belong to people: they keep them in version control and read their differences. So a text is
//! never parsed and printed anew. The places of its parts are found, and what changes is spliced in between the bytes
//! that do not; a part that comes in takes on the layout (one line, spaced, indented) of what it replaces. Numbers keep
//! their digits and members their order.

use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{self, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What becomes of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its bytes stay.
    Keep,
    /// These take its place.
    Replace(String),
    /// It goes, and one comma with it.
    Remove,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, without escapes.
    pub name: String,
    /// From its name's quote to the end of its value.
    pub whole: Range<usize>,
    /// Its value.
    pub value: Range<usize>,
}

/// The members of an object, in their order.
pub fn members(text: &str) -> serde_json::Result<Vec<Member>> {
    struct Members<'t>(&'t str);
    impl<'de> Visitor<'de> for Members<'de> {
        type Value = Vec<Member>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Member>, A::Error> {
            let mut members: Vec<Member> = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                let value = place(self.0, value).ok_or_else(|| de::Error::custom("a value from elsewhere"))?;
                // Between two values there are a comma, a name, a colon and blanks.
                let after = members.last().map_or(0, |member| member.value.end);
                let quote = self.0[after..value.start].find('"').map_or(value.start, |at| after + at);
                members.push(Member { name, whole: quote..value.end, value });
            }
            Ok(members)
        }
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let members = parser.deserialize_map(Members(text))?;
    parser.end()?;
    Ok(members)
}

/// Where in `text` a value lies that was parsed out of it.
pub fn place(text: &str, value: &RawValue) -> Option<Range<usize>> {
    let start = (value.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let end = start + value.get().len();
    (end <= text.len()).then_some(start..end)
}

/// The text of an array or object whose `parts` change; `added` come behind them.
///
/// What is kept keeps the bytes in front of it too, so nothing moves but what has to.
pub fn rebuilt(text: &str, parts: &[Range<usize>], changes: &[Change], added: &[String]) -> String {
    let open = text.find(['[', '{']).map_or(0, |at| at + 1);
    let close = text.rfind([']', '}']).unwrap_or(text.len()).max(open);
    let (first, last) = match (parts.first(), parts.last()) {
        (Some(first), Some(last)) => (first.start, last.end),
        _ => (open, close),
    };
    let gap = gap_of(text, parts, open);
    let mut out = String::with_capacity(text.len() + added.iter().map(|text| text.len() + gap.len()).sum::<usize>());
    out.push_str(&text[..first]);
    let mut is_empty = true;
    for (at, (part, change)) in parts.iter().zip(changes).enumerate() {
        let new = match change {
            Change::Keep => &text[part.clone()],
            Change::Replace(new) => new,
            Change::Remove => continue,
        };
        if !is_empty {
            out.push_str(&text[parts[at - 1].end..part.start]);
        }
        out.push_str(new);
        is_empty = false;
    }
    for new in added {
        if !is_empty {
            out.push_str(&gap);
        }
        out.push_str(new);
        is_empty = false;
    }
    if is_empty {
        // Nothing is left: no blank line between the brackets.
        return format!("{}{}", &text[..open], &text[close..]);
    }
    out.push_str(&text[last..]);
    out
}

/// What stands between two parts: as between the last two, or as the first one begins.
fn gap_of(text: &str, parts: &[Range<usize>], open: usize) -> String {
    match parts {
        [.., before, last] => text[before.end..last.start].to_owned(),
        [only] => {
            let lead = &text[open..only.start];
            match lead.contains('\n') {
                true => format!(",{lead}"),
                false if Style::of(text, &(0..text.len())).comma => ", ".to_owned(),
                false => ",".to_owned(),
            }
        }
        [] => ",".to_owned(),
    }
}

/// The object `old` with the members of `new`: what is the same keeps its bytes and its place, what differs takes on the
/// layout of what was there, and what is new comes last.
pub fn updated(text: &str, old: &Range<usize>, new: &str) -> serde_json::Result<String> {
    let style = Style::of(text, old);
    let was = &text[old.clone()];
    let (before, after) = (members(was)?, members(new)?);
    let find = |name: &str| after.iter().find(|member| member.name == name);
    let is_twice = |all: &[Member]| {
        let mut names: Vec<&str> = all.iter().map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    };
    if before.is_empty() || is_twice(&before) || is_twice(&after) {
        return Ok(style.apply(new));
    }
    let changes: Vec<Change> = before
        .iter()
        .map(|member| {
            Ok(match find(&member.name) {
                None => Change::Remove,
                Some(then) => {
                    let value = old.start + member.value.start..old.start + member.value.end;
                    let new = &new[then.value.clone()];
                    let new = match text[value.clone()].starts_with('{') && new.starts_with('{') {
                        true => updated(text, &value, new)?,
                        false if is_same(&text[value.clone()], new) => return Ok(Change::Keep),
                        false => Style::of(text, &value).apply(new),
                    };
                    Change::Replace(format!("{}{new}", &was[member.whole.start..member.value.start]))
                }
            })
        })
        .collect::<serde_json::Result<_>>()?;
    let added: Vec<String> = after
        .iter()
        .filter(|member| !before.iter().any(|old| old.name == member.name))
        .map(|member| style.apply_inside(&new[member.whole.clone()]))
        .collect();
    let parts: Vec<Range<usize>> = before.into_iter().map(|member| member.whole).collect();
    Ok(rebuilt(was, &parts, &changes, &added))
}

/// The object `text` with one member set, replaced where it is or added as the last.
pub fn with_member(text: &str, name: &str, value: &str) -> serde_json::Result<String> {
    let members = members(text)?;
    let quoted = serde_json::to_string(name)?;
    let mut is_there = false;
    let changes: Vec<Change> = members
        .iter()
        .map(|member| match member.name == name {
            true => {
                is_there = true;
                Change::Replace(format!("{}{value}", &text[member.whole.start..member.value.start]))
            }
            false => Change::Keep,
        })
        .collect();
    let added = if is_there {
        Vec::new()
    } else {
        vec![Style::of(text, &(0..text.len())).apply_inside(&format!("{quoted}:{value}"))]
    };
    let parts: Vec<Range<usize>> = members.into_iter().map(|member| member.whole).collect();
    Ok(rebuilt(text, &parts, &changes, &added))
}

/// The object `text` without a member, and the member's value if it was there.
pub fn without_member<'t>(text: &'t str, name: &str) -> serde_json::Result<(String, Option<&'t str>)> {
    let members = members(text)?;
    let value = members.iter().rfind(|member| member.name == name).map(|member| &text[member.value.clone()]);
    let change = |member: &Member| if member.name == name { Change::Remove } else { Change::Keep };
    let changes: Vec<Change> = members.iter().map(change).collect();
    let parts: Vec<Range<usize>> = members.into_iter().map(|member| member.whole).collect();
    Ok((rebuilt(text, &parts, &changes, &[]), value))
}

/// Are these two values the same but for blanks?
fn is_same(a: &str, b: &str) -> bool {
    a == b || Style::compact().apply(a) == Style::compact().apply(b)
}

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

    fn parts(text: &str) -> Vec<Range<usize>> {
        let raw: Vec<&RawValue> = serde_json::from_str(text).unwrap();
        raw.iter().map(|value| place(text, value).unwrap()).collect()
    }

    #[test]
    fn what_does_not_change_keeps_its_bytes() {
        use Change::{Keep, Remove, Replace};
        let new = || Replace("X".to_owned());
        let check = |text: &str, changes: &[Change], added: &[&str], then: &str| {
            let added: Vec<String> = added.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(rebuilt(text, &parts(text), changes, &added), then, "{text}");
        };
        check("[ 1,2 , 3 ]\n", &[Keep, new(), Keep], &[], "[ 1,X , 3 ]\n");
        check("[\n  1,\n  2,\n  3\n]\n", &[Remove, Keep, Keep], &[], "[\n  2,\n  3\n]\n");
        check("[\n  1,\n  2,\n  3\n]\n", &[Keep, Keep, Remove], &[], "[\n  1,\n  2\n]\n");
        check("[\n  1,\n  2,\n  3\n]\n", &[Remove, Keep, Remove], &["4"], "[\n  2,\n  4\n]\n");
        check("[\n  1\n]\n", &[Keep], &["2", "3"], "[\n  1,\n  2,\n  3\n]\n");
        check("[\n  1\n]\n", &[Remove], &[], "[]\n");
        check("[\n  1\n]\n", &[Remove], &["2"], "[\n  2\n]\n");
        check("[]", &[], &["1", "2"], "[1,2]");
        check("[1,2]", &[Keep, Keep], &["3"], "[1,2,3]");
    }

    #[test]
    fn members_are_found_with_their_names_and_values() {
        let text = r#" {"a" : [1, 2], "b\"c":{"a":":"} } "#;
        let found = members(text).unwrap();
        let shown: Vec<_> =
            found.iter().map(|m| (m.name.as_str(), &text[m.whole.clone()], &text[m.value.clone()])).collect();
        let second = (r#"b"c"#, r#""b\"c":{"a":":"}"#, r#"{"a":":"}"#);
        assert_eq!(shown, [("a", r#""a" : [1, 2]"#, "[1, 2]"), second]);
        for bad in ["[]", "{", "{} {}", "1"] {
            assert!(members(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_object_changes_where_it_differs() {
        let check = |old: &str, new: &str, then: &str| {
            assert_eq!(updated(old, &(0..old.len()), new).unwrap(), then);
            assert_eq!(updated(then, &(0..then.len()), new).unwrap(), then, "once is enough");
        };
        let mixed = "{\n  \"a\": [\n    1, 2],\n  \"b\": {\"x\":1},\n  \"c\": 3\n}";
        let same = r#"{"c":3,"b":{"x":1},"a":[1,2]}"#;
        check(mixed, same, mixed);
        check(mixed, &same.replace('3', "[4,5]"), &mixed.replace('3', "[4,5]"));
        check(
            mixed,
            r#"{"a":[1,2],"c":3,"d":{"e":[1,2]}}"#,
            "{\n  \"a\": [\n    1, 2],\n  \"c\": 3,\n  \"d\": {\n    \"e\": [1, 2]\n  }\n}",
        );
        check("{}", r#"{"a":1}"#, r#"{"a":1}"#);
        check(r#"{"a": 1, "a": 2}"#, r#"{"a":3}"#, r#"{"a": 3}"#);
    }

    #[test]
    fn a_member_is_set_and_taken_out() {
        assert_eq!(with_member(r#"{"a": 1, "b": 2}"#, "a", "[3]").unwrap(), r#"{"a": [3], "b": 2}"#);
        assert_eq!(with_member("{\n  \"a\": 1\n}\n", "g", "[3]").unwrap(), "{\n  \"a\": 1,\n  \"g\": [3]\n}\n");
        assert_eq!(with_member("{}", "g", "3").unwrap(), r#"{"g":3}"#);
        assert_eq!(without_member(r#"{"a": 1, "b": 2}"#, "b").unwrap(), (r#"{"a": 1}"#.to_owned(), Some("2")));
        assert_eq!(without_member(r#"{"a":1}"#, "b").unwrap(), (r#"{"a":1}"#.to_owned(), None));
    }

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
        let part = parts(file)[0].clone();
        assert_eq!(Style::of(file, &part).apply(r#"{"b":2}"#), "{\n      \"b\": 2\n    }");
    }
}
