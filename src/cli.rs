// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line, the log, and the exit status.
//!
//! stdout is the result, stderr is the log, standard input is never read.

mod help;

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cmd;
use crate::plan::{AS_ROOT, Refusal};
use crate::report::{Outcome, SCHEMA, tool};
use crate::sys::{console, exec, root};

/// Exit statuses. Containerfiles branch on them.
pub mod status {
    /// It is done.
    pub const DONE: u8 = 0;
    /// A step failed, or a fatal check could not look.
    pub const FAILED: u8 = 1;
    /// The command line cannot be understood.
    pub const USAGE: u8 = 2;
    /// Refused; nothing changed outside the cache directory, `/run` and the report asked for.
    pub const REFUSED: u8 = 3;
    /// The verification found something fatal; nothing was committed.
    pub const REJECTED: u8 = 4;
}

/// Replaces the kernel of an ostree-based OS container image, and refuses to
/// let an image out that will not boot.
#[derive(Debug, Parser)]
#[command(name = "ostree-kernel", version, max_term_width = 80, after_long_help = help::OVERVIEW)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Work on the tree in DIR instead of /; programs run inside it
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// How the result is printed on standard output
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub format: Format,
    /// Show what the programs print; twice: also what they are asked
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to use colours (auto: on a terminal, as NO_COLOR, CLICOLOR and
    /// CLICOLOR_FORCE have it)
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN"
    )]
    pub color: Color,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For programs; the fields are described in /usr/share/ostree-kernel/report.schema.json.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `CLICOLOR` is 0; with `CLICOLOR_FORCE` elsewhere, too.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replace the kernel by that of the RPMs, build and verify its initramfs
    ///
    /// One transaction of rpm-ostree or dnf, cliwrap off, the real dracut once, the initramfs
    /// verified, caches cleaned and the container committed. Or it fails, and says what to do.
    #[command(after_long_help = help::REPLACE)]
    Replace(cmd::replace::Args),
    /// Build the initramfs of the installed kernel again, and verify it
    ///
    /// For a change of dracut.conf, multipath.conf, a theme or a module: depmod and dracut run, the
    /// result is verified and committed as by replace.
    #[command(after_long_help = help::REBUILD)]
    Rebuild(cmd::rebuild::Args),
    /// Check whether the tree would boot
    ///
    /// Looks at the kernel, its initramfs and the tree around them, and says what is wrong, where,
    /// what was expected and what to do. Changes nothing.
    #[command(after_long_help = help::VERIFY)]
    Verify(cmd::verify::Args),
    /// Show kernels, backend, cliwrap and leftovers of the tree
    ///
    /// What replace would see, and the value of the label ostree.linux. Changes nothing.
    #[command(after_long_help = help::STATUS)]
    Status(cmd::status::Args),
    /// Show what is in an initramfs, or what differs between two
    #[command(after_long_help = help::INSPECT)]
    Inspect(cmd::inspect::Args),
}

/// Runs the program and returns its exit status.
pub fn main(mut args: Vec<OsString>) -> ExitCode {
    if args.get(1).is_some_and(|arg| arg == exec::ENTER_ROOT) {
        return match exec::enter_root(&args[2..]) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}", console::plain(&format!("{error:#}")));
                ExitCode::from(126)
            }
        };
    }
    // `ostree kernel …` runs us with the name of our verb as the first argument.
    if args.get(1).is_some_and(|arg| arg == "kernel") {
        args.remove(1);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let is_usage = error.use_stderr();
            return ExitCode::from(if is_usage {
                status::USAGE
            } else {
                status::DONE
            });
        }
    };
    start_log(&cli.global);
    match run(&cli) {
        Ok(Outcome::Committed | Outcome::Unchanged | Outcome::Passed) => {
            ExitCode::from(status::DONE)
        }
        Ok(Outcome::Rejected) => ExitCode::from(status::REJECTED),
        Ok(Outcome::Unknown) => ExitCode::from(status::FAILED),
        Err(error) => {
            let refused = error.chain().any(|cause| cause.is::<Refusal>());
            let text = match !refused && is_denied(&error) {
                true => format!("{error:#}. {AS_ROOT}"),
                false => format!("{error:#}"),
            };
            tracing::error!("{text}");
            if let Err(error) = report_error(&cli, &text, refused) {
                tracing::error!("{error:#}");
            }
            ExitCode::from(if refused {
                status::REFUSED
            } else {
                status::FAILED
            })
        }
    }
}

