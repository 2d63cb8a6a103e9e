//! `arxosrt help`: on a command, or on what no single command can say.

use arxosrt_core::control::code::Exit;
use clap::CommandFactory;

use crate::args::Args;
use crate::error::Failure;
use crate::output::Output;

pub(super) fn help(topic: &[String], output: &mut Output) -> Result<Exit, Failure> {
    let text = match topic {
        [topic] if topic == "exit-codes" => exit_codes(),
        _ => of_command(topic)?,
    };
    output.line(text.trim_end())?;
    Ok(Exit::Ok)
}

fn exit_codes() -> String {
    let mut text = String::from("How a run of arxosrt may end. A number means the same for every command.\n\n");
    for exit in Exit::ALL {
        text.push_str(&format!("{:>5}  {:<13} {}\n", exit.number(), exit.name(), exit.meaning()));
    }
    text
}

fn of_command(words: &[String]) -> Result<String, Failure> {
    let mut command = Args::command();
    command.build();
    let mut found = &mut command;
    for word in words {
        found = match found.find_subcommand_mut(word) {
            Some(inner) => inner,
            None => {
                return Err(Failure::usage(format!("there is no help on {:?}", words.join(" ")))
                    .hint("arxosrt --help lists the commands; the only other topic is exit-codes"));
            }
        };
    }
    Ok(found.render_help().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_explained() {
        let text = exit_codes();
        for exit in Exit::ALL {
            assert!(text.contains(&format!("{:>5}  {}", exit.number(), exit.name())), "{exit:?}");
        }
    }

    #[test]
    fn every_command_has_help() {
        for command in Args::command().get_subcommands() {
            let words = [command.get_name().to_owned()];
            assert!(of_command(&words).unwrap().contains("Usage: arxosrt"), "{words:?}");
            assert!(command.get_about().is_some(), "{words:?}");
        }
    }
}
