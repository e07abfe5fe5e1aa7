// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts programs. No other module does.
//!
//! Command lines are argument vectors and are never passed to a shell. Programs run inside the root with `/` as the
//! working directory, are found in the root's system directories, and have `/dev/null` as standard input. They inherit
//! no open file and no umask. Of the caller's variables they get only those that `environment` lists, thus no
//! `DRACUT_*`, `KERNEL_INSTALL_*`, `RPMOSTREE_*` or `LD_*`.
//!
//! Each program has a [`supervisor`], which kills the processes that remain when the program has ended. Run time and
//! output are bounded. Credential helpers are different: they run on the host, with the caller's environment and
//! without a supervisor (see [`ask_helper`]).

mod child;
mod cmd;
mod environment;
mod helper;
mod lines;
mod namespace;
mod supervisor;

pub use cmd::{Cmd, quote};
pub use helper::{HelperOutput, ask as ask_helper};
pub use supervisor::run as supervise;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::child::{End, OUTPUT_MAX, Printed, drive};
use self::lines::Tail;
use super::root::{self, Root};
use super::{console, stop};

/// The `PATH` inside the root: only directories of the operating system.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The default timeout of a program; see [`Exec::limit_to`].
const LIMIT: Duration = Duration::from_secs(3600);

/// The error that a program failed.
#[derive(Debug, thiserror::Error)]
#[error("{program} {how}{}{}", self.output(), self.advice())]
pub struct Failed {
    /// The program's name.
    pub program: String,
    /// The failure, for example `exited with status 1` or `was killed by signal 9 (SIGKILL)`.
    pub how: String,
    /// The last non-empty lines of its output; for a program of [`Exec::query`], of its standard error.
    pub tail: Vec<String>,
    /// A clause that says where the whole output is, for a program of [`Exec::run`].
    pub log: Option<String>,
    /// The state after the failure, and the remedy.
    pub advice: Option<String>,
}

impl Failed {
    fn advice(&self) -> String {
        let advice = self.advice.iter();
        advice.fold(String::new(), |text, line| text + "\n" + line)
    }

    fn output(&self) -> String {
        if self.tail.is_empty() {
            return "; it printed nothing".to_owned();
        }
        let all = match &self.log {
            Some(log) => format!("; {log}. It ended with:"),
            None => ". It printed:".to_owned(),
        };
        all + &quoted(&self.tail)
    }
}

/// Formats the output lines of a program for a message, each on a line of its own.
pub fn quoted(lines: &[String]) -> String {
    let lines = lines.iter();
    lines.fold(String::new(), |text, line| text + "\n    | " + line)
}

/// Appends `advice` to the advice of a [`Failed`] error; other errors are returned unchanged.
pub fn advise(error: anyhow::Error, advice: impl Into<String>) -> anyhow::Error {
    match error.downcast::<Failed>() {
        Ok(failed) => {
            let first = failed.advice.map(|first| first + "\n");
            Failed {
                advice: Some(first.unwrap_or_default() + &advice.into()),
                ..failed
            }
            .into()
        }
        Err(error) => error,
    }
}

/// The error that a program is not in the system directories of the root.
#[derive(Debug, thiserror::Error)]
#[error("{program} is not in {} (looked in {PATH})", .root.display())]
pub struct NotFound {
    /// The program's name.
    pub program: String,
    root: PathBuf,
}

/// The log file of programs.
struct Log {
    /// The path on the host, for messages. `None` if the root is `/`, as in a container build, since a failed build
    /// loses the file.
    name: Option<String>,
    file: File,
    /// The number of bytes that may still be written.
    remaining: usize,
}

/// A runner of programs inside one root, which records their command lines.
pub struct Exec {
    root: Root,
    ran: RefCell<Vec<String>>,
    waited: Cell<Duration>,
    limit: Cell<Duration>,
    log: RefCell<Option<Log>>,
    /// The last output lines of the last program of [`run`](Self::run).
    last: RefCell<Vec<String>>,
}

impl Exec {
    /// Returns a runner for the programs in `root`.
    pub fn new(root: &Root) -> Self {
        Self {
            root: root.clone(),
            ran: RefCell::default(),
            waited: Cell::default(),
            limit: Cell::new(LIMIT),
            log: RefCell::default(),
            last: RefCell::default(),
        }
    }

    /// Sets the timeout of each program.
    pub fn limit_to(&self, limit: Duration) {
        self.limit.set(limit);
    }

    /// Logs the command lines and the output of [`run`](Self::run) to `file`, whose path below the root is `path`, up
    /// to a size limit.
    pub fn log_to(&self, path: &str, file: File) {
        let name = self.root.host_path(path).display().to_string();
        self.log.replace(Some(Log {
            name: (!self.root.is_host()).then_some(name),
            file,
            remaining: OUTPUT_MAX,
        }));
    }

