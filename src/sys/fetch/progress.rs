// SPDX-License-Identifier: MIT OR Apache-2.0
//! Progress bars of downloads on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use crate::sys::console;

/// The progress bar of one download.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// Adds a bar on a terminal; it is removed on drop.
    pub fn new(name: &str) -> Self {
        let style = "{msg:40!} {bar:20} {bytes:>11} / {total_bytes:11} {bytes_per_sec}";
        let bar = console::bar();
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(style)) {
            bar.set_style(style);
            bar.set_message(crate::text::plain(name));
        }
        Self(bar)
    }

    /// Sets the number of received bytes, and the length of the file if it is known.
    pub fn begin(&self, bytes: u64, whole: Option<u64>) {
        if let Some(bar) = &self.0 {
            bar.set_position(bytes);
            match whole {
                Some(whole) => bar.set_length(whole),
                None => bar.unset_length(),
            }
        }
    }

    /// Adds received bytes.
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

/// Formats a size: `11.0 MiB`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
