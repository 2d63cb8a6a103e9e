//! Which changes lead from one document to another?
//!
//! The fewest places that say it: members and elements are compared one by one, single values are set as a whole, and of
//! a list whose order has changed only the elements outside of a longest run that stayed are moved.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::change::{BadChange, Change, Doc, Place, Reason, element};
use super::keyed::Keyed;
use super::order::staying;
use super::path::Path;
use super::value::Value;

/// The changes that make `wanted` of `base`.
pub fn diff(base: &Doc, wanted: &Doc) -> Vec<Change> {
    let mut changes = Vec::new();
    diff_at(&Path::root(), base.value(), wanted.value(), &mut changes);
    changes
}

/// The changes that an RFC 7396 merge patch makes in `base`.
pub fn from_merge_patch(base: &Doc, patch: &Value) -> Result<Vec<Change>, BadChange> {
    let refused = |reason| BadChange { path: Path::root(), reason };
    if patch.as_map().is_none() {
        return Err(refused(Reason::NotAnObject));
    }
    let mut changes = Vec::new();
    patch_at(&Path::root(), base.value(), patch, &mut changes);
    Ok(changes)
}

fn patch_at(path: &Path, base: Option<&Value>, patch: &Value, changes: &mut Vec<Change>) {
    match (base, patch) {
        (Some(Value::Map(base)), Value::Map(patch)) => {
            for (key, patch) in patch.iter() {
                match (base.get(key), patch) {
                    (None, Value::Null) => {}
                    (Some(_), Value::Null) => changes.push(Change::Unset { path: element(path, key) }),
                    (base, patch) => patch_at(&element(path, key), base, patch, changes),
                }
            }
        }
        _ => diff_at(path, base, Some(&without_nulls(patch)), changes),
    }
}

/// What a patch makes where nothing was: its objects without the members that it takes out.
fn without_nulls(patch: &Value) -> Value {
    let Value::Map(members) = patch else { return patch.clone() };
    let mut kept = Keyed::default();
    for (key, member) in members.iter().filter(|(_, member)| !matches!(member, Value::Null)) {
        kept.put(key, without_nulls(member));
    }
    Value::Map(Box::new(kept))
}

/// Appends the changes at one path.
pub(crate) fn diff_at(path: &Path, base: Option<&Value>, wanted: Option<&Value>, changes: &mut Vec<Change>) {
    match (base, wanted) {
        (Some(Value::Map(base)), Some(Value::Map(wanted))) => {
            for key in base.keys().filter(|key| wanted.get(key).is_none()) {
                changes.push(Change::Unset { path: element(path, key) });
            }
            for (key, wanted) in wanted.iter() {
                diff_at(&element(path, key), base.get(key), Some(wanted), changes);
            }
        }
        (Some(Value::List(base)), Some(Value::List(wanted))) => {
            diff_list(path, base, wanted, changes);
            for (key, wanted) in wanted.iter() {
                if let Some(base) = base.get(key) {
                    diff_at(&element(path, key), Some(base), Some(wanted), changes);
                }
            }
        }
        (base, Some(wanted)) => {
            if base != Some(wanted) {
                changes.push(Change::Set { path: path.clone(), value: wanted.clone() });
            }
        }
        (Some(_), None) => changes.push(Change::Unset { path: path.clone() }),
        (None, None) => {}
    }
}

fn diff_list(path: &Path, base: &Keyed, wanted: &Keyed, changes: &mut Vec<Change>) {
    let mut numbers: HashMap<&str, u32, FixedState> = HashMap::default();
    for key in wanted.keys() {
        let next = numbers.len() as u32;
        numbers.insert(key, next);
    }
    for key in base.keys().filter(|key| !numbers.contains_key(key)) {
        changes.push(Change::Remove { path: path.clone(), id: Arc::from(key) });
    }
    let from: Vec<u32> = base.keys().filter_map(|key| numbers.get(key).copied()).collect();
    let to: Vec<u32> = (0..numbers.len() as u32).collect();
    let ids: Vec<&str> = wanted.keys().collect();
    place_in_order(path, &from, &to, &|n| ids[n as usize], &|n| wanted.get(ids[n as usize]).cloned(), changes);
}

