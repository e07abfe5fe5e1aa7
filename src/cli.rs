// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line, the log, and the exit status.
//!
//! The result is written to standard output and the log to standard error. Standard input is never read.

mod help;
mod usage;

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cmd::page::{self, Global, OutputFormat, print};
use crate::cmd::{self, result::ReportNotWritten};
use crate::plan::{AS_ROOT, Refusal};
use crate::report::Outcome;
use crate::report::documents::{Failure, FailureOutcome};
use crate::sys::{console, exec, root};
use crate::text::{RED, YELLOW, painted, plain};

/// Exit statuses. Containerfiles branch on them.
pub mod status {
    /// Success.
    pub const DONE: u8 = 0;
    /// A step failed, a fatal check could not run (with `--fatal-warnings`, any check), no check ran, or a file cannot
    /// be read or written.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Refused; nothing changed outside the cache directory, `/run` and the requested report.
    pub const REFUSED: u8 = 3;
    /// A fatal finding, or a warning with `--fatal-warnings`; nothing was committed. Also the status of `gate
    /// --on-error refuse` for a deployment that could not be verified.
    pub const REJECTED: u8 = 4;
}

/// Replaces the kernel of an ostree-based OS container image, and commits only
/// an image that passes all checks.
#[derive(Debug, Parser)]
#[command(name = "ostree-kernel", version, max_term_width = 80, after_long_help = help::OVERVIEW)]
#[command(disable_help_subcommand = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replace the kernel with RPMs, and build and verify its initramfs
    ///
    /// Runs one transaction of rpm-ostree or dnf without cliwrap, then depmod and dracut once. Verifies the initramfs,
    /// cleans caches and commits the container. If a step fails, the error says what to do.
    #[command(after_long_help = help::REPLACE)]
    Replace(cmd::replace::Args),
    /// Rebuild the initramfs of the installed kernel, and verify it
    ///
    /// Needed after a change of dracut.conf, multipath.conf, a boot theme or a module. Runs depmod and dracut, and
    /// verifies and commits the result as replace does.
    #[command(after_long_help = help::REBUILD)]
    Rebuild(cmd::rebuild::Args),
    /// Check whether a tree, an image or an initramfs would boot
    ///
    /// Checks the kernel, its initramfs and the tree around them. Prints each problem with its place, the expected
    /// state and the remedy. Changes nothing.
    #[command(after_long_help = help::VERIFY)]
    Verify(cmd::verify::Args),
    /// Show the tree's kernels, backend, cliwrap state and leftovers
    ///
    /// Also prints the value of the label ostree.linux. Changes nothing.
    #[command(after_long_help = help::STATUS)]
    Status(cmd::status::Args),
    /// Show the content of an initramfs, or the differences between two
    #[command(after_long_help = help::INSPECT)]
    Inspect(cmd::inspect::Args),
    /// Refuse a staged deployment that this machine would not boot
    ///
    /// Verifies the staged deployment as verify --staged does. After a fatal finding, locks its finalisation, so that
    /// the machine reboots into the running deployment, and records the reason.
    #[command(after_long_help = help::GATE)]
    Gate(cmd::gate::Args),
    /// Print the help of a command
    Help {
        /// The command [default: the program]
        command: Option<String>,
    },
    /// Print the version
    Version,
}

/// Runs the command line `args`, whose first element is the name of the program, and returns the exit status. Runs a
/// supervisor of [`exec`] instead if `args` request one.
pub fn main(mut args: Vec<OsString>) -> ExitCode {
    if let Some(supervised) = exec::supervise(&args) {
        return match supervised {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {}", plain(&format!("{error:#}")));
                ExitCode::from(126)
            }
        };
    }
    // `ostree kernel …` passes the name of the verb as the first argument.
    if args.get(1).is_some_and(|arg| arg == "kernel") {
        args.remove(1);
    }
    let cli = match parse(args) {
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
        Err(error) => fail(&cli, &error),
    }
}

/// Parses a command line. The texts of help and version are returned as errors, which clap prints to standard output.
fn parse(args: Vec<OsString>) -> Result<Cli, clap::Error> {
    let program = args.first().cloned().unwrap_or_default();
    let matches = definition().try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let asked: Vec<OsString> = match &cli.command {
        Command::Help { command: None } => vec!["--help".into()],
        Command::Help {
            command: Some(command),
        } => vec![command.into(), "--help".into()],
        Command::Version => vec!["--version".into()],
        _ => {
            usage::check(&cli, &matches)?;
            return Ok(cli);
        }
    };
    let asked = std::iter::once(program).chain(asked);
    Err(match definition().try_get_matches_from(asked) {
        Err(answer) => answer,
        Ok(_) => definition().error(ErrorKind::InvalidSubcommand, "there is no such command"),
    })
}

