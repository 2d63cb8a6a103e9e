//! Where everything that is printed goes through: one buffered standard output that knows the wanted format, the
//! terminal and the colours, and that takes a reader's departure quietly.

pub mod progress;
pub mod rows;
pub mod table;
pub mod text;

use std::env;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use arxosrt_core::control::code::Exit;
use arxosrt_core::control::document::{Document, List};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::args::{Format, Global, When};
use crate::error::Failure;
use rows::Row;

/// Any JSON value, kept as the daemon wrote it: fields that this build does not know reach scripts all the same.
pub type Raw = Box<RawValue>;

/// Standard output.
pub struct Output {
    to: BufWriter<StdoutLock<'static>>,
    format: Format,
    headers: bool,
    quiet: bool,
    is_terminal: bool,
    colors: bool,
    error_colors: bool,
    /// The reader has gone, and the command knows it.
    is_abandoned: bool,
}

impl Output {
    /// As the flags and the environment want it.
    pub fn new(global: &Global) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Output {
            to: BufWriter::new(io::stdout().lock()),
            format: global.output,
            headers: !global.no_headers,
            quiet: global.quiet,
            is_terminal,
            colors: wants_color(global.color, is_terminal),
            error_colors: wants_color(global.color, io::stderr().is_terminal()),
            is_abandoned: false,
        }
    }

    /// The wanted format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Somebody sits in front of it.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// A list in the wanted format; `keep` says which of its rows.
    pub fn list<R: Row>(&mut self, list: List<Raw>, keep: impl Fn(&R) -> bool) -> Result<(), Failure> {
        let mut kept = Vec::with_capacity(list.items.len());
        for raw in list.items {
            let row: R = read(&raw)?;
            if keep(&row) {
                kept.push((raw, row));
            }
        }
        match self.list_format() {
            Format::Json => {
                let items = kept.into_iter().map(|(raw, _)| raw).collect();
                self.json(&List { items, next_cursor: None, ..list })
            }
            Format::Ndjson => kept.iter().try_for_each(|(raw, _)| self.json_line(raw.get())),
            Format::Name => kept.iter().try_for_each(|(_, row)| self.line(&text::clean(&row.name()))),
            Format::Table => {
                let rows: Vec<R> = kept.into_iter().map(|(_, row)| row).collect();
                self.table(&rows)
            }
        }
    }

    /// One thing in the wanted format; `id` and `fields` are what `name` and `table` show of it.
    pub fn document<T: DeserializeOwned>(
        &mut self,
        document: &Document<Raw>,
        id: impl FnOnce(&T) -> String,
        fields: impl FnOnce(&T) -> Vec<(&'static str, String)>,
    ) -> Result<(), Failure> {
        let thing: T = read(&document.object)?;
        match self.format {
            Format::Json => self.json(document),
            Format::Ndjson => self.json_line(document.object.get()),
            Format::Name => self.line(&text::clean(&id(&thing))),
            Format::Table => self.fields(&fields(&thing)),
        }
    }

    /// The outcome of a change: nothing when quiet, a sentence for people, the document for programs.
    pub fn outcome(&mut self, document: &Document<Raw>, target: &str, sentence: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(document),
            Format::Ndjson => self.json_line(document.object.get()),
            _ if self.quiet => Ok(()),
            Format::Name => self.line(&text::clean(target)),
            Format::Table => self.line(&text::clean(sentence)),
        }
    }

    /// A table of rows.
    pub fn table<R: Row>(&mut self, rows: &[R]) -> Result<(), Failure> {
        self.lines_of(rows).iter().enumerate().try_for_each(|(at, line)| self.table_line(at, line))
    }

    /// A table that replaces what the terminal shows.
    pub fn redraw<R: Row>(&mut self, rows: &[R]) -> Result<(), Failure> {
        let lines = self.lines_of(rows);
        let height = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0));
        // The last line stays free: a line feed there would scroll the heading away.
        let fits = height.saturating_sub(2).max(1);
        self.write("\u{1b}[H")?;
        for (at, line) in lines.iter().take(fits).enumerate() {
            let feed = "\u{1b}[K";
            self.write(feed)?;
            self.table_line(at, line)?;
        }
        self.write("\u{1b}[J")?;
        if lines.len() > fits {
            self.write(&format!("… and {} more", lines.len() - fits))?;
        }
        self.flush()
    }

    /// Names and values, one per line.
    pub fn fields(&mut self, fields: &[(&'static str, String)]) -> Result<(), Failure> {
        field_lines(fields).iter().try_for_each(|line| self.line(line))
    }

    /// One JSON document.
    pub fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::new(Exit::Failed, "output", format!("cannot write JSON: {error}")))?;
        self.json_line(&text)
    }

    /// One line of JSON that is already text.
    pub fn json_line(&mut self, json: &str) -> Result<(), Failure> {
        self.line(&text::clean_json(json))
    }

    /// One line, as it is.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.write(line)?;
        self.write("\n")
    }

    /// A value as it was stored: the very bytes for a pipe, and nothing that steers for a terminal.
    pub fn value(&mut self, value: &[u8]) -> Result<(), Failure> {
        if self.is_terminal {
            return self.line(text::clean_text(&String::from_utf8_lossy(value)).trim_end_matches('\n'));
        }
        let written = self.to.write_all(value);
        self.judge(written)
    }

    /// Everything so far, out.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.to.flush();
        self.judge(flushed)
    }

    /// The end of a command that went well. What is left for a reader that is known to have gone is no failure.
    pub fn finish(&mut self) -> Result<(), Failure> {
        if self.is_abandoned { Ok(()) } else { self.flush() }
    }

    /// The end of a command that did not.
    pub fn fail(&self, failure: &Failure) {
        if failure.exit == Exit::BrokenPipe {
            return;
        }
        // Standard error may be closed; then the exit code is all there is.
        let mut to = io::stderr().lock();
        let _ = match self.format {
            Format::Json | Format::Ndjson => writeln!(to, "{}", text::clean_json(&failure.json())),
            Format::Table | Format::Name => {
                let word = if self.error_colors { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
                writeln!(to, "{word} {}", text::clean(&failure.message)).and_then(|()| match &failure.hint {
                    Some(hint) => writeln!(to, "hint: {}", text::clean(hint)),
                    None => Ok(()),
                })
            }
        };
    }

    /// Remarks and progress are not wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// A remark beside the output.
    pub fn remark(&self, remark: &str) {
        if !self.quiet {
            // Nobody may be reading remarks.
            let _ = writeln!(io::stderr().lock(), "{}", text::clean(remark));
        }
    }

    fn list_format(&self) -> Format {
        if self.quiet && self.format == Format::Table { Format::Name } else { self.format }
    }

    fn lines_of<R: Row>(&self, rows: &[R]) -> Vec<String> {
        let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
        table::lines(R::COLUMNS, &cells, self.headers, self.columns_max())
    }

    fn table_line(&mut self, at: usize, line: &str) -> Result<(), Failure> {
        if at == 0 && self.headers && self.colors {
            self.write("\u{1b}[1m")?;
            self.write(line)?;
            self.write("\u{1b}[0m\n")
        } else {
            self.line(line)
        }
    }

    fn columns_max(&self) -> Option<usize> {
        if !self.is_terminal {
            return None;
        }
        terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)).filter(|&columns| columns > 0)
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.to.write_all(text.as_bytes());
        self.judge(written)
    }

    fn judge(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        written.map_err(|error| {
            self.is_abandoned |= error.kind() == io::ErrorKind::BrokenPipe;
            Failure::from_write(error)
        })
    }
}

/// Names and values, one per line, the values below each other.
pub fn field_lines(fields: &[(&'static str, String)]) -> Vec<String> {
    let widest = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{name:widest$}  {}", text::clean(value)).trim_end().to_owned();
    fields.iter().map(line).collect()
}

/// The typed view of a value from the daemon.
pub fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<T, Failure> {
    serde_json::from_str(raw.get()).map_err(|error| {
        Failure::new(Exit::Incompatible, "incompatible", format!("the daemon's answer is not understood: {error}"))
    })
}

/// NO_COLOR, and a terminal that can.
fn wants_color(when: When, is_terminal: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => {
            let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
            is_terminal && !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
