//! How far is it? On standard error, beside whatever the command prints: a bar that is redrawn on a terminal, a line now
//! and then everywhere else, so that nobody who reads a log takes waiting for hanging.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use arxosrt_core::control::jobs::JobRow;

use super::text::{bytes, clean, cut, span};

/// Between two pictures of the bar: what a slow terminal line still carries.
const FRAME: Duration = Duration::from_millis(250);

/// Between two lines where no terminal is.
const LINE: Duration = Duration::from_secs(10);

/// Cells of the bar.
const CELLS: u64 = 24;

/// Where progress is shown.
#[derive(Debug)]
pub struct Progress {
    shape: Shape,
    /// The next picture or line is not before this.
    next: Instant,
    is_drawn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Nothing,
    Bar,
    Lines,
}

impl Progress {
    /// On standard error as it is; nothing when the user wants it quiet.
    pub fn new(is_quiet: bool) -> Progress {
        let shape = match io::stderr().is_terminal() {
            _ if is_quiet => Shape::Nothing,
            true => Shape::Bar,
            false => Shape::Lines,
        };
        Progress::of(shape, Instant::now())
    }

    fn of(shape: Shape, now: Instant) -> Progress {
        // A job that is over at once needs no line.
        let next = if shape == Shape::Lines { now + LINE } else { now };
        Progress { shape, next, is_drawn: false }
    }

    /// The job is this far.
    pub fn show(&mut self, job: &JobRow) {
        let text = self.text(job, Instant::now());
        self.write(&text);
    }

    /// Takes the bar away, so that a line can be printed where it was. How the job ended is for the command to say.
    pub fn make_room(&mut self) {
        let text = self.gone();
        self.write(text);
        self.next = if self.shape == Shape::Bar { Instant::now() } else { self.next };
    }

    fn gone(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_drawn) { "\r\u{1b}[K" } else { "" }
    }

    fn text(&mut self, job: &JobRow, now: Instant) -> String {
        if self.shape == Shape::Nothing || now < self.next {
            return String::new();
        }
        match self.shape {
            Shape::Nothing => String::new(),
            Shape::Bar => {
                self.next = now + FRAME;
                self.is_drawn = true;
                let columns =
                    terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
                // The last column stays free: some terminals wrap there.
                format!("\r\u{1b}[K{}", cut(&bar(job), columns.saturating_sub(1)))
            }
            Shape::Lines => {
                self.next = now + LINE;
                format!("{}\n", clean(&sentence(job)))
            }
        }
    }

    fn write(&self, text: &str) {
        if !text.is_empty() {
            let mut to = io::stderr().lock();
            // Nobody may be looking.
            let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        }
    }
}

fn bar(job: &JobRow) -> String {
    let settled = job.settled();
    let cells = (settled * CELLS).checked_div(job.total).unwrap_or(CELLS).min(CELLS) as usize;
    let left = CELLS as usize - cells;
    let eta = left_ms(job).map_or_else(String::new, |ms| format!("  {} left", span(ms)));
    let failed = if job.failed > 0 { format!("  {} failed", job.failed) } else { String::new() };
    format!(
        "{}  [{}{}] {settled}/{}  {}{failed}{eta}",
        clean(&job.job_id),
        "#".repeat(cells),
        ".".repeat(left),
        job.total,
        bytes(job.bytes)
    )
}

/// At the pace so far.
fn left_ms(job: &JobRow) -> Option<u64> {
    let settled = job.settled();
    let left = job.total.saturating_sub(settled);
    if job.is_over() { None } else { (job.elapsed_ms.checked_mul(left)?).checked_div(settled) }
}

/// `job_m9x2k1ab is running: 120 of 300, 3 failed, 12.3 MiB in 42s`
pub fn sentence(job: &JobRow) -> String {
    let mut text = format!("{} is {}: {} of {}", job.job_id, job.state, job.settled(), job.total);
    for (count, word) in [
        (job.skipped, "were there"),
        (job.failed, "failed"),
        (job.retrying, "to be tried again"),
        (job.cancelled, "given up"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    text.push_str(&format!(", {} in {}", bytes(job.bytes), span(job.elapsed_ms)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(done: u64, failed: u64) -> JobRow {
        serde_json::from_value(serde_json::json!({
            "job_id": "job_1", "kind": "preload", "target": "t", "state": "running", "actor": "a", "created_at": "t",
            "elapsed_ms": 30_000, "total": 300, "done": done, "skipped": 0, "failed": failed, "cancelled": 0,
            "bytes": 2048
        }))
        .unwrap()
    }

    #[test]
    fn without_a_terminal_there_is_a_line_every_ten_seconds() {
        let begin = Instant::now();
        let mut progress = Progress::of(Shape::Lines, begin);
        let lines: Vec<u64> = (0..=40_000u64)
            .step_by(100)
            .filter(|ms| !progress.text(&job(1, 0), begin + Duration::from_millis(*ms)).is_empty())
            .collect();
        assert_eq!(lines, [10_000, 20_000, 30_000, 40_000]);
        assert_eq!(
            progress.text(&job(10, 2), begin + LINE * 6),
            "job_1 is running: 12 of 300, 2 failed, 2.0 KiB in 30s\n"
        );
    }

    #[test]
    fn a_bar_is_redrawn_four_times_a_second_and_leaves_no_trace() {
        let begin = Instant::now();
        let mut progress = Progress::of(Shape::Bar, begin);
        let frames =
            (0..1000u64).filter(|ms| !progress.text(&job(1, 0), begin + Duration::from_millis(*ms)).is_empty()).count();
        assert_eq!(frames, 4);
        assert_eq!((progress.gone(), progress.gone()), ("\r\u{1b}[K", ""));
        assert_eq!(bar(&job(100, 50)), "job_1  [############............] 150/300  2.0 KiB  50 failed  30s left");
    }

    #[test]
    fn quiet_is_quiet() {
        let begin = Instant::now();
        assert_eq!(Progress::of(Shape::Nothing, begin).text(&job(1, 0), begin + LINE), "");
    }
}
