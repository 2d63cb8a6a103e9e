//! How long does it take to decide and make an edit, and does it depend on the size of the document?
//!
//! A document of 1 000 objects and one of 10 000, both with a full history, are edited in the same run by turns, so that
//! what else the machine does meets both. Prints one `name value unit` line per figure; the ratio of the two is what
//! must stay near 1.
//!
//! `cargo run --release -p arxosrt-sim --example edit_speed`

use std::time::{Duration, Instant};

use arxosrt_core::edit::change::{Change, Doc, Place};
use arxosrt_core::edit::conflict::Author;
use arxosrt_core::edit::detect::{Edit, Outcome};
use arxosrt_core::edit::history::HistorySettings;
use arxosrt_core::edit::path::Path;
use arxosrt_core::edit::resource::Resource;
use arxosrt_core::edit::rules::{ResourceKind, Rules};
use arxosrt_core::edit::value::Value;
use arxosrt_core::id::UserId;
use arxosrt_core::time::Wall;

const SIZES: [usize; 2] = [1_000, 10_000];
const EDITS: usize = 20_000;
/// So many edits of others lie between an edit's base and its arrival.
const BEHIND: u64 = 32;

fn main() {
    for case in [
        Case { name: "disjoint", make: disjoint, conflicts: Some(false) },
        Case { name: "contested", make: contested, conflicts: Some(true) },
        Case { name: "insert", make: insert, conflicts: Some(false) },
        Case { name: "geometry", make: geometry, conflicts: Some(true) },
    ] {
        measure(&case);
    }
}

/// One kind of edit.
struct Case {
    name: &'static str,
    /// The changes of an edit of the n-th object; the number makes the values differ.
    make: fn(object: usize, n: usize) -> Vec<Change>,
    /// Whether each edit must meet another user's.
    conflicts: Option<bool>,
}

fn disjoint(object: usize, n: usize) -> Vec<Change> {
    // Each author has members of his own.
    let members = ["name", "tag"];
    vec![set(object, &format!("properties/set/{}", members[n % 2]), &n.to_string())]
}

fn contested(_: usize, n: usize) -> Vec<Change> {
    vec![set(7, "name", &n.to_string())]
}

fn geometry(_: usize, n: usize) -> Vec<Change> {
    vec![set(7, ["x", "footprint"][n % 2], &n.to_string())]
}

fn insert(_: usize, n: usize) -> Vec<Change> {
    let value = Value::parse(&format!(r#"{{"id":"new-{n}","x":1}}"#)).expect("JSON");
    let path = Path::parse("/objects").expect("a pointer");
    vec![Change::Insert { path, value, place: Place::After(id(500).into()) }]
}

fn set(object: usize, member: &str, json: &str) -> Change {
    let path = Path::parse(&format!("/objects/{}/{member}", id(object))).expect("a pointer");
    Change::Set { path, value: Value::parse(json).expect("JSON") }
}

fn id(n: usize) -> String {
    format!("TCHS_L2_E_Receptacle_{n:06}")
}

/// A document that two people edit.
struct Desk {
    resource: Resource,
    objects: usize,
}

impl Desk {
    fn new(objects: usize) -> Self {
        let object = |n| {
            format!(
                r#"{{"id":"{}","type":"outlet","name":"{n}","x":{n},"y":1.5,"z":0,"footprint":[[0,0],[1,0],[1,1]],
                "properties":{{"set":{{"name":1,"tag":2,"width":0.8}},"other":{{"color":"red"}}}}}}"#,
                id(n)
            )
        };
        let all: Vec<String> = (0..objects).map(object).collect();
        let doc = Doc::parse(&format!(r#"{{"id":"floor","objects":[{}]}}"#, all.join(","))).expect("a document");
        Desk { resource: Resource::new(ResourceKind::Object, doc, 0, HistorySettings::default()), objects }
    }

    fn decide(&self, author: &Author, changes: &[Change], rules: &Rules) -> Outcome {
        let history = self.resource.history();
        let base_version = history.current().saturating_sub(BEHIND).max(history.oldest_base());
        let edit = Edit { author, base_version, changes, frame_outdated: false };
        self.resource.decide(&edit, rules).expect("a base that is kept and changes that can be made")
    }

    fn make(&mut self, author: &Author, changes: &[Change]) {
        self.resource.apply(author.clone(), 0, Wall(0), changes).expect("what was decided can be made");
    }
}

fn measure(case: &Case) {
    let rules = Rules::default();
    let authors = ["ann", "bob"].map(|user| Author {
        user: UserId::new(user).expect("an id"),
        username: user.into(),
        session: None,
        edit_id: None,
    });
    let mut desks = SIZES.map(Desk::new);
    let mut took = SIZES.map(|_| Vec::with_capacity(EDITS));
    let mut met = SIZES.map(|_| 0);
    // Insertions pile up: fewer of them, so that the document keeps its size.
    let edits = if case.name == "insert" { EDITS / 40 } else { EDITS };
    for n in 0..edits + 256 {
        let author = &authors[n % 2];
        for (at, desk) in desks.iter_mut().enumerate() {
            let changes = (case.make)(n * 7919 % desk.objects, n);
            let start = Instant::now();
            let outcome = desk.decide(author, &changes, &rules);
            desk.make(author, &outcome.changes);
            let elapsed = start.elapsed();
            // Until the history is full nothing counts. What is contested keeps what was there: the other's value is
            // written then, so that there is always something to meet.
            if n >= 256 {
                took[at].push(elapsed);
                met[at] += outcome.conflicts.len();
            }
            if !outcome.conflicts.is_empty() {
                desk.make(author, &changes);
            }
        }
    }
    if let Some(conflicts) = case.conflicts {
        assert!(met.iter().all(|met| (*met > edits / 2) == conflicts), "{}: {met:?} conflicts", case.name);
    }
    // Quantiles, because what else the machine does falls upon few of the edits.
    let quantile = |took: &[Duration], of: usize| took[took.len() * of / 100].as_secs_f64() * 1e6;
    took.iter_mut().for_each(|took| took.sort_unstable());
    for (size, took) in SIZES.iter().zip(&took) {
        println!("edit_{}_{size}_p50 {:.3} us", case.name, quantile(took, 50));
        println!("edit_{}_{size}_p99 {:.3} us", case.name, quantile(took, 99));
    }
    println!("edit_{}_ratio {:.3} times", case.name, quantile(&took[1], 50) / quantile(&took[0], 50));
}
