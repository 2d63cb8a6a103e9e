//! The core without sockets: runs the simulation package's `core_speed` and sets its figures beside the goals.
//!
//! That program prints one figure per line, `name value unit`. Names without a goal are shown as they are, so a new
//! figure needs no change here.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::server::SERVER_CPU;
use crate::sys;
use crate::table::number;

/// A word of the figure's name, its unit, and what is to be reached.
const GOALS: [(&str, &str, Goal); 5] = [
    ("lock_cycle", "/s", Goal::AtLeast(1_000_000.0)),
    ("replay", "/s", Goal::AtLeast(1_000_000.0)),
    ("expire", "ms", Goal::AtMost(5.0)),
    ("merge", "us", Goal::AtMost(50.0)),
    ("cache_hit", "ns", Goal::AtMost(80.0)),
];

#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

/// Runs `program` alone on the server's CPU and lays out what it printed.
pub fn measure(program: &Path, markdown: bool) -> io::Result<String> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    sys::pin_child(&mut command, SERVER_CPU);
    let output = command.output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "{}: {}",
            program.display(),
            output.status
        )));
    }
    Ok(lay_out(&String::from_utf8_lossy(&output.stdout), markdown))
}

fn lay_out(printed: &str, markdown: bool) -> String {
    let mut text = String::new();
    if markdown {
        text.push_str("| core | value | goal |\n|---|---|---|\n");
    }
    for line in printed.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<f64>))
        else {
            continue;
        };
        let unit = words.collect::<Vec<_>>().join(" ");
        let verdict = verdict(name, value, &unit);
        let shown = format!("{} {unit}", number(value));
        text.push_str(&if markdown {
            format!("| {name} | {shown} | {verdict} |\n")
        } else {
            format!("core  {name:<40}  {shown:>20}  {verdict}\n")
        });
    }
    text
}

fn verdict(name: &str, value: f64, unit: &str) -> String {
    let goal = GOALS
        .iter()
        .find(|(word, goal_unit, _)| name.contains(word) && unit.ends_with(goal_unit));
    let Some((_, goal_unit, goal)) = goal else {
        return String::new();
    };
    let (sign, bound, met) = match *goal {
        Goal::AtLeast(bound) => ("≥", bound, value >= bound),
        Goal::AtMost(bound) => ("≤", bound, value <= bound),
    };
    format!(
        "goal {sign} {} {goal_unit}: {}",
        number(bound),
        if met { "met" } else { "MISSED" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_laid_out_and_judged_and_noise_is_skipped() {
        let printed =
            "lock_cycle 2500000 ops/s\nsomething 12.5 us\nwarming up\nlog_replay 900000 events/s\n";
        let text = lay_out(printed, true);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| lock_cycle | 2 500 000 ops/s | goal ≥ 1 000 000 /s: met |",
                "| something | 12.5 us |  |",
                "| log_replay | 900 000 events/s | goal ≥ 1 000 000 /s: MISSED |",
            ]
        );
    }
}
