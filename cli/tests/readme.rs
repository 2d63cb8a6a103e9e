//! The script of the README for a loading before each shift, run as it stands there: whatever goes wrong is seen by
//! whoever started it.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Ran;

const README: &str = include_str!("../../README.md");

/// The script with its files in this folder.
fn script(folder: &Path) -> PathBuf {
    let begin = README.find("#!/bin/sh -u\n").expect("the README has the script");
    let end = begin + README[begin..].find("```").expect("its block ends");
    let path = folder.join("preload-shift");
    fs::write(&path, README[begin..end].replace("/var/lib/arxosrt", folder.to_str().unwrap())).unwrap();
    path
}

/// Runs it with an `arxosrt` that ends with these codes, one run after the other, and that leaves lines that failed with
/// 1 and 8. Gives the exit code, and how often `arxosrt` ran.
fn run(codes: &[u8]) -> (i32, usize) {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("arxosrt");
    let runs = folder.path().join("runs");
    let mut text = format!("#!/bin/sh\necho run >>{0}\ncase $(grep -c run {0}) in\n", runs.display());
    for (at, code) in codes.iter().enumerate() {
        let failed = folder.path().join("failed.txt");
        let leave = if matches!(code, 1 | 8) { format!("echo floor_1 >{};", failed.display()) } else { String::new() };
        text.push_str(&format!("{}) {leave} exit {code};;\n", at + 1));
    }
    fs::write(&tool, text + "esac\nexit 99\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = started(folder.path(), folder.path());
    (ran.code, fs::read_to_string(runs).unwrap().lines().count())
}

fn started(folder: &Path, tools: &Path) -> Ran {
    let path = format!("{}:/usr/bin:/bin", tools.display());
    Ran::of(Command::new("/bin/sh").arg("-u").arg(script(folder)).env_clear().env("PATH", path).output().unwrap())
}

#[test]
fn what_failed_is_tried_once_more_and_the_last_word_is_passed_on() {
    for (codes, end, runs) in [
        (&[0][..], 0, 1),
        (&[8, 0], 0, 2),
        (&[8, 8], 8, 2),
        (&[1, 0], 0, 2),
        (&[1, 1], 1, 2),
        (&[3], 3, 1),
        (&[7], 7, 1),
    ] {
        assert_eq!(run(codes), (end, runs), "{codes:?}");
    }
}

#[test]
fn no_list_no_daemon_and_no_program_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    let tools = Path::new(env!("CARGO_BIN_EXE_arxosrt")).parent().unwrap();
    // There is no daemon, which is found before the list is.
    assert_eq!(started(folder.path(), tools).code, 3);
    let daemon = support::Daemon::new(&[]);
    let run = |tools: &Path| {
        let path = format!("{}:/usr/bin:/bin", tools.display());
        let mut command = Command::new("/bin/sh");
        command.arg("-u").arg(script(folder.path())).env_clear().env("PATH", path);
        Ran::of(command.env("ARXOSRT_SOCKET", &daemon.socket).output().unwrap()).code
    };
    assert_eq!(run(tools), 2, "there is no list");
    assert_eq!(run(Path::new("/no/such/folder")), 127, "there is no program");
}
