// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts programs, and is the only place that does.
//!
//! Programs are argument vectors, never a shell. They run inside the root with `/` as their working
//! directory, are found on the root's own `PATH`, read nothing (standard input is `/dev/null`), and
//! get an environment that is built here rather than inherited: no `DRACUT_*`, `KERNEL_INSTALL_*`,
//! `RPMOSTREE_*` or `LD_*` leaks in from whoever called us.

mod child;
mod cmd;
mod doorman;
mod find;
mod given;
mod lines;

pub use cmd::{Cmd, quote};
pub use doorman::{ENTER_ROOT, enter_root};
pub use given::given;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::child::{End, Printed, drive};
use self::find::InRoot;
use self::lines::Tail;
use super::root::Root;
use super::{console, stop};

/// Where programs are looked for inside the root: the directories of the operating system only.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A query that prints more than this is an error (bytes); `rpm -qa` with all capabilities of a
/// large image is about 8 MiB.
const CAPTURE_MAX: usize = 128 * 1024 * 1024;

/// How long a program may run unless [`Exec::limit_to`] says otherwise.
const LIMIT: Duration = Duration::from_secs(3600);

/// How a program failed.
#[derive(Debug, thiserror::Error)]
#[error("{program} {how}{}{}", self.tail(), self.advice())]
pub struct Failed {
    /// The program's name.
    pub program: String,
    /// "exited with status 1", "was killed by signal 9 (SIGKILL)".
    pub how: String,
    /// The last lines that it printed.
    pub tail: Vec<String>,
    /// Where all that it printed is; else nowhere.
    pub log: Option<String>,
    /// What is left, and what the user may do.
    pub advice: Option<String>,
}

impl Failed {
    fn advice(&self) -> String {
        let advice = self.advice.iter();
        advice.fold(String::new(), |text, line| text + "\n" + line)
    }

    fn tail(&self) -> String {
        if self.tail.is_empty() {
            return " and printed nothing".to_owned();
        }
        let all = match &self.log {
            Some(log) => format!("; all that it printed is in {log}, and -v shows it. The end:"),
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
        Ok(failed) => Failed {
            advice: Some(advice.into()),
            ..failed
        }
        .into(),
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

/// Runs programs inside one root and remembers what it ran.
pub struct Exec {
    root: Root,
    ran: RefCell<Vec<String>>,
    waited: Cell<Duration>,
    limit: Cell<Duration>,
    log: RefCell<Option<(String, File)>>,
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

    /// What programs print is written to `file` from now on, which the user knows as `name`.
    pub fn log_to(&self, name: String, file: File) {
        self.log.replace(Some((name, file)));
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

    /// Where `program` is inside the root, or `None`. Only the root's own `PATH` directories are
    /// looked at, through the door of the tree; the caller's `PATH` plays no part.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        which::WhichConfig::new_with_sys(InRoot(self.root.clone()))
            .binary_name(program.into())
            .custom_path_list(PATH.into())
            .first_result()
            .ok()
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
        let output = self.doorman()?.arg("--probe").output()?;
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
        let log = self.log.borrow().as_ref().map(|(name, _)| name.clone());
        self.judge(cmd, end, tail, log)?
            .map_or(Ok(()), |failed| Err(failed.into()))
    }

    /// Writes a line to the log of this run.
    fn note(&self, line: &str) {
        if let Some((name, file)) = &mut *self.log.borrow_mut()
            && let Err(error) = writeln!(file, "{line}")
        {
            tracing::debug!("writing {name}: {error}");
        }
    }

    /// Runs a program that only answers a question, and returns what it printed on stdout.
    ///
    /// # Errors
    /// As [`run`](Self::run); also when it prints more than 128 MiB.
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
    /// When it cannot be started, does not end in time, or prints more than 128 MiB.
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
            Printed::Bytes(_) if answer.len() > CAPTURE_MAX => {}
            Printed::Bytes(some) => answer.extend(some),
        })?;
        if answer.len() > CAPTURE_MAX {
            anyhow::bail!("{} printed more than {CAPTURE_MAX} bytes", cmd.name());
        }
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
        let how = match end {
            End::Exited(status) if status.success() => return Ok(None),
            End::Exited(status) => how_it_ended(status),
            End::TooLong => format!(
                "did not end within {} s, and was stopped; --timeout SECONDS gives it more",
                self.limit.get().as_secs()
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
            advice: None,
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
        let mut command = self.doorman()?;
        command
            .arg(program)
            .args(&cmd.args)
            .envs(cmd.env.iter().cloned());
        Ok(command)
    }

    /// Our own binary, which enters the root and then becomes the program. What it does between fork
    /// and exec would need unsafe code in this process; a process of its own needs none. It is found
    /// by the kernel's link to it: its file may have been replaced since we started.
    fn doorman(&self) -> Result<Command> {
        let root = fs_err::canonicalize(self.root.path())?;
        let mut command = clean_command(Path::new("/proc/self/exe"));
        let parent = std::process::id().to_string();
        command.arg(ENTER_ROOT).arg(parent).arg(root);
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
        .envs(given::environment())
        .stdin(Stdio::null())
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
