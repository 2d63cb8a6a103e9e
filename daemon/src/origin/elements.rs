//! Which elements does a file of objects or routes hold, and where in its text is each?
//!
//! The text is kept as it is, with the place of every element by its id. Of two elements with one id the one with the
//! higher version counts, of equal ones the first; the building directory decides in the same way.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::version_or_zero;
use super::style::Style;
use super::text::{Change, place, rebuilt, updated};

/// A file's text with the places of its elements.
#[derive(Debug)]
pub struct Elements {
    text: String,
    parts: Vec<Range<usize>>,
    by_id: HashMap<Box<str>, Entry>,
    /// Further elements with an id that another one has.
    overruled: HashMap<Box<str>, Vec<usize>>,
}

/// The element that counts for an id.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: usize,
    version: u64,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(default, deserialize_with = "version_or_zero")]
    version: u64,
}

/// What is to become of an element.
#[derive(Clone, Debug)]
pub enum Edit {
    /// It has this text, wherever it was.
    Put(String),
    /// It is not there.
    Take,
}

impl Elements {
    /// A file that is not there yet: each element will have a line of its own.
    pub fn none() -> Self {
        Elements { text: "[\n]\n".to_owned(), parts: Vec::new(), by_id: HashMap::new(), overruled: HashMap::new() }
    }

    /// Finds the elements of `text`.
    pub fn read(text: String) -> serde_json::Result<Self> {
        let raw: Vec<&RawValue> = serde_json::from_str(&text)?;
        let mut parts = Vec::with_capacity(raw.len());
        let mut by_id: HashMap<Box<str>, Entry> = HashMap::with_capacity(raw.len());
        let mut overruled: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (at, element) in raw.into_iter().enumerate() {
            let head: Head<'_> = serde_json::from_str(element.get())?;
            let part = place(&text, element).expect("an element was parsed out of this very text");
            parts.push(part);
            match by_id.get_mut(head.id.as_ref()) {
                Some(entry) => {
                    let is_newer = head.version > entry.version;
                    let other = if is_newer { entry.at } else { at };
                    overruled.entry(head.id.into()).or_default().push(other);
                    if is_newer {
                        *entry = Entry { at, version: head.version };
                    }
                }
                None => {
                    by_id.insert(head.id.into(), Entry { at, version: head.version });
                }
            }
        }
        Ok(Elements { text, parts, by_id, overruled })
    }

    /// An element's text and version.
    pub fn get(&self, id: &str) -> Option<(&str, u64)> {
        let entry = self.by_id.get(id)?;
        Some((&self.text[self.parts[entry.at].clone()], entry.version))
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The ids, in no order.
    #[cfg(test)]
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(AsRef::as_ref)
    }

    /// The text after `edits`. Every element that none of them names keeps its bytes.
    pub fn edited(&self, edits: &HashMap<&str, Edit>) -> serde_json::Result<String> {
        let mut changes = vec![Change::Keep; self.parts.len()];
        let mut added: Vec<(&str, &String)> = Vec::new();
        for (id, edit) in edits {
            match (self.by_id.get(*id), edit) {
                (Some(entry), Edit::Put(new)) => {
                    changes[entry.at] = Change::Replace(updated(&self.text, &self.parts[entry.at], new)?);
                }
                (Some(entry), Edit::Take) => changes[entry.at] = Change::Remove,
                (None, Edit::Put(new)) => added.push((id, new)),
                (None, Edit::Take) => {}
            }
            // What does not count would come back at a start once what counts is gone.
            for at in self.overruled.get(*id).into_iter().flatten() {
                changes[*at] = Change::Remove;
            }
        }
        added.sort_unstable();
        let style = self.parts.last().map_or_else(Style::spaced, |part| Style::of(&self.text, part));
        let added: Vec<String> = added.into_iter().map(|(_, new)| style.apply(new)).collect();
        if self.parts.is_empty() && self.text.contains('\n') && !added.is_empty() {
            return Ok(format!("[\n  {}\n]\n", added.join(",\n  ")));
        }
        Ok(rebuilt(&self.text, &self.parts, &changes, &added))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, edits: &[(&'static str, Option<&str>)]) -> String {
        let edits =
            edits.iter().map(|(id, new)| (*id, new.map_or(Edit::Take, |new| Edit::Put(new.to_owned())))).collect();
        let elements = match text {
            "" => Elements::none(),
            text => Elements::read(text.to_owned()).unwrap(),
        };
        let then = elements.edited(&edits).unwrap();
        Elements::read(then.clone()).unwrap();
        then
    }

    #[test]
    fn an_element_comes_in_as_its_file_is_written() {
        let one_line = r#"[{"id":"a","v":[1,2]},{"id":"b"}]"#;
        let lines = "[\n  {\"id\": \"a\", \"v\": [1, 2]},\n  {\"id\": \"b\"}\n]\n";
        let new = r#"{"id":"b","w":{"x":1}}"#;
        assert_eq!(edited(one_line, &[("b", Some(new))]), r#"[{"id":"a","v":[1,2]},{"id":"b","w":{"x":1}}]"#);
        let spaced = "[\n  {\"id\": \"a\", \"v\": [1, 2]},\n  {\"id\": \"b\", \"w\": {\"x\": 1}}\n]\n";
        assert_eq!(edited(lines, &[("b", Some(new))]), spaced);
        assert_eq!(edited("[\n  {\"id\": \"a\", \"v\": [1, 2]}\n]\n", &[("b", Some(new))]), spaced, "added");
        assert_eq!(edited("", &[("b", Some(new))]), "[\n  {\"id\": \"b\", \"w\": {\"x\": 1}}\n]\n", "a new file");
        assert_eq!(edited(lines, &[("b", None)]), "[\n  {\"id\": \"a\", \"v\": [1, 2]}\n]\n");
        assert_eq!(edited(lines, &[("a", None), ("b", None), ("c", None)]), "[]\n");
    }

    #[test]
    fn of_two_elements_with_one_id_the_newer_counts_and_an_edit_leaves_one() {
        let text = r#"[{"id":"a","version":1,"n":1},{"id":"a","version":3,"n":2},{"id":"a","version":3,"n":3}]"#;
        let elements = Elements::read(text.to_owned()).unwrap();
        assert_eq!(elements.get("a"), Some((r#"{"id":"a","version":3,"n":2}"#, 3)));
        assert_eq!(edited(text, &[("a", Some(r#"{"id":"a","version":4}"#))]), r#"[{"id":"a","version":4}]"#);
        assert_eq!(edited(text, &[("a", None)]), "[]");
    }

    #[test]
    fn a_version_that_is_no_number_counts_as_none() {
        for (version, is) in [("7", 7), ("\"7\"", 0), ("1.5", 0), ("-1", 0), ("null", 0), ("{\"a\":[1]}", 0)] {
            let elements = Elements::read(format!(r#"[{{"id":"a","version":{version}}}]"#)).unwrap();
            assert_eq!(elements.get("a").unwrap().1, is, "{version}");
        }
        for broken in ["{}", "[1]", "[{}]", "[{\"id\":1}]", "[{\"id\":\"a\"},]"] {
            assert!(Elements::read(broken.to_owned()).is_err(), "{broken}");
        }
    }
}
