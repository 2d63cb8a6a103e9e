//! The origin: where building data comes from.
//!
//! Templates of addresses are checked when the configuration is read: what they name is known then.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::origin::http::template::{Base, Template};

/// Where building data comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// What kind of place it is.
    pub kind: OriginKind,
    /// The folder of buildings, for [`OriginKind::Directory`].
    pub path: PathBuf,
    /// Whether edits are written back to it.
    pub write_back: bool,
    /// For how long edits are gathered before they are written.
    pub write_back_ms: u64,
    /// A service that has values, and for [`OriginKind::Http`] the documents of edits too.
    pub http: HttpOrigin,
}

impl Default for Origin {
    fn default() -> Self {
        Origin {
            kind: OriginKind::default(),
            path: PathBuf::from("sample"),
            write_back: true,
            write_back_ms: 500,
            http: HttpOrigin::default(),
        }
    }
}

/// What kind of place building data comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    /// A folder of JSON files.
    #[default]
    Directory,
    /// A service that speaks HTTP.
    Http,
    /// Nowhere: every room is a building of its own.
    None,
}

/// A service that speaks HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOrigin {
    /// What every address begins with.
    pub url: String,
    /// Where the list of buildings is, below `url`; none when empty.
    pub directory_url: String,
    /// How long the start waits for that list.
    pub directory_wait_ms: u64,
    /// A file whose content is sent as bearer token; none when empty.
    pub token_file: PathBuf,
    /// A file of certificates that alone are trusted; those of the public web when empty.
    pub ca_file: PathBuf,
    /// How long one attempt may take.
    pub timeout_ms: u64,
    /// How often an attempt that failed is repeated.
    pub retries: u32,
    /// How many requests are under way at once.
    pub requests_max: usize,
    /// How large an answer may be.
    pub answer_bytes_max: usize,
    /// Where the values of each strategy are.
    pub values: BTreeMap<String, HttpPlace>,
    /// Where the documents are that people edit: of an `object`, a `route`, a `floor`.
    pub documents: BTreeMap<String, HttpPlace>,
}

/// Where something is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpPlace {
    /// The address below the service's, with `{id}`, `{floor}` and `{building}`.
    pub url: String,
    /// Where in the answer, as a JSON pointer; empty for all of it.
    pub pointer: String,
    /// Where it is written to; nowhere when empty.
    pub write_url: String,
}

impl Default for HttpOrigin {
    fn default() -> Self {
        HttpOrigin {
            url: String::new(),
            directory_url: String::new(),
            directory_wait_ms: 10_000,
            token_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            timeout_ms: 5000,
            retries: 2,
            requests_max: 32,
            answer_bytes_max: 16 << 20,
            values: BTreeMap::new(),
            documents: BTreeMap::new(),
        }
    }
}

/// The documents that people edit.
pub const DOCUMENTS: [&str; 3] = ["object", "route", "floor"];

impl Origin {
    /// Is anything asked over HTTP?
    pub fn uses_http(&self) -> bool {
        self.kind == OriginKind::Http || !self.http.values.is_empty()
    }

    /// What is wrong with the service's addresses, if it is used: each an option, and why it cannot be so.
    pub fn bad_addresses(&self) -> Vec<(String, String)> {
        if !self.uses_http() {
            return Vec::new();
        }
        let http = &self.http;
        let mut bad = Vec::new();
        if let Err(why) = Base::new(&http.url) {
            bad.push(("origin.http.url".to_owned(), why));
        }
        let mut check = |option: String, text: &str| {
            if let Err(why) = Template::new(text) {
                bad.push((option, why));
            }
        };
        check("origin.http.directory_url".to_owned(), &http.directory_url);
        for (table, places) in [("values", &http.values), ("documents", &http.documents)] {
            for (name, place) in places {
                check(format!("origin.http.{table}.{name}.url"), &place.url);
                check(format!("origin.http.{table}.{name}.write_url"), &place.write_url);
            }
        }
        for (table, places) in [("values", &http.values), ("documents", &http.documents)] {
            for (name, place) in places.iter().filter(|(_, place)| !is_pointer(&place.pointer)) {
                let what = format!("{:?} is no JSON pointer: each part of one begins with `/`", place.pointer);
                bad.push((format!("origin.http.{table}.{name}.pointer"), what));
            }
        }
        for (name, place) in &http.documents {
            let is_of_floor = |text: &str| Template::new(text).is_ok_and(|template| template.names("floor"));
            if is_of_floor(&place.url) || is_of_floor(&place.write_url) {
                let what = "a document is named by {id} alone: it may move from floor to floor".to_owned();
                bad.push((format!("origin.http.documents.{name}.url"), what));
            }
        }
        for name in http.documents.keys().filter(|name| !DOCUMENTS.contains(&name.as_str())) {
            let what = format!("there are no documents of this kind, only of {}", DOCUMENTS.join(", "));
            bad.push((format!("origin.http.documents.{name}.url"), what));
        }
        bad
    }
}

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}
