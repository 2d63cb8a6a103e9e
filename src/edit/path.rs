//! Which place in a document is meant?
//!
//! A [`Path`] is a JSON Pointer (RFC 6901) that has been checked: bounded in bytes and depth, every `~` an escape.
//! Where an array is a list of things with ids (see [`super::value`]), a segment is the id of the element and never its
//! position, so a path means the same thing whatever others insert before it.
//!
//! Paths are ordered by their bytes. Everything below `/a` begins with `/a/`, so it is one contiguous range, however
//! many siblings such as `/a!` or `/ab` there are: [`below`] gives its bounds.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest path, in bytes of its escaped text.
pub const PATH_BYTES_MAX: usize = 2048;

/// The most segments in a path, and the deepest nesting of a document.
pub const PATH_DEPTH_MAX: usize = 64;

/// What stands for the order of a list, behind the list's path. No pointer can hold it: `~o` is no escape.
const ORDER: &str = "/~o";

/// A place in a document. The empty path is the document itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Arc<str>);

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// Neither empty nor beginning with `/`.
    NoSlash,
    /// The text has this many bytes, more than [`PATH_BYTES_MAX`].
    TooLong(usize),
    /// The text has this many segments, more than [`PATH_DEPTH_MAX`].
    TooDeep(usize),
    /// The `~` at this byte is followed by neither `0` nor `1`.
    Escape(usize),
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadPath::NoSlash => write!(f, "a path is empty or begins with '/'"),
            BadPath::TooLong(n) => write!(f, "a path has at most {PATH_BYTES_MAX} bytes, this one has {n}"),
            BadPath::TooDeep(n) => write!(f, "a path has at most {PATH_DEPTH_MAX} segments, this one has {n}"),
            BadPath::Escape(at) => write!(f, "the '~' at byte {at} of the path is followed by neither '0' nor '1'"),
        }
    }
}

impl std::error::Error for BadPath {}

impl Path {
    /// The document itself.
    pub fn root() -> Self {
        Path(Arc::from(""))
    }

    /// Checks the text of a pointer.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(BadPath::NoSlash);
        }
        check_size(text.len(), text.bytes().filter(|b| *b == b'/').count())?;
        for (at, _) in text.match_indices('~') {
            if !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')) {
                return Err(BadPath::Escape(at));
            }
        }
        Ok(Path(Arc::from(text)))
    }

    /// The place of a member, or of an element by its id, within this place.
    pub fn child(&self, segment: &str) -> Result<Self, BadPath> {
        check_size(self.0.len() + 1 + escaped_len(segment), self.depth() + 1)?;
        Ok(Path(Arc::from(join(&self.0, segment))))
    }

    /// The text of the pointer.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the document itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// How many segments it has.
    pub fn depth(&self) -> usize {
        self.0.bytes().filter(|b| *b == b'/').count()
    }

    /// The place that this one is directly within, and its name there.
    pub fn split(&self) -> Option<(&str, Cow<'_, str>)> {
        let (parent, raw) = self.0.rsplit_once('/')?;
        Some((parent, unescape(raw)))
    }

    /// The place that this one is directly within.
    pub fn parent(&self) -> Option<Path> {
        self.split().map(|(parent, _)| Path(Arc::from(parent)))
    }

    /// The segments, unescaped, from the outermost.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        segments(&self.0)
    }

    /// Whether `other` lies within this place and is not this place.
    pub fn is_above(&self, other: &Path) -> bool {
        other.rest(&self.0).is_some_and(|rest| !rest.is_empty())
    }

    /// Whether `other` is this place or lies within it.
    pub fn covers(&self, other: &Path) -> bool {
        other.rest(&self.0).is_some()
    }

    /// What is left of this path behind `ancestor`: empty, or a pointer of its own.
    pub(crate) fn rest(&self, ancestor: &str) -> Option<&str> {
        rest(&self.0, ancestor)
    }

    /// The paths that lead here, from the root, this one not included.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// The path of text that was cut from a path, or joined from a place in a document that was checked.
    pub(crate) fn known(text: &str) -> Self {
        Path(Arc::from(text))
    }

    /// What stands for the order of the list at this place in an index of paths.
    pub(crate) fn order(&self) -> Path {
        Path(Arc::from([&*self.0, ORDER].concat()))
    }
}

