// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts programs, and is the only place that does.
//!
//! Programs are argument vectors, never a shell. They run inside the root with `/` as their working
//! directory, are found on the root's own `PATH`, read nothing (standard input is `/dev/null`), and
//! get an environment that is built here rather than inherited: no `DRACUT_*`, `KERNEL_INSTALL_*`,
//! `RPMOSTREE_*` or `LD_*` leaks in from our caller, no open file and no umask either.
//!
//! Each has a [`supervisor`], which outlives it by the moment that it takes to kill what the program left. Time and output
//! are bounded while it runs.

mod child;
mod cmd;
mod environment;
mod lines;
mod namespace;
mod supervisor;

pub use cmd::{Cmd, quote};
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

/// Where programs are looked for inside the root: the directories of the operating system only.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a program may run unless [`Exec::limit_to`] says otherwise.
const LIMIT: Duration = Duration::from_secs(3600);

/// How a program failed.
#[derive(Debug, thiserror::Error)]
#[error("{program} {how}{}{}", self.output(), self.advice())]
pub struct Failed {
    /// The program's name.
    pub program: String,
    /// "exited with status 1", "was killed by signal 9 (SIGKILL)".
    pub how: String,
    /// The last lines that it printed.
    pub tail: Vec<String>,
    /// Where all of its output is, for a program of [`Exec::run`].
    pub log: Option<String>,
    /// What is left, and what the user may do.
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

/// Lines of a program in a message.
pub fn quoted(lines: &[String]) -> String {
    let lines = lines.iter();
    lines.fold(String::new(), |text, line| text + "\n    | " + line)
}

/// Adds to the error of a failed program what the user may do; another error stays what it is.
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

/// A program that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{program} is not in {} (looked in {PATH})", .root.display())]
pub struct NotFound {
    /// The program's name.
    pub program: String,
    root: PathBuf,
}

/// The file that the output of programs goes to.
struct Log {
    /// As users find it; none where it goes with the container of a failed build.
    name: Option<String>,
    file: File,
    /// How many bytes still go there.
    room: usize,
}

/// Runs programs inside one root and remembers what it ran.
pub struct Exec {
    root: Root,
    ran: RefCell<Vec<String>>,
    waited: Cell<Duration>,
    limit: Cell<Duration>,
    log: RefCell<Option<Log>>,
    last: RefCell<Vec<String>>,
}

impl Exec {
    /// Programs will run inside `root`.
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

    /// No program may run longer than this.
    pub fn limit_to(&self, limit: Duration) {
        self.limit.set(limit);
    }

    /// Writes the output of programs to `file` from now on, which is `path` below the root, up to a bound.
    pub fn log_to(&self, path: &str, file: File) {
        let name = self.root.host_path(path).display().to_string();
        self.log.replace(Some(Log {
            name: (!self.root.is_host()).then_some(name),
            file,
            room: OUTPUT_MAX,
        }));
    }

    /// The root that programs run in.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The command lines of [`run`](Self::run), in order, as a shell would take them.
    pub fn ran(&self) -> Vec<String> {
        self.ran.borrow().clone()
    }

    /// Takes a command line for one of those: of an earlier run that this one goes on with.
    pub fn has_run(&self, command: String) {
        self.ran.borrow_mut().push(command);
    }

    /// The last lines of what the last program of [`run`](Self::run) printed, for the message of
    /// one who finds that it did not do what it should have.
    pub fn last_lines(&self) -> String {
        match self.last.borrow().as_slice() {
            [] => String::new(),
            lines => format!(". The end of it:{}", quoted(lines)),
        }
    }

    /// How long programs have run, all together.
    pub fn waited(&self) -> Duration {
        self.waited.get()
    }