/// Whether an ordinary user met what another one may do. What root may not do has other reasons.
fn is_denied(error: &anyhow::Error) -> bool {
    let is_denied = |cause: &(dyn Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|it| it.kind() == io::ErrorKind::PermissionDenied)
            || cause.downcast_ref().is_some_and(root::Error::is_denied)
    };
    !nix::unistd::geteuid().is_root() && error.chain().any(is_denied)
}

/// A job that did not get as far as a verdict has a report all the same: what became of it, and why.
fn report_error(cli: &Cli, error: &str, refused: bool) -> Result<()> {
    let outcome = if refused { "refused" } else { "failed" };
    let report = serde_json::json!({
        "schema": SCHEMA, "tool": tool(), "outcome": outcome, "error": error,
    });
    let text = format!("{report:#}\n");
    let file = match &cli.command {
        Command::Replace(args) => args.ending.report.as_ref(),
        Command::Rebuild(args) => args.ending.report.as_ref(),
        Command::Verify(args) => args.report.as_ref(),
        Command::Status(_) | Command::Inspect(_) => None,
    };
    if let Some(file) = file {
        fs_err::write(file, &text)?;
    }
    if cli.global.format == Format::Json {
        print(&text)?;
    }
    Ok(())
}

fn run(cli: &Cli) -> Result<Outcome> {
    match &cli.command {
        Command::Replace(args) => cmd::replace::run(args, &cli.global),
        Command::Rebuild(args) => cmd::rebuild::run(args, &cli.global),
        Command::Verify(args) => cmd::verify::run(args, &cli.global),
        Command::Status(args) => cmd::status::run(args, &cli.global),
        Command::Inspect(args) => cmd::inspect::run(args, &cli.global),
    }
}

/// The definition of the command line, for man pages and completions.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Prints a result as [`console::plain`] text. A reader that has gone away is not our failure.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print(text: &str) -> io::Result<()> {
    print_with(|out| out.write_all(console::plain(text).as_bytes()))
}

/// Prints what `write` writes as it is, for results that are better not held whole.
///
/// # Errors
/// As [`print`]; also what `write` itself says.
pub fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn start_log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => Level::WARN,
        (_, 0) => Level::INFO,
        (_, 1) => Level::DEBUG,
        _ => Level::TRACE,
    };
    console::open(global.quiet);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(console::Log)
        .with_ansi(global.color.is_on(&io::stderr()))
        // All text is escaped by `Lines`.
        .with_ansi_sanitization(false)
        .event_format(Lines)
        .init();
}

/// What errors and fatal findings are marked with, as a terminal takes it.
pub const RED: &str = "\x1b[1;31m";
/// The same for warnings.
pub const YELLOW: &str = "\x1b[1;33m";
/// A word in a colour.
pub fn painted(word: &str, colour: &str) -> String {
    format!("{colour}{word}\x1b[0m")
}

impl Color {
    /// Whether what is written to `stream` has colours.
    pub fn is_on(self, stream: &impl IsTerminal) -> bool {
        self.decide(stream.is_terminal(), |name| std::env::var_os(name))
    }

    /// As <https://bixense.com/clicolors> has it.
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

/// A log line is its message; what is not plain progress says so first.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        // Crates that we use log too; their words are not ours.
        if !metadata.target().starts_with("ostree_kernel") {
            return Ok(());
        }
        let (label, colour) = match *metadata.level() {
            Level::ERROR => ("error: ", RED),
            Level::WARN => ("warning: ", YELLOW),
            Level::INFO => ("", ""),
            _ => ("  ", ""),
        };
        match writer.has_ansi_escapes() && !colour.is_empty() {
            true => writer.write_str(&painted(label, colour))?,
            false => writer.write_str(label)?,
        }
        let mut message = String::new();
        ctx.field_format()
            .format_fields(Writer::new(&mut message), event)?;
        writeln!(writer, "{}", console::plain(&message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        definition().debug_assert();
    }

    #[test]
    fn colours_are_a_matter_of_terminal_environment_and_user() {
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

    #[test]
    fn help_fits_80_columns_and_every_option_has_a_sentence() {
        let mut definition = definition().term_width(80);
        definition.build();
        for command in definition.get_subcommands_mut() {
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {arg}", command.get_name());
            }
            let help = command
                .clone()
                .term_width(80)
                .render_long_help()
                .to_string();
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        }
    }
}
