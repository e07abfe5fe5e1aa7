// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of every command, and functions that print results.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::text::plain;

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Use DIR as the root directory; replace and rebuild run the programs in DIR
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Format of the result on standard output
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub format: OutputFormat,
    /// Print the output of programs; -vv also that of queries such as rpm -q
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Log errors only, and print no result of a successful replace, rebuild, verify
    /// or gate, except with --format json
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub color: Color,
}

/// The format of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Text.
    Human,
    /// JSON, as /usr/share/ostree-kernel/report.schema.json describes it.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Prints a result as [`plain`] text. A pipe that the reader has closed is not an error.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print(text: &str) -> io::Result<()> {
    print_with(|out| out.write_all(plain(text).as_bytes()))
}

/// Returns a document of `--format json` as text.
///
/// # Errors
/// When the document cannot be serialised.
pub fn json(document: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(document).context("writing the result as JSON")?;
    Ok(json + "\n")
}

/// Prints the output of `write` without escaping it, through a buffer of 64 KiB. Output that fits in the buffer is
/// printed with a single write. A pipe that the reader has closed is not an error.
///
/// # Errors
/// As [`print`], or the error of `write`.
pub fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

impl Color {
    /// Returns whether to use colours on `stream`.
    pub fn is_on(self, stream: &impl IsTerminal) -> bool {
        self.decide(stream.is_terminal(), |name| std::env::var_os(name))
    }

    /// Decides by the rules of <https://bixense.com/clicolors>. In addition, a terminal whose `TERM` is `dumb` or not
    /// set gets no colours unless they are forced. `env` returns the value of an environment variable.
    fn decide(self, is_terminal: bool, env: impl Fn(&str) -> Option<OsString>) -> bool {
        let is_set = |name| env(name).is_some_and(|value| !value.is_empty());
        let is_zero = |name| env(name).is_some_and(|value| value == "0");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if is_set("NO_COLOR") => false,
            Self::Auto if is_set("CLICOLOR_FORCE") && !is_zero("CLICOLOR_FORCE") => true,
            Self::Auto => {
                let is_dumb = env("TERM").is_none_or(|term| term == "dumb");
                is_terminal && !is_zero("CLICOLOR") && !is_dumb
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_depend_on_option_terminal_and_environment() {
        let terminal = [("TERM", "xterm")];
        for (color, is_terminal, env, expected) in [
            (Color::Auto, true, &[][..], true),
            (Color::Auto, false, &[], false),
            (Color::Auto, true, &[("TERM", "dumb")], false),
            (Color::Auto, true, &[("NO_COLOR", "1")], false),
            (Color::Auto, true, &[("NO_COLOR", "")], true),
            (Color::Auto, true, &[("CLICOLOR", "0")], false),
            (Color::Auto, true, &[("CLICOLOR", "1")], true),
            (Color::Auto, false, &[("CLICOLOR", "1")], false),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Color::Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (
                Color::Auto,
                true,
                &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
                false,
            ),
            (Color::Always, false, &[("NO_COLOR", "1")], true),
            (Color::Never, true, &[("CLICOLOR_FORCE", "1")], false),
        ] {
            let value = |name: &str| {
                let mut all = env.iter().chain(&terminal);
                all.find(|(known, _)| *known == name)
                    .map(|(_, value)| value.into())
            };
            let found = color.decide(is_terminal, value);
            assert_eq!(found, expected, "{color:?} {is_terminal} {env:?}");
        }
    }
}
