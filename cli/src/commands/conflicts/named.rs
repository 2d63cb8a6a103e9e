//! What do `PATH=USER` and `PATH=JSON` mean? Paths, ids and values may all hold `=`, so the text is read against the
//! conflict: what stands before the `=` is one of its paths. What is none of the conflict's is refused before anybody is
//! asked, with the names that would do.

use std::collections::BTreeMap;

use arxosrt_core::control::conflict::ConflictRow;
use serde_json::value::RawValue;

use crate::error::Failure;
use crate::output::Raw;

/// One of the two, by id.
pub(super) fn party(row: &ConflictRow, user: &str) -> Result<String, Failure> {
    if user == row.user_id_1 || user == row.user_id_2 {
        return Ok(user.to_owned());
    }
    let (one, other) = (&row.user_id_1, &row.user_id_2);
    Err(Failure::usage(format!("{user:?} is not in {}", row.conflict_id))
        .hint(format!("the two are {one} and {other}")))
}

/// `PATH=USER`, each path once.
pub(super) fn choices(row: &ConflictRow, given: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    by_path(row, given, |user| party(row, user))
}

/// `PATH=JSON`, each path once.
pub(super) fn values(row: &ConflictRow, given: &[String]) -> Result<BTreeMap<String, Raw>, Failure> {
    by_path(row, given, |json| {
        RawValue::from_string(json.trim().to_owned()).map_err(|error| {
            Failure::usage(format!("{json:?} is not JSON: {error}")).hint("a text needs its quotes: '\"door\"'")
        })
    })
}

fn by_path<T>(
    row: &ConflictRow,
    given: &[String],
    read: impl Fn(&str) -> Result<T, Failure>,
) -> Result<BTreeMap<String, T>, Failure> {
    let mut all = BTreeMap::new();
    for text in given {
        let (path, rest) = split(row, text)?;
        if all.insert(path.to_owned(), read(rest)?).is_some() {
            return Err(Failure::usage(format!("{path} is named twice")));
        }
    }
    Ok(all)
}

/// The longest path of the conflict that the text begins with, and what follows its `=`.
fn split<'a>(row: &ConflictRow, text: &'a str) -> Result<(&'a str, &'a str), Failure> {
    let behind = |path: &str| text.strip_prefix(path)?.strip_prefix('=');
    let found = row.paths.iter().filter_map(|disputed| Some((disputed.path.len(), behind(&disputed.path)?)));
    if let Some((end, rest)) = found.max_by_key(|(end, _)| *end) {
        return Ok((&text[..end], rest));
    }
    let paths: Vec<&str> = row.paths.iter().map(|disputed| disputed.path.as_str()).collect();
    let hint = match paths.is_empty() {
        true => "nothing of it is disputed path by path; --winner settles it".to_owned(),
        false => format!("its paths are {}", paths.join(" ")),
    };
    Err(Failure::usage(format!("{text:?} begins with no path of {} and =", row.conflict_id)).hint(hint))
}

#[cfg(test)]
mod tests {
    use arxosrt_core::control::code::Exit;
    use serde_json::json;

    use super::*;

    fn row() -> ConflictRow {
        let path = |path: &str| {
            json!({
                "path": path, "conflict_type": "concurrent_edit", "severity": "medium", "base": null, "value_1": 1,
                "value_2": 2, "current": 1
            })
        };
        let row = json!({
            "conflict_id": "cf_1", "resource_id": "obj_1", "rooms": ["floor_1"], "conflict_type": "concurrent_edit",
            "severity": "medium", "status": "open", "source": "edit", "user_id_1": "ann", "username_1": "Ann",
            "user_id_2": "did:key=7", "username_2": "Ben", "description": "d", "created_at": "t", "revision": 1,
            "version": 2, "paths": [path("/a"), path("/a=b"), path("/odd=key/x")]
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn the_longest_path_of_the_conflict_stands_before_the_sign() {
        for (text, path, rest) in
            [("/a=ann", "/a", "ann"), ("/a=b=ann", "/a=b", "ann"), ("/odd=key/x=did:key=7", "/odd=key/x", "did:key=7")]
        {
            assert_eq!(split(&row(), text).unwrap(), (path, rest), "{text}");
        }
        for bad in ["/b=ann", "/a", "", "=", "/ab=ann"] {
            let failure = split(&row(), bad).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.hint.unwrap().contains("/odd=key/x"), "{bad}");
        }
    }

    #[test]
    fn strangers_repeats_and_what_is_no_json_are_refused() {
        let texts = |given: &[&str]| given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(choices(&row(), &texts(&["/a=ann", "/a=b=did:key=7"])).unwrap().len(), 2);
        assert!(choices(&row(), &texts(&["/a=carl"])).is_err());
        assert!(choices(&row(), &texts(&["/a=ann", "/a=ann"])).is_err());
        assert_eq!(values(&row(), &texts(&["/a= {\"x\": 1.50} "])).unwrap()["/a"].get(), "{\"x\": 1.50}");
        for bad in ["/a=door", "/a=", "/a={"] {
            assert!(values(&row(), &texts(&[bad])).is_err(), "{bad}");
        }
    }
}