    /// Returns the root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns the command lines of [`run`](Self::run) and [`record`](Self::record), in order, quoted for a shell.
    pub fn ran(&self) -> Vec<String> {
        self.ran.borrow().clone()
    }

    /// Adds a command line that [`run`](Self::run) did not start, for example one of an interrupted run of `replace`,
    /// which this run continues.
    pub fn record(&self, command: String) {
        self.ran.borrow_mut().push(command);
    }

    /// Returns a sentence with the last output lines of the last program of [`run`](Self::run), for the end of a
    /// message; empty if the program printed nothing.
    pub fn last_lines(&self) -> String {
        match self.last.borrow().as_slice() {
            [] => String::new(),
            lines => format!(". Its last lines:{}", quoted(lines)),
        }
    }

    /// Returns the total run time of all programs.
    pub fn waited(&self) -> Duration {
        self.waited.get()
    }

    /// Returns the path of `program` inside the root: the first executable file of that name in the directories of
    /// [`PATH`]. The caller's `PATH` is not used.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            let meta = self.root.stat(path).ok().flatten();
            meta.is_some_and(|it| it.kind == root::FileType::File && it.mode & 0o111 != 0)
        };
        PATH.split(':')
            .map(|dir| Path::new(dir).join(program))
            .find(is_program)
    }

    /// Returns whether a program exists. An absolute path is not checked, and counts as existing.
    pub fn has(&self, program: &str) -> bool {
        program.starts_with('/') || self.find(program).is_some()
    }

    /// Checks that programs can be started inside a root other than `/`, which needs the privilege to change the root
    /// directory. For `/`, nothing is checked.
    ///
    /// # Errors
    /// When the root cannot be entered; the error names the failed step, or the missing capabilities.
    pub fn probe(&self) -> Result<()> {
        if self.root.is_host() {
            return Ok(());
        }
        let mut command = self.supervisor(&Cmd::new(supervisor::PROBE))?;
        let _leash = supervisor::leash(&mut command)?;
        let output = command.arg(supervisor::PROBE).output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            anyhow::bail!("{}", why.trim().trim_start_matches("error: "));
        }
        Ok(())
    }

    /// Runs a program that changes the tree, and waits for it. Passes each line of its output, of both streams, to
    /// `line` immediately. Logs the command line first.
    ///
    /// # Errors
    /// [`Failed`] if it does not exit with status 0, exceeds the timeout or prints too much; [`NotFound`] if it does
    /// not exist; [`stop::Stopped`] after a signal.
    ///
    /// # Streams
    /// stdin is null; stdout and stderr go to `line`.
    pub fn run(&self, cmd: &Cmd, line: &mut dyn FnMut(&str)) -> Result<()> {
        stop::check()?;
        let shown = cmd.to_string();
        tracing::info!("$ {shown}");
        console::activity(cmd.name());
        self.log(&format!("$ {shown}"));
        let (reader, writer) = io::pipe().context("making a pipe")?;
        let mut command = self.command(cmd)?;
        command
            .stdout(writer.try_clone().context("making a pipe")?)
            .stderr(writer);
        self.ran.borrow_mut().push(shown);
        let mut tail = Tail::default();
        let end = self.drive(cmd, command, vec![(reader, child::lines)], &mut |printed| {
            if let Printed::Line(text) = printed {
                tail.push(&text);
                tracing::debug!("{}: {text}", cmd.name());
                self.log(&text);
                line(&text);
            }
        })?;
        self.last.replace(tail.0.clone());
        self.judge(cmd, end, tail, Some(self.log_hint()))?
            .map_or(Ok(()), |failed| Err(failed.into()))
    }

    /// Returns a clause that says where the whole output is. The clause has no path if a failed build deletes the log
    /// with its container.
    fn log_hint(&self) -> String {
        let log = self.log.borrow();
        match log.as_ref().and_then(|log| log.name.as_ref()) {
            Some(name) => format!("its whole output is in {name}; -v prints it"),
            None => "-v prints its whole output".to_owned(),
        }
    }

    /// Writes a line to the log file, if there is one, until the size limit is reached.
    fn log(&self, line: &str) {
        let Some(Log {
            file, remaining, ..
        }) = &mut *self.log.borrow_mut()
        else {
            return;
        };
        let written = match remaining.checked_sub(line.len() + 1) {
            Some(rest) => {
                *remaining = rest;
                writeln!(file, "{line}")
            }
            None if *remaining > 0 => {
                *remaining = 0;
                writeln!(
                    file,
                    "(truncated: the log is limited to {OUTPUT_MAX} bytes)"
                )
            }
            None => Ok(()),
        };
        if let Err(error) = written {
            tracing::debug!("writing the log of this run: {error}");
        }
    }

    /// Runs a program that changes nothing, and returns its standard output.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Streams
    /// stdin is null; stdout is returned; the last lines of stderr are part of the error.
    pub fn query(&self, cmd: &Cmd) -> Result<Vec<u8>> {
        let (answer, failed) = self.query_any_status(cmd)?;
        match failed {
            None => Ok(answer),
            Some(failed) => Err(failed.into()),
        }
    }

    /// Runs a program as [`query`](Self::query) does, but returns its standard output even if it fails, together with
    /// the failure.
    ///
    /// # Errors
    /// When the program does not exist or cannot be started; [`stop::Stopped`] after a signal.
    pub fn query_any_status(&self, cmd: &Cmd) -> Result<(Vec<u8>, Option<Failed>)> {
        tracing::trace!("$ {cmd}");
        let (stdout, answers) = io::pipe().context("making a pipe")?;
        let (stderr, errors) = io::pipe().context("making a pipe")?;
        let mut command = self.command(cmd)?;
        command.stdout(answers).stderr(errors);
        let mut answer = Vec::new();
        let mut tail = Tail::default();
        let pipes: Vec<(_, child::StreamReader)> =
            vec![(stdout, child::bytes), (stderr, child::lines)];
        let end = self.drive(cmd, command, pipes, &mut |printed| match printed {
            Printed::Line(text) => tail.push(&text),
            Printed::Bytes(some) => answer.extend(some),
        })?;
        let failed = self.judge(cmd, end, tail, None)?;
        Ok((answer, failed))
    }

    fn drive(
        &self,
        cmd: &Cmd,
        command: Command,
        pipes: Vec<(io::PipeReader, child::StreamReader)>,
        printed: &mut dyn FnMut(Printed),
    ) -> Result<End> {
        let start = Instant::now();
        let end = drive(command, pipes, self.limit.get(), printed);
        self.waited.set(self.waited.get() + start.elapsed());
        end.with_context(|| format!("running {}", cmd.name()))
    }

    fn judge(
        &self,
        cmd: &Cmd,
        end: End,
        tail: Tail,
        log: Option<String>,
    ) -> Result<Option<Failed>> {
        const ENDED: &str = "and was killed with all its processes";
        let (how, advice) = match end {
            End::Exited(status) if status.success() => return Ok(None),
            End::Exited(status) => (describe_status(status), None),
            End::TooLong => (
                format!(
                    "did not finish within {} s, {ENDED}",
                    self.limit.get().as_secs()
                ),
                Some("To allow more time, run again with --timeout SECONDS"),
            ),
            End::TooMuch => (
                format!("printed more than {} MiB, {ENDED}", OUTPUT_MAX >> 20),
                Some(
                    "Look for the cause: an endless loop, or a configuration that enables debugging",
                ),
            ),
            End::Stopped(stopped) => {
                return Err(stopped).with_context(|| format!("waiting for {}", cmd.name()));
            }
        };
        Ok(Some(Failed {
            program: cmd.name().to_owned(),
            how,
            tail: tail.0,
            log,
            advice: advice.map(str::to_owned),
        }))
    }

    fn command(&self, cmd: &Cmd) -> Result<Command> {
        let program = if cmd.program.starts_with('/') {
            PathBuf::from(&cmd.program)
        } else {
            self.find(&cmd.program).ok_or_else(|| NotFound {
                program: cmd.program.clone(),
                root: self.root.path().to_owned(),
            })?
        };
        let mut command = self.supervisor(cmd)?;
        command
            .arg(program)
            .args(&cmd.args)
            .envs(cmd.env.iter().cloned());
        Ok(command)
    }

    /// Returns the command line of the supervisor, to which the caller appends the program. The supervisor is this
    /// executable, started through `/proc/self/exe`, because the file on disk can have been replaced meanwhile.
    fn supervisor(&self, cmd: &Cmd) -> Result<Command> {
        let root = fs_err::canonicalize(self.root.path())?;
        let mut command = clean_command(Path::new("/proc/self/exe"));
        command.args(supervisor::arguments(&root, cmd));
        Ok(command)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only place that starts programs"
)]
fn program_command(program: &Path) -> Command {
    Command::new(program)
}

fn clean_command(program: &Path) -> Command {
    let mut command = program_command(program);
    command
        .env_clear()
        .envs(environment::environment())
        .current_dir("/");
    command
}

/// Describes an unsuccessful exit status.
fn describe_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => format!("was killed by signal {signal} ({name})"),
            Err(_) => format!("was killed by signal {signal}"),
        },
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
