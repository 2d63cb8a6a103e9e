//! The command. Its second face, `floor-server PORT plain|corked`, is the floor, started by the first as a process; so is
//! `cache-alone` by `cache`, which measures the cache in memory beside others and no server.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use arxosrt_bench::options::Options;
use arxosrt_bench::{cache, floor, run};
use clap::Parser;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let outcome = match words[..] {
        ["floor-server", port, manner] => serve_floor(port, manner),
        ["cache", ref rest @ ..] => cache::run(rest),
        ["cache-http", ref rest @ ..] => cache::run_http(rest),
        ["cache-alone", ref rest @ ..] => cache::measure(rest),
        _ => run::run(&Options::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("arxosrt-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn serve_floor(port: &str, manner: &str) -> io::Result<()> {
    let port = port.parse().map_err(|e| io::Error::other(format!("{port}: {e}")))?;
    arxosrt_bench::sys::raise_file_limit()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    match floor::serve(listener, manner == "corked")? {}
}