/// Appends the inserts and moves that lead from one order to another. What leaves the list is gone already; what is not
/// in `from` is inserted with its `value`.
pub(crate) fn place_in_order<'a>(
    path: &Path,
    from: &[u32],
    to: &[u32],
    id: &dyn Fn(u32) -> &'a str,
    value: &dyn Fn(u32) -> Option<Value>,
    changes: &mut Vec<Change>,
) {
    if from == to {
        return;
    }
    let end = from.iter().chain(to).max().map_or(0, |max| max + 1);
    let mut had = vec![false; end as usize];
    from.iter().for_each(|element| had[*element as usize] = true);
    // What both begin and end with stays.
    let same = from.iter().zip(to).take_while(|(from, to)| from == to).count();
    let (rest_from, rest_to) = (&from[same..], &to[same..]);
    let same_end = rest_from.iter().rev().zip(rest_to.iter().rev()).take_while(|(from, to)| from == to).count();
    let (inner_from, inner_to) = (&rest_from[..rest_from.len() - same_end], &rest_to[..rest_to.len() - same_end]);
    let stays = staying(inner_from, inner_to, end);
    for (at, element) in (same..).zip(inner_to).filter(|(at, _)| !stays[*at - same]) {
        let place = at.checked_sub(1).map_or(Place::Front, |before| Place::After(Arc::from(id(to[before]))));
        if had[*element as usize] {
            changes.push(Change::Move { path: path.clone(), id: Arc::from(id(*element)), place });
        } else if let Some(value) = value(*element) {
            changes.push(Change::Insert { path: path.clone(), value, place });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(json: &str) -> Doc {
        Doc::parse(json).unwrap()
    }

    const DOCS: [&str; 7] = [
        r#"{"a":1,"m":{"x":[1,2],"y":null},"l":[{"id":"a"},{"id":"b","n":1},{"id":"c"}]}"#,
        r#"{"a":1.0,"m":{"x":[1,2],"z":2},"l":[{"id":"c"},{"id":"b","n":2},{"id":"d"}]}"#,
        r#"{"m":7,"l":[]}"#,
        r#"{"l":{"id":"a"}}"#,
        "{}",
        r#"{"l":[{"id":"c"},{"id":"a"},{"id":"b"},{"id":"e"},{"id":"f"}]}"#,
        r#"{"l":[{"id":"f"},{"id":"b"},{"id":"a"},{"id":"c"}],"m":{"y":null}}"#,
    ];

    #[test]
    fn the_changes_lead_from_each_document_to_each_other() {
        for from in DOCS {
            for to in DOCS {
                let (mut made, wanted) = (doc(from), doc(to));
                let changes = diff(&made, &wanted);
                made.apply_all(&changes).unwrap_or_else(|bad| panic!("{bad}: {changes:?}"));
                assert_eq!(made, wanted, "{changes:?}");
                assert_eq!(from == to, changes.is_empty(), "{changes:?}");
            }
        }
        assert_eq!(diff(&doc("{}"), &Doc::absent()), [Change::Unset { path: Path::root() }]);
    }

    /// The examples of RFC 7396, appendix A, whose results are objects.
    #[test]
    fn merge_patches_do_what_the_standard_says() {
        for (base, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            let mut made = doc(base);
            let changes = from_merge_patch(&made, &Value::parse(patch).unwrap()).unwrap();
            made.apply_all(&changes).unwrap();
            assert_eq!(made, doc(result), "{base} {patch}");
        }
        assert!(from_merge_patch(&doc("{}"), &Value::Null).is_err());
    }
}
