// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard error. It contains the log. On a terminal, a live line for the current step and progress bars of downloads
//! are shown below the log. On GitHub's runner, the log lines of a step are a folded group, except warnings and errors.
//!
//! Invariant: everything that is written to standard error during a step passes through here, so that the live line and
//! the log do not overwrite each other.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::text::plain;

/// The template of the live line. It has the layout of the log line of a finished step.
const LIVE_LINE: &str = "{prefix:9}{seconds:>6}  {wide_msg}";

/// Refresh interval of the time in the live line.
const TICK: Duration = Duration::from_millis(100);

/// Global, since the process has only one standard error.
static CONSOLE: OnceLock<Console> = OnceLock::new();

struct Console {
    /// The progress display; `None` if standard error is not a terminal, or the console was opened with `quiet`.
    live: Option<MultiProgress>,
    /// Whether GitHub's runner reads the log and folds the lines between two marks.
    folds: bool,
    step: Mutex<Option<Current>>,
}

struct Current {
    name: String,
    line: Option<ProgressBar>,
    is_folded: bool,
}

/// Opens the console. Before this call there is no live line and no folding. `quiet` disables the live line and the
/// progress bars.
pub fn open(quiet: bool) {
    let is_shown = io::stderr().is_terminal() && !quiet;
    let folds = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    let _ = CONSOLE.set(Console {
        live: is_shown.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
        folds,
        step: Mutex::default(),
    });
}

/// Returns whether GitHub's runner reads the log.
pub fn is_read_by_github() -> bool {
    CONSOLE.get().is_some_and(|console| console.folds)
}

/// Writes `text`, which must end with a line break, into the log above the live line. Errors are ignored: the terminal
/// may be closed.
pub fn write(text: &str) {
    let write = || {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    };
    match CONSOLE.get().and_then(|console| console.live.as_ref()) {
        Some(live) => live.suspend(write),
        None => write(),
    }
}

/// A guard. While it exists, its step is the current one.
pub struct StepGuard(());

/// Starts a step; it ends when the guard is dropped.
pub fn step(name: &str) -> StepGuard {
    if let Some(console) = CONSOLE.get() {
        *console.step() = Some(Current {
            name: name.to_owned(),
            line: console.live.as_ref().map(|live| live_line(live, name)),
            is_folded: false,
        });
    }
    StepGuard(())
}

/// Shows the current activity in the live line. It is not logged.
pub fn activity(what: &str) {
    if let Some(console) = CONSOLE.get()
        && let Some(Current {
            line: Some(line), ..
        }) = &*console.step()
    {
        line.set_message(plain(what));
    }
}

/// Adds a progress bar below the live line; `None` if the console has no progress display.
pub fn bar() -> Option<ProgressBar> {
    let live = CONSOLE.get()?.live.as_ref()?;
    Some(live.add(ProgressBar::no_length()))
}

impl Drop for StepGuard {
    fn drop(&mut self) {
        let ended = CONSOLE.get().and_then(|console| console.step().take());
        if let Some(Current {
            line, is_folded, ..
        }) = ended
        {
            line.inspect(ProgressBar::finish_and_clear);
            if is_folded {
                write("::endgroup::\n");
            }
        }
    }
}

impl Console {
    fn step(&self) -> MutexGuard<'_, Option<Current>> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the mark to write before a line, if the line begins or ends a folded group; else an empty string.
    /// Details of a step are folded, warnings and errors are not.
    fn mark(&self, is_detail: bool) -> String {
        match &mut *self.step() {
            Some(step) if self.folds && is_detail != step.is_folded => {
                step.is_folded = is_detail;
                if is_detail {
                    format!("::group::{}\n", step.name)
                } else {
                    "::endgroup::\n".to_owned()
                }
            }
            _ => String::new(),
        }
    }
}

fn live_line(live: &MultiProgress, name: &str) -> ProgressBar {
    let line = live.add(ProgressBar::no_length());
    let seconds = |state: &ProgressState, to: &mut dyn fmt::Write| {
        // Writing to a String cannot fail.
        let _ = write!(to, "{:.1}s", state.elapsed().as_secs_f64());
    };
    if let Ok(style) = ProgressStyle::with_template(LIVE_LINE) {
        line.set_style(style.with_key("seconds", seconds));
    }
    line.set_prefix(name.to_owned());
    line.enable_steady_tick(TICK);
    line
}

/// The destination of the log: creates a [`LogLine`] for each event.
pub struct Log;

/// The writer of one line of the log.
pub struct LogLine {
    is_detail: bool,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine { is_detail: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LogLine {
        LogLine {
            is_detail: *metadata.level() > Level::WARN,
        }
    }
}

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mark = CONSOLE.get().map(|console| console.mark(self.is_detail));
        write(&(mark.unwrap_or_default() + &String::from_utf8_lossy(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
