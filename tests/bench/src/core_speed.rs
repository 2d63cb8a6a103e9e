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

/// What the name contains, the unit, and what is to be reached.
const GOALS: [(&str, &str, Goal); 7] = [
    ("lock_cycles", "per_s", Goal::AtLeast(1_000_000.0)),
    ("replay", "events_per_s", Goal::AtLeast(1_000_000.0)),
    ("expiry_total", "ms", Goal::AtMost(1000.0)),
    ("expiry_worst_step", "ms", Goal::AtMost(5.0)),
    ("restart_from", "ms", Goal::AtMost(1000.0)),
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
        return Err(io::Error::other(format!("{}: {}", program.display(), output.status)));
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
        let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<f64>)) else {
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
    let goal = GOALS.iter().find(|(word, goal_unit, _)| name.contains(word) && unit == *goal_unit);
    let Some((_, _, goal)) = goal else {
        return String::new();
    };
    let (sign, bound, met) = match *goal {
        Goal::AtLeast(bound) => ("≥", bound, value >= bound),
        Goal::AtMost(bound) => ("≤", bound, value <= bound),
    };
    format!("goal {sign} {}: {}", number(bound), if met { "met" } else { "MISSED" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_laid_out_and_judged_and_noise_is_skipped() {
        let printed = "lock_cycles 2500000 per_s\nsomething 12.5 us\nwarming up\nreplay 900000 events_per_s\n";
        let text = lay_out(printed, true);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| lock_cycles | 2 500 000 per_s | goal ≥ 1 000 000: met |",
                "| something | 12.5 us |  |",
                "| replay | 900 000 events_per_s | goal ≥ 1 000 000: MISSED |",
            ]
        );
    }
}
