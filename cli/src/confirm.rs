//! Should this really happen? Asked on a terminal only. Where nobody can answer, the answer is no, with the name of the
//! flag that says yes; a closed standard input is not a yes either.

use std::io::{self, BufRead, IsTerminal, Write};

use arxosrt_core::control::code::Exit;

use crate::args::Global;
use crate::error::Failure;
use crate::output::text::clean;

/// What has to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// `y` or `yes`.
    Yes,
    /// This word, typed out: for what disturbs somebody at work.
    Typed(&'a str),
}

/// Asks whether `what` should happen. `Ok` means yes.
pub fn confirm(global: &Global, what: &str, wanted: Answer<'_>) -> Result<(), Failure> {
    confirm_seeing(global, &[], what, wanted)
}

/// The same, with lines that whoever is asked has to see first. Nobody else sees them.
pub fn confirm_seeing(global: &Global, seen: &[String], what: &str, wanted: Answer<'_>) -> Result<(), Failure> {
    if global.yes {
        return Ok(());
    }
    if global.no_input || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!("{what}: this needs a confirmation and nobody can be asked"))
            .hint("--yes confirms it"));
    }
    let mut question: String = seen.iter().map(|line| format!("{}\n", clean(line))).collect();
    match wanted {
        Answer::Yes => question.push_str(&format!("{}? [y/N] ", clean(what))),
        Answer::Typed(word) => question.push_str(&format!("{}.\nType {} to confirm: ", clean(what), clean(word))),
    }
    let mut to = io::stderr().lock();
    let asked = to.write_all(question.as_bytes()).and_then(|()| to.flush());
    let mut line = String::new();
    asked
        .and_then(|()| io::stdin().lock().read_line(&mut line))
        .map_err(|error| Failure::new(Exit::Failed, "failed", format!("cannot ask: {error}")))?;
    if is_yes(&line, wanted) {
        Ok(())
    } else {
        Err(Failure::new(Exit::Failed, "not_confirmed", "not confirmed; nothing was changed"))
    }
}

fn is_yes(line: &str, wanted: Answer<'_>) -> bool {
    let line = line.trim();
    match wanted {
        Answer::Yes => matches!(line.to_ascii_lowercase().as_str(), "y" | "yes"),
        Answer::Typed(word) => line == word.trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (line, yes) in [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("yeah\n", false)] {
            assert_eq!(is_yes(line, Answer::Yes), yes, "{line:?}");
        }
        assert!(is_yes("floor_1\n", Answer::Typed("floor_1")));
        assert!(!is_yes("y\n", Answer::Typed("floor_1")));
    }
}