fn check_size(bytes: usize, depth: usize) -> Result<(), BadPath> {
    if bytes > PATH_BYTES_MAX {
        return Err(BadPath::TooLong(bytes));
    }
    if depth > PATH_DEPTH_MAX {
        return Err(BadPath::TooDeep(depth));
    }
    Ok(())
}

/// What is left of `text` behind `ancestor`, if it lies there.
pub(crate) fn rest<'a>(text: &'a str, ancestor: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(ancestor)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The segments of a pointer's text, unescaped.
pub(crate) fn segments(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split('/').skip(1).map(unescape)
}

/// The bounds of everything that lies within `path`, itself not included.
pub(crate) fn below(path: &str) -> (String, String) {
    // '0' is the byte that follows '/'.
    ([path, "/"].concat(), [path, "0"].concat())
}

/// The same as bounds for a search.
pub(crate) fn bounds(range: &(String, String)) -> (Bound<&str>, Bound<&str>) {
    (Bound::Included(range.0.as_str()), Bound::Excluded(range.1.as_str()))
}

/// How many bytes a segment has in the text of a pointer.
pub(crate) fn escaped_len(segment: &str) -> usize {
    segment.len() + segment.bytes().filter(|b| matches!(b, b'~' | b'/')).count()
}

/// The text of the pointer to `segment` within `parent`.
pub(crate) fn join(parent: &str, segment: &str) -> String {
    let mut text = String::with_capacity(parent.len() + 1 + segment.len());
    text.push_str(parent);
    text.push('/');
    for c in segment.chars() {
        match c {
            '~' => text.push_str("~0"),
            '/' => text.push_str("~1"),
            c => text.push(c),
        }
    }
    text
}

fn unescape(raw: &str) -> Cow<'_, str> {
    if raw.contains('~') { Cow::Owned(raw.replace("~1", "/").replace("~0", "~")) } else { Cow::Borrowed(raw) }
}

impl Borrow<str> for Path {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = Box::<str>::deserialize(d)?;
        Path::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text).unwrap()
    }

    #[test]
    fn a_path_is_a_bounded_pointer() {
        for good in ["", "/", "/a", "/a~1b/~0", "/a//b", "/0/🏢"] {
            assert_eq!(path(good).as_str(), good);
        }
        assert_eq!(Path::parse("a"), Err(BadPath::NoSlash));
        assert_eq!(Path::parse("/a~"), Err(BadPath::Escape(2)));
        assert_eq!(Path::parse("/~o"), Err(BadPath::Escape(1)));
        assert_eq!(Path::parse(&"/a".repeat(65)), Err(BadPath::TooDeep(65)));
        assert_eq!(Path::parse(&format!("/{}", "a".repeat(2048))), Err(BadPath::TooLong(2049)));
    }

    #[test]
    fn segments_come_back_as_they_went_in() {
        let names = ["a", "", "a/b", "~1", "~", "é"];
        let deep = names.iter().fold(Path::root(), |path, name| path.child(name).unwrap());
        assert_eq!(deep.segments().collect::<Vec<_>>(), names);
        assert_eq!(deep.split().unwrap().1, "é");
        assert_eq!(deep.depth(), names.len());
        assert_eq!(deep.ancestors().count(), names.len());
    }

    #[test]
    fn what_lies_below_is_one_range() {
        let mut all: Vec<Path> =
            ["", "/a", "/a!", "/a!/x", "/a/b", "/a/b/c", "/a0", "/ab", "/b"].map(path).into_iter().collect();
        all.sort();
        for at in &all {
            let range = below(at.as_str());
            for other in &all {
                let inside = *range.0 <= *other.as_str() && *other.as_str() < *range.1;
                assert_eq!(inside, at.is_above(other), "{at} {other}");
            }
        }
    }
}
