//! How a source file is written.

use crate::{complain, tree};

/// More than this, and a file holds more than one idea.
const LINES_MAX: usize = 700;

/// Files that are longer, and why.
const LONG: &[(&str, &str)] =
    &[("daemon/src/control/tests.rs", "one table of routes after another, all against the same stand-in hub")];

/// What a running program must not do: a broken invariant is an `expect` that says why it cannot break.
const ABRUPT: [&str; 6] = [".unwrap()", "panic!(", "todo!(", "unimplemented!(", "dbg!(", ".unwrap_err()"];

/// Where the product speaks to standard output and error by itself rather than through its log or its output type.
const SPEAKS: &[(&str, &str)] = &[];

/// Marks of unfinished work, written so that this file does not hold them.
const UNFINISHED: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("issue", " #")];

/// Folders that only one machine has, and the hosts of registries: an ordinary client finds those by itself.
const ONE_MACHINE: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("regis", "try.npmjs"),
    concat!("py", "pi.org"),
    concat!("static.cra", "tes.io"),
    concat!("deb.deb", "ian.org"),
];

#[test]
fn every_module_says_what_it_is_for() {
    let complaints = tree::rust("")
        .iter()
        .filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| format!("{} does not begin with //!", file.path))
        .collect();
    complain("the first lines of a file say what it is for", complaints);
}

#[test]
fn no_file_is_too_long() {
    let mut complaints = Vec::new();
    for file in tree::rust("") {
        let lines = file.text.lines().count();
        let excused = LONG.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MAX && !excused {
            complaints.push(format!("{} has {lines} lines, at most {LINES_MAX} are allowed", file.path));
        }
        if lines <= LINES_MAX && excused {
            complaints.push(format!("{} has {lines} lines and needs no exception any more", file.path));
        }
    }
    complain("one file, one idea", complaints);
}

#[test]
fn tests_come_last() {
    let mut complaints = Vec::new();
    for file in tree::product() {
        let Some(begin) = file.tests_begin() else { continue };
        // Everything after the tests have begun belongs to them: their braces close in the last line.
        let after = file.text.lines().skip(begin + 1);
        if let Some(stray) = after.filter(|line| !line.starts_with([' ', '}']) && !line.is_empty()).find(is_program) {
            complaints.push(format!("{}: {stray:?} stands after the tests", file.path));
        }
    }
    complain("tests stand at the end of a file", complaints);
}

/// Strings of several lines and further test modules may begin in the first column; items of the program may not.
fn is_program(line: &&str) -> bool {
    ["fn ", "pub ", "impl ", "struct ", "enum ", "const ", "static ", "use ", "async fn "]
        .iter()
        .any(|item| line.starts_with(item))
}

#[test]
fn the_product_does_not_end_abruptly() {
    let mut complaints = Vec::new();
    for file in tree::product() {
        for (number, line) in file.program() {
            for word in ABRUPT.iter().filter(|word| line.contains(**word)) {
                complaints.push(format!("{}:{number} has {word}", file.path));
            }
        }
    }
    complain("outside tests there is `expect` with the invariant, and errors", complaints);
}

#[test]
fn the_product_speaks_through_its_log_and_its_output() {
    let mut complaints = Vec::new();
    for file in tree::product() {
        let excused = SPEAKS.iter().any(|(path, _)| *path == file.path);
        let mut speaks = false;
        for (number, line) in file.program() {
            if ["println!", "print!", "eprintln!", "eprint!"].iter().any(|word| line.trim_start().starts_with(word)) {
                speaks = true;
                if !excused {
                    complaints.push(format!("{}:{number} prints", file.path));
                }
            }
        }
        if excused && !speaks {
            complaints.push(format!("{} needs no exception any more", file.path));
        }
    }
    complain("a pipe that closes must not end the program, and a service's output is its log", complaints);
}

#[test]
fn nothing_is_left_unfinished_or_bound_to_one_machine() {
    let mut complaints = Vec::new();
    // The lock file names where the registry's index is; that is its purpose.
    for file in tree::files("").iter().filter(|file| file.path != "Cargo.lock") {
        for (number, line) in file.text.lines().enumerate() {
            for word in UNFINISHED.iter().chain(&ONE_MACHINE).filter(|word| line.contains(**word)) {
                complaints.push(format!("{}:{} has {word}", file.path, number + 1));
            }
        }
    }
    complain("the repository speaks of itself alone, and is finished", complaints);
}
