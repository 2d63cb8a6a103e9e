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

use super::style::Style;

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
}