    /// Returns the place of `program` inside the root, in a directory of [`PATH`]. The caller's `PATH` plays no part.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            let meta = self.root.stat(path).ok().flatten();
            meta.is_some_and(|it| it.kind == root::Kind::File && it.mode & 0o111 != 0)
        };
        PATH.split(':')
            .map(|dir| Path::new(dir).join(program))
            .find(is_program)
    }

    /// Whether there is such a program: an absolute path is taken as it is.
    pub fn has(&self, program: &str) -> bool {
        program.starts_with('/') || self.find(program).is_some()
    }

    /// Whether children can be started inside the root at all. For `/` always; for another root
    /// this needs the privilege to change the root directory.
    ///
    /// # Errors
    /// Says which privilege is missing.
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

    /// Runs a program that changes something, and waits. Each line that it prints, on either
    /// stream, is handed to `line` as it comes. The command line is shown in the log before.
    ///
    /// # Errors
    /// [`Failed`] when it does not exit with 0, or not in time; [`NotFound`] when it is not there;
    /// [`stop::Stopped`] when we are to stop.
    ///
    /// # Streams
    /// stdin is null; stdout and stderr go to `line`.
    pub fn run(&self, cmd: &Cmd, line: &mut dyn FnMut(&str)) -> Result<()> {
        stop::check()?;
        let shown = cmd.to_string();
        tracing::info!("$ {shown}");
        console::doing(cmd.name());
        self.note(&format!("$ {shown}"));
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
                self.note(&text);
                line(&text);
            }
        })?;
        self.last.replace(tail.0.clone());
        self.judge(cmd, end, tail, Some(self.whereabouts()))?
            .map_or(Ok(()), |failed| Err(failed.into()))
    }

    /// Where all output is. The container of a failed build is gone, and its files with it.
    fn whereabouts(&self) -> String {
        let log = self.log.borrow();
        match log.as_ref().and_then(|log| log.name.as_ref()) {
            Some(name) => format!("all that it printed is in {name}, and -v shows it"),
            None => "-v shows all that it printed".to_owned(),
        }
    }

    /// Writes a line to the log of this run; nothing after the line for which there is no room.
    fn note(&self, line: &str) {
        let Some(Log { file, room, .. }) = &mut *self.log.borrow_mut() else {
            return;
        };
        let written = match room.checked_sub(line.len() + 1) {
            Some(rest) => {
                *room = rest;
                writeln!(file, "{line}")
            }
            None if *room > 0 => {
                *room = 0;
                writeln!(file, "(the rest is cut: the log has {OUTPUT_MAX} bytes)")
            }
            None => Ok(()),
        };
        if let Err(error) = written {
            tracing::debug!("writing the log of this run: {error}");
        }
    }

    /// Runs a program that only answers a question, and returns what it printed on stdout.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Streams
    /// stdin is null; stdout is returned; the end of stderr enters the error.
    pub fn ask(&self, cmd: &Cmd) -> Result<Vec<u8>> {
        let (answer, failed) = self.ask_whatever(cmd)?;
        match failed {
            None => Ok(answer),
            Some(failed) => Err(failed.into()),
        }
    }

    /// As [`ask`](Self::ask), for a program whose exit status is a part of its answer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn ask_whatever(&self, cmd: &Cmd) -> Result<(Vec<u8>, Option<Failed>)> {
        tracing::trace!("$ {cmd}");
        let (stdout, answers) = io::pipe().context("making a pipe")?;
        let (stderr, errors) = io::pipe().context("making a pipe")?;
        let mut command = self.command(cmd)?;
        command.stdout(answers).stderr(errors);
        let mut answer = Vec::new();
        let mut tail = Tail::default();
        let pipes: Vec<(_, child::Reading)> = vec![(stdout, child::bytes), (stderr, child::lines)];
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
        pipes: Vec<(io::PipeReader, child::Reading)>,
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
        const ENDED: &str = "and was ended with every process that it had started";
        let (how, advice) = match end {
            End::Exited(status) if status.success() => return Ok(None),
            End::Exited(status) => (how_it_ended(status), None),
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
                    "Find out why it prints so much: a loop, or a configuration that asks for debugging",
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

    /// The supervisor of a program, which the caller names. It is our own binary, found by the kernel's link to it: its
    /// file may have been replaced since we started.
    fn supervisor(&self, cmd: &Cmd) -> Result<Command> {
        let root = fs_err::canonicalize(self.root.path())?;
        let mut command = clean_command(Path::new("/proc/self/exe"));
        command.args(supervisor::arguments(&root, cmd));
        Ok(command)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that starts programs"
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

/// A status that is not success, in words.
fn how_it_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => format!("was killed by signal {signal} ({name})"),
            Err(_) => format!("was killed by signal {signal}"),
        },
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
