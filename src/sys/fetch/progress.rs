// SPDX-License-Identifier: MIT OR Apache-2.0
//! How downloads are shown: a bar for each on a terminal.

use indicatif::{ProgressBar, ProgressStyle};

use crate::sys::console;

/// One download.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar for one file, where there is a terminal; it vanishes with the value.
    pub fn new(name: &str) -> Self {
        let style = "{msg:40!} {bar:20} {bytes:>11} / {total_bytes:11} {bytes_per_sec}";
        let bar = console::bar();
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(style)) {
            bar.set_style(style);
            bar.set_message(crate::text::plain(name));
        }
        Self(bar)
    }

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
