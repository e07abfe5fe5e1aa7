// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard error: the lines of the log; on a terminal a live line below them that says which step is
//! under way, and bars of downloads; on GitHub's runner what a step logs, folded.
//!
//! Its invariant: all that is written there while a step runs passes here, so that the live line and
//! the log cannot garble each other.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::text::plain;

/// As the line that a step leaves in the log, whose time is final.
const LIVE_LINE: &str = "{prefix:9}{seconds:>6}  {wide_msg}";

/// How often the time in it is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Standard error is one for the whole process.
static CONSOLE: OnceLock<Console> = OnceLock::new();

struct Console {
    /// Where there is a terminal that shows it.
    live: Option<MultiProgress>,
    /// Whether GitHub's runner reads along, and folds what lies between two of its marks.
    folds: bool,
    step: Mutex<Option<Current>>,
}

struct Current {
    name: String,
    line: Option<ProgressBar>,
    is_folded: bool,
}

/// Begins. Without it nothing is live and nothing folded. `quiet`: warnings and errors only.
pub fn open(quiet: bool) {
    let is_shown = io::stderr().is_terminal() && !quiet;
    let folds = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    let _ = CONSOLE.set(Console {
        live: is_shown.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
        folds,
        step: Mutex::default(),
    });
}

/// Whether GitHub's runner reads what is written.
pub fn is_read_by_github() -> bool {
    CONSOLE.get().is_some_and(|console| console.folds)
}

/// Writes text that ends a line, above what is live. A terminal that has gone away is not our failure.
pub fn write(text: &str) {
    let write = || {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    };
    match CONSOLE.get().and_then(|console| console.live.as_ref()) {
        Some(live) => live.suspend(write),
        None => write(),
    }
}

/// A step under way; it ends with the value.
pub struct Step(());

/// Begins a step.
pub fn step(name: &str) -> Step {
    if let Some(console) = CONSOLE.get() {
        *console.step() = Some(Current {
            name: name.to_owned(),
            line: console.live.as_ref().map(|live| live_line(live, name)),
            is_folded: false,
        });
    }
    Step(())
}

/// Says beside the step what it is at; a log does not have this.
pub fn doing(what: &str) {
    if let Some(console) = CONSOLE.get()
        && let Some(Current {
            line: Some(line), ..
        }) = &*console.step()
    {
        line.set_message(plain(what));
    }
}

/// A bar below the live line, where there is one.
pub fn bar() -> Option<ProgressBar> {
    let live = CONSOLE.get()?.live.as_ref()?;
    Some(live.add(ProgressBar::no_length()))
}

impl Drop for Step {
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

    /// The mark that comes before a line: what a step is at is folded, what is wrong with it is not.
    fn mark(&self, is_detail: bool) -> String {
        match &mut *self.step() {
            Some(step) if self.folds && is_detail != step.is_folded => {
                step.is_folded = is_detail;
                match is_detail {
                    true => format!("::group::{}\n", step.name),
                    false => "::endgroup::\n".to_owned(),
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

/// What the log is written with.
pub struct Log;

/// Writes one line of the log.
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
