//! `arxosrt`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(arxosrt::run(std::env::args_os()).number())
}
