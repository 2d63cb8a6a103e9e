//! What the documents say exists, exists; and what a client may meet is in them.

use std::path::Path;

use arxosrt_core::wire::code::{CLOSES, ERRORS};

use crate::packages::metadata;
use crate::{complain, tree};

/// The document that explains every code to those who write clients.
const PROTOCOL: &str = "docs/protocol.md";

fn documents() -> Vec<tree::File> {
    tree::files("").into_iter().filter(|file| file.path.ends_with(".md")).collect()
}

#[test]
fn every_code_is_explained() {
    if !tree::root().join(PROTOCOL).exists() {
        println!("not checked: there is no {PROTOCOL} yet");
        return;
    }
    let all: String = documents().iter().map(|file| file.text.as_str()).collect();
    let mut complaints = Vec::new();
    for code in ERRORS.iter().filter(|code| !all.contains(&format!("`{}`", code.name))) {
        complaints.push(format!("the error code `{}` is in no document", code.name));
    }
    for code in CLOSES.iter().filter(|code| !all.contains(&code.number.to_string())) {
        complaints.push(format!("the close code {} ({}) is in no document", code.number, code.reason));
    }
    complain("a client's author finds every code in the documents", complaints);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for file in documents() {
        let here = tree::root().join(&file.path);
        for link in file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or("");
            if !target.is_empty() && !target.contains("://") && !here.with_file_name(target).exists() {
                complaints.push(format!("{} links to {link}", file.path));
            }
        }
    }
    complain("links lead somewhere", complaints);
}

#[test]
fn commands_in_documents_can_be_run() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = || packages.iter().filter(|package| package["source"].is_null());
    let targets: Vec<(&str, &str)> = ours()
        .flat_map(|package| package["targets"].as_array().unwrap())
        .map(|target| (target["kind"][0].as_str().unwrap(), target["name"].as_str().unwrap()))
        .collect();
    let options = std::fs::read_to_string(tree::root().join("arxosrt.toml")).unwrap();
    let mut complaints = Vec::new();
    for file in documents() {
        for command in commands(&file.text) {
            let words: Vec<&str> = command.split_whitespace().collect();
            let mut complain_of = |what: String| complaints.push(format!("{}: `{command}`: {what}", file.path));
            let program = words.first().copied().unwrap_or("");
            if program.contains('/')
                && !program.contains('=')
                && !program.starts_with(['/', '$', '~'])
                && !program.starts_with("target/")
            {
                let path = Path::new(program.trim_start_matches("./"));
                if !tree::root().join(path).exists() {
                    complain_of(format!("there is no {program}"));
                }
            }
            for pair in words.windows(2) {
                let known = |kind: &str| targets.contains(&(kind, pair[1]));
                match pair[0] {
                    "-p" | "--package" if program == "cargo" && !ours().any(|p| p["name"] == pair[1]) => {
                        complain_of(format!("there is no package {}", pair[1]));
                    }
                    "--example" if !known("example") => complain_of(format!("there is no example {}", pair[1])),
                    "--bin" if !known("bin") => complain_of(format!("there is no program {}", pair[1])),
                    "--set" => {
                        let key = pair[1].split('=').next().unwrap_or("").rsplit('.').next().unwrap_or("");
                        if !options.contains(&format!("{key} =")) {
                            complain_of(format!("there is no option {key}"));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    complain("whoever copies a command from a document can run it", complaints);
}

/// The commands in the shell blocks of a document.
fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside && matches!(language, "sh" | "bash" | "console");
            continue;
        }
        let line = line.trim().trim_start_matches("$ ");
        if inside && !line.is_empty() && !line.starts_with('#') {
            commands.push(line.split(" #").next().unwrap_or(line).trim().to_owned());
        }
    }
    commands
}
