//! The order in which everything happens: build, pin, measure in turns, print.
//!
//! The peers take turns (A B C A B C …) rather than each having its runs at a stretch, so that an hour in which the
//! machine was slower than in another does not decide who is faster. A run that fails is reported and left out; the
//! others go on.

use std::io;
use std::process::{Command, Stdio};

use crate::dialect::Dialect;
use crate::options::Options;
use crate::peers::{Peer, Stable};
use crate::scenario::{Scale, Scenario, Stage};
use crate::server::{GENERATOR_CPU, SERVER_CPU};
use crate::table::{self, Row, Section};
use crate::{core_speed, sys};

/// Below this, 10 000 connections do not fit beside what else is open.
const OPEN_FILES_MIN: u64 = 10_100;

pub fn run(options: &Options) -> io::Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("warning: this is not a release build, so the generator will be the limit");
    }
    let mut stable = Stable::new(std::env::current_exe()?, options.daemon.clone());
    if let Some(buildings) = &options.buildings {
        stable = stable.with_buildings(buildings.clone());
    }
    let scenarios = options.scenarios();
    let mut peers = options.peers();
    if scenarios.iter().any(|scenario| *scenario != Scenario::Core) {
        peers.retain(|peer| match stable.prepare(*peer) {
            Ok(()) => true,
            Err(problem) => {
                eprintln!("{peer} is left out: {problem}");
                false
            }
        });
    }
    let core = scenarios.contains(&Scenario::Core).then(|| stable.example("arxosrt-sim", "core_speed"));

    // Only now: building on one CPU would take twice as long.
    let open_files = sys::raise_file_limit()?;
    if open_files < OPEN_FILES_MIN {
        eprintln!("warning: only {open_files} files may be open, so scenarios with many connections will fail");
    }
    if let Some(nice) = options.nice {
        raise_priority(nice);
    }
    sys::pin_self(GENERATOR_CPU)
        .map_err(|e| io::Error::new(e.kind(), format!("the generator needs CPU {GENERATOR_CPU} for itself: {e}")))?;

    let rows = measure(options, &stable, &scenarios, &peers);
    let print = if options.markdown { table::as_markdown } else { table::as_text };
    println!("{}", machine());
    println!();
    if !rows.is_empty() {
        println!("{}", print(&rows));
    }
    match core {
        None => {}
        Some(Ok(program)) => println!("{}", core_speed::measure(&program, options.markdown)?),
        Some(Err(problem)) => eprintln!("core is left out: {problem}"),
    }
    Ok(())
}

fn measure(options: &Options, stable: &Stable, scenarios: &[Scenario], peers: &[Peer]) -> Vec<Row> {
    let scale = if options.quick { Scale::QUICK } else { Scale::FULL };
    let mut rows = Vec::new();
    for scenario in scenarios {
        let mut sections: Vec<Section> = scenario.cases().iter().map(Section::new).collect();
        let runs = options.runs_of(*scenario);
        for round in 0..runs {
            for peer in peers.iter().copied().filter(|peer| scenario.suits(*peer)) {
                eprintln!("{} {}/{runs}: {peer}", scenario.name(), round + 1);
                let dialect = Dialect::new(peer.speech(!options.old_client));
                let stage = Stage { stable, peer, dialect, scale, round };
                match scenario.run(&stage) {
                    Ok(answers) => {
                        for (case, figures) in answers {
                            let section = sections.iter_mut().find(|section| std::ptr::eq(section.case, case));
                            let section = section.expect("a scenario answers its own cases");
                            section.rounds.entry(peer).or_default().insert(round, figures);
                        }
                    }
                    Err(problem) => {
                        eprintln!("{} {peer}: run left out: {problem}", scenario.name())
                    }
                }
            }
        }
        rows.extend(sections.iter().flat_map(Section::rows));
    }
    rows
}

/// Also that of the scheduler's group: without it, the group of a compiler next door gets half of the CPU whatever the
/// priority of its processes.
fn raise_priority(nice: i32) {
    let group = || std::fs::write("/proc/self/autogroup", nice.to_string());
    if let Err(problem) = sys::set_nice(nice).and_then(|()| group()) {
        eprintln!("warning: priority {nice} was not granted: {problem}");
    }
}

/// What a figure needs to be understood later: the machine and the versions.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).stderr(Stdio::null()).output();
        output.map_or_else(|_| "–".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    format!(
        "{cpus} × {model}; Linux {}; node {}; {}; server on CPU {SERVER_CPU}, generator on CPU {GENERATOR_CPU}, loopback",
        said("uname", "-r"),
        said("node", "--version"),
        said("python3", "--version"),
    )
}
