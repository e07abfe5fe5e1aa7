// SPDX-License-Identifier: MIT OR Apache-2.0
//! How downloads are shown: bars on a terminal, a line for each file in a log.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};

/// The bars of all downloads, where there are any.
pub struct Progress(Option<MultiProgress>);

/// One download.
pub struct Bar(Option<ProgressBar>);

impl Progress {
    /// With bars where standard error is a terminal and the log is not silenced.
    pub fn new() -> Self {
        let is_shown = io::stderr().is_terminal() && tracing::enabled!(tracing::Level::INFO);
        Self(is_shown.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())))
    }

    /// Says a line in the log, above the bars.
    pub fn say(&self, line: &str) {
        match &self.0 {
            Some(bars) => bars.suspend(|| tracing::info!("{line}")),
            None => tracing::info!("{line}"),
        }
    }

    /// A bar for one file; it vanishes with the value.
    pub fn bar(&self, name: &str) -> Bar {
        let style = "{msg:40!} {bar:20} {bytes:>11} / {total_bytes:11} {bytes_per_sec}";
        Bar(self.0.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::no_length().with_message(name.to_owned()));
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar
        }))
    }
}

impl Bar {
    /// So many bytes are there, of so many.
    pub fn begin(&self, bytes: u64, whole: Option<u64>) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
            match whole {
                Some(whole) => bar.set_length(whole),
                None => bar.unset_length(),
            }
        }
    }

    /// So many more.
    pub fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// `11.0 MiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