/// Logs and reports the error, and returns the exit status.
fn fail(cli: &Cli, error: &anyhow::Error) -> ExitCode {
    let refusal = error.chain().find_map(|cause| cause.downcast_ref());
    let text = if refusal.is_none() && is_denied(error) {
        format!("{error:#}. {AS_ROOT}")
    } else {
        format!("{error:#}")
    };
    tracing::error!("{text}");
    // If the error is that the report could not be written, the result was printed already.
    if !error.chain().any(|cause| cause.is::<ReportNotWritten>())
        && let Err(error) = report_error(cli, &text, refusal)
    {
        tracing::error!("{error:#}");
    }
    ExitCode::from(match refusal {
        Some(_) => status::REFUSED,
        None => status::FAILED,
    })
}

/// Returns whether permission was denied to an ordinary user. For root the answer is always no, since the error then
/// must not advise to run the program as root.
fn is_denied(error: &anyhow::Error) -> bool {
    let is_denied = |cause: &(dyn Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|it| it.kind() == io::ErrorKind::PermissionDenied)
            || cause.downcast_ref().is_some_and(root::Error::is_denied)
    };
    !nix::unistd::geteuid().is_root() && error.chain().any(is_denied)
}

/// Prints (with `--format json`) and writes (with `--report`) the report of a run that ended with an error: its outcome
/// and the error. If the refusal is that the report's file cannot be written, only prints.
fn report_error(cli: &Cli, error: &str, refusal: Option<&Refusal>) -> Result<()> {
    let mut failure = Failure::new(error.to_owned());
    if refusal.is_some() {
        failure.outcome = FailureOutcome::Refused;
    }
    let text = page::json(&failure)?;
    if cli.global.format == OutputFormat::Json {
        print(&text)?;
    }
    let cannot_write = matches!(refusal, Some(Refusal::Report { .. }));
    if let Some(file) = cli.report().filter(|_| !cannot_write) {
        fs_err::write(file, &text)?;
    }
    Ok(())
}

impl Cli {
    /// Returns the file of `--report`; `None` without the option.
    fn report(&self) -> Option<&Path> {
        let report = match &self.command {
            Command::Replace(args) => &args.ending.report,
            Command::Rebuild(args) => &args.ending.report,
            Command::Verify(args) => &args.report,
            _ => return None,
        };
        report.as_deref()
    }
}

fn run(cli: &Cli) -> Result<Outcome> {
    if let Some(file) = cli.report() {
        cmd::result::admit_report(file)?;
    }
    match &cli.command {
        Command::Replace(args) => cmd::replace::run(args, &cli.global),
        Command::Rebuild(args) => cmd::rebuild::run(args, &cli.global),
        Command::Verify(args) => cmd::verify::run(args, &cli.global),
        Command::Status(args) => cmd::status::run(args, &cli.global),
        Command::Inspect(args) => cmd::inspect::run(args, &cli.global),
        Command::Gate(args) => cmd::gate::run(args, &cli.global),
        // `parse` has already returned the text of these commands as an error.
        Command::Help { .. } | Command::Version => Ok(Outcome::Passed),
    }
}

/// Returns the definition of the command line, also for man pages and completions.
pub fn definition() -> clap::Command {
    Cli::command()
}

fn start_log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => Level::ERROR,
        (_, 0) => Level::INFO,
        (_, 1) => Level::DEBUG,
        _ => Level::TRACE,
    };
    console::open(global.quiet);
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(console::Log)
        .with_ansi(global.color.is_on(&io::stderr()))
        // `Lines` escapes all text.
        .with_ansi_sanitization(false)
        .event_format(Lines)
        .init();
}

/// The format of log lines: the message, with the level in front of warnings and errors, and two spaces in front of
/// debug and trace messages.
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
        // Dependencies log too; their events are dropped.
        if !metadata.target().starts_with("ostree_kernel") {
            return Ok(());
        }
        let (label, colour) = match *metadata.level() {
            Level::ERROR => ("error: ", RED),
            Level::WARN => ("warning: ", YELLOW),
            Level::INFO => ("", ""),
            _ => ("  ", ""),
        };
        if writer.has_ansi_escapes() && !colour.is_empty() {
            writer.write_str(&painted(label, colour))?
        } else {
            writer.write_str(label)?
        }
        let mut message = String::new();
        ctx.field_format()
            .format_fields(Writer::new(&mut message), event)?;
        writeln!(writer, "{}", plain(&message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claps_own_assertions_hold() {
        definition().debug_assert();
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
