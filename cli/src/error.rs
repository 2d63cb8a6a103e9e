//! How does a command say that it did not work? For people as two lines, for programs as one line of JSON, on standard
//! error in both cases, and with an exit code that means the same everywhere.

use std::io;

use arxosrt_core::control::API_VERSION;
use arxosrt_core::control::code::{Exit, Problem};
use serde_json::{Value, json};

/// Why a command did not do what was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// A stable name: the daemon's code, or one of this program's own.
    pub code: String,
    /// For people: lowercase, no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The same command may succeed a little later.
    pub retryable: bool,
    /// The request in the daemon's log.
    pub request_id: Option<String>,
    /// Figures for programs.
    pub details: Option<Box<Value>>,
}

impl Failure {
    /// A failure that this program found itself.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Failure {
            exit,
            code: code.into(),
            message: message.into(),
            hint: None,
            retryable: matches!(exit, Exit::Unreachable | Exit::Timeout),
            request_id: None,
            details: None,
        }
    }

    /// Bad arguments beyond what the grammar can tell.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, "usage", message)
    }

    /// The daemon's refusal.
    pub fn from_problem(problem: Problem) -> Self {
        Failure {
            exit: problem.exit(),
            code: problem.code,
            message: problem.detail,
            hint: problem.hint,
            retryable: problem.retryable,
            request_id: Some(problem.request_id),
            details: problem.details.map(Box::new),
        }
    }

    /// Standard output did not take what was written. A reader that has gone is no fault: it is said by the exit code
    /// only.
    pub fn from_write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::BrokenPipe, "broken_pipe", String::new()),
            _ => Failure::new(Exit::Failed, "output", format!("cannot write the output: {error}")),
        }
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// One line for programs.
    pub fn json(&self) -> String {
        let mut line = json!({
            "api_version": API_VERSION,
            "kind": "Error",
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            "exit_code": self.exit.number(),
        });
        let optional = [
            ("hint", self.hint.clone().map(Value::from)),
            ("request_id", self.request_id.clone().map(Value::from)),
            ("details", self.details.as_deref().cloned()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                line[name] = value;
            }
        }
        line.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_hint_and_request_for_programs() {
        let problem = Problem {
            code: "token_changed".into(),
            title: "x".into(),
            detail: "the lock has token 8, not 7".into(),
            hint: Some("look again".into()),
            retryable: false,
            request_id: "r1".into(),
            status: 412,
            details: Some(json!({"token": 8})),
        };
        let failure = Failure::from_problem(problem);
        let line: Value = serde_json::from_str(&failure.json()).unwrap();
        assert_eq!(line["exit_code"], 6);
        assert_eq!(line["code"], "token_changed");
        assert_eq!(line["request_id"], "r1");
        assert_eq!(line["details"]["token"], 8);
        assert!(!failure.json().contains('\n'));
    }
}
