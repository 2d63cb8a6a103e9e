//! What may be depended on: free licences, one source, and one version of what must agree with itself.

use std::process::Command;

use serde_json::Value;

use crate::{complain, tree};

/// Licences that ask for no more than their text to be passed on.
const LICENCES: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "BSL-1.0",
    "0BSD",
    "CC0-1.0",
    // Of data, and as permissive: the certificates of the authorities that browsers trust.
    "CDLA-Permissive-2.0",
];

/// Packages that are not wanted, and why.
const BANNED: [(&str, &str); 4] = [
    ("openssl", "TLS is rustls: no C library of the system's is linked"),
    ("openssl-sys", "TLS is rustls: no C library of the system's is linked"),
    ("native-tls", "TLS is rustls: no C library of the system's is linked"),
    ("ring", "rustls has one provider; two make the default ambiguous"),
];

/// Packages that must be there at most once: their types meet, or their state is global.
const SINGLE: [&str; 9] =
    ["crossterm", "http", "hyper", "ratatui", "rustls", "serde", "tokio", "tokio-tungstenite", "tungstenite"];

/// The workspace as cargo sees it. Fails if the lock file does not fit the manifests.
pub fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let answer = Command::new(cargo)
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(tree::root())
        .output()
        .expect("cargo can be run");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    serde_json::from_slice(&answer.stdout).expect("cargo prints JSON")
}

#[test]
fn every_dependency_is_free_and_from_the_registry() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        match package["license"].as_str() {
            Some(licence) if allowed(licence) => {}
            licence => complaints.push(format!("{name} {version} has the licence {licence:?}")),
        }
        match package["source"].as_str() {
            Some(source) if !source.starts_with("registry+") => {
                complaints.push(format!("{name} {version} comes from {source}"));
            }
            None if !metadata["workspace_members"].as_array().unwrap().contains(&package["id"]) => {
                complaints.push(format!("{name} {version} comes from a folder"));
            }
            _ => {}
        }
    }
    complain("dependencies are free and from the registry", complaints);
}

#[test]
fn what_is_built_is_wanted() {
    let built = built();
    assert!(built.iter().any(|name| name == "rustls"), "the list of what is built has what is known to be: {built:?}");
    complain("no unwanted package is built", unwanted(&built));
}

/// The names of all packages that are built for any target, with all features. The lock file and cargo's metadata also
/// name what an optional feature of somebody else's would bring if anybody turned it on.
fn built() -> Vec<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let answer = Command::new(cargo)
        .args(["tree", "--locked", "--workspace", "--all-features", "--target", "all"])
        .args(["--edges", "all", "--prefix", "none", "--format", "{p}"])
        .current_dir(tree::root())
        .output()
        .expect("cargo can be run");
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    let text = String::from_utf8(answer.stdout).expect("names are text");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn unwanted(built: &[String]) -> Vec<String> {
    let banned = |name: &String| BANNED.iter().find(|(banned, _)| banned == name);
    built.iter().filter_map(|name| banned(name).map(|(name, why)| format!("{name}: {why}"))).collect()
}

#[test]
fn an_unwanted_package_is_found() {
    let built = ["rustls", "ring", "springs", "openssl-sys"].map(str::to_owned);
    let found: Vec<String> = unwanted(&built);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("ring: ") && found[1].starts_with("openssl-sys: "), "{found:?}");
}

#[test]
fn what_must_agree_with_itself_is_there_once() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    for name in SINGLE {
        let packages = metadata["packages"].as_array().unwrap().iter();
        let versions: Vec<&str> =
            packages.filter(|p| p["name"] == name).filter_map(|p| p["version"].as_str()).collect();
        if versions.len() > 1 {
            complaints.push(format!("{name}: {}", versions.join(" and ")));
        }
    }
    complain("one version of each of these", complaints);
}

/// Whether an SPDX expression leaves us a choice of allowed licences only.
fn allowed(expression: &str) -> bool {
    // The old notation for a choice.
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut at = 0;
    let ok = any(&words, &mut at);
    ok && at == words.len()
}

fn any(words: &[&str], at: &mut usize) -> bool {
    let mut ok = all(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        ok |= all(words, at);
    }
    ok
}

fn all(words: &[&str], at: &mut usize) -> bool {
    let mut ok = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        ok &= one(words, at);
    }
    ok
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let ok = any(words, at);
        *at += 1;
        return ok && words.get(*at - 1) == Some(&")");
    }
    let mut licence = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        licence = [&licence, "WITH", words.get(*at + 1).unwrap_or(&"")].join(" ");
        *at += 2;
    }
    LICENCES.contains(&licence.as_str())
}

#[test]
fn expressions_of_licences_are_understood() {
    for (expression, ok) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-2.0-only", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only", true),
        ("GPL-2.0-only WITH Classpath-exception-2.0", false),
        ("(MIT", false),
        ("", false),
    ] {
        assert_eq!(allowed(expression), ok, "{expression:?}");
    }
}
