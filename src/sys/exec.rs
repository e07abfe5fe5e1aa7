// SPDX-License-Identifier: MIT OR Apache-2.0
//! Starts programs, and is the only place that does.
//!
//! Programs are argument vectors, never a shell. They run inside the root with `/` as their working
//! directory, are found on the root's own `PATH`, read nothing (standard input is `/dev/null`), and
//! get an environment that is built here rather than inherited: no `DRACUT_*`, `KERNEL_INSTALL_*`,
//! `RPMOSTREE_*` or `LD_*` leaks in from whoever called us.

use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::root::{self, Root};

/// Where programs are looked for inside the root: the directories of the operating system only.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables of the caller that reach a child: proxies, the container marker that rpm-ostree looks
/// at, and the reproducible-build clock. Everything else is dropped.
const PASSED: [&str; 11] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "container",
    "SOURCE_DATE_EPOCH",
];

/// A line of a child's output longer than this is cut (bytes).
const LINE_MAX: u64 = 64 * 1024;

/// A query that prints more than this is an error (bytes); `rpm -qa` with all capabilities of a
/// large image is about 8 MiB.
const CAPTURE_MAX: u64 = 128 * 1024 * 1024;

/// How many of the last lines of a failed program are kept for the error.
const TAIL_LINES: usize = 12;

/// The first argument that makes our own binary the doorman of [`enter_root`].
pub const ENTER_ROOT: &str = "__enter-root";

/// A command line: a program's name, its arguments and the variables that it gets on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    program: String,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
}

impl Cmd {
    /// A command that runs `program`: a name that is looked for on the root's `PATH`, or an
    /// absolute path inside the root.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable in the child's environment.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    /// The program's name without its directory.
    pub fn name(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or(&self.program)
    }
}

impl fmt::Display for Cmd {
    /// The line that a shell would take: copy, paste, reproduce.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quote(value))?;
        }
        write!(f, "{}", quote(OsStr::new(&self.program)))?;
        for arg in &self.args {
            write!(f, " {}", quote(arg))?;
        }
        Ok(())
    }
}

/// Quotes one word as a POSIX shell would take it; bytes that do not print become `$'\ooo'`.
pub fn quote(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./=:,+@%^".contains(b);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let mut quoted = String::from("$'");
            for &byte in bytes {
                match byte {
                    b'\'' | b'\\' => quoted.extend(['\\', char::from(byte)]),
                    0x20..=0x7e => quoted.push(char::from(byte)),
                    _ => quoted.push_str(&format!("\\{byte:03o}")),
                }
            }
            quoted + "'"
        }
    }
}

/// How a program failed.
#[derive(Debug, thiserror::Error)]
#[error("{program} {how}{}", tail_text(.tail))]
pub struct Failed {
    /// The program's name.
    pub program: String,
    /// "exited with status 1", "was killed by signal 9 (SIGKILL)".
    pub how: String,
    /// The last lines that it printed.
    pub tail: Vec<String>,
}

fn tail_text(tail: &[String]) -> String {
    let lines = |start: &str| {
        tail.iter()
            .fold(start.to_owned(), |text, line| text + "\n    " + line)
    };
    match tail {
        [] => " and printed nothing".to_owned(),
        _ => lines("; -v shows all that it prints. Its last lines:"),
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
}

impl Exec {
    /// Programs will run inside `root`.
    pub fn new(root: &Root) -> Self {
        Self {
            root: root.clone(),
            ran: RefCell::default(),
            waited: Cell::default(),
        }
    }

    /// The root that programs run in.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The command lines of [`run`](Self::run), in order, as a shell would take them.
    pub fn ran(&self) -> Vec<String> {
        self.ran.borrow().clone()
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
    /// [`Failed`] when it does not exit with 0; [`NotFound`] when it is not there.
    ///
    /// # Streams
    /// stdin is null; stdout and stderr go to `line`.
    pub fn run(&self, cmd: &Cmd, line: &mut dyn FnMut(&str)) -> Result<()> {
        let shown = cmd.to_string();
        tracing::info!("$ {shown}");
        let (reader, writer) = io::pipe().context("making a pipe")?;
        let mut command = self.command(cmd)?;
        let start = Instant::now();
        command
            .stdout(writer.try_clone().context("making a pipe")?)
            .stderr(writer);
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {}", cmd.name()))?;
        self.ran.borrow_mut().push(shown);
        // The command holds the write ends; the reader sees the end only once they are closed.
        drop(command);
        let mut tail = Tail::default();
        let read = each_line(BufReader::new(reader), &mut |text| {
            tail.push(text);
            tracing::debug!("{}: {text}", cmd.name());
            line(text);
        });
        let status = child
            .wait()
            .with_context(|| format!("waiting for {}", cmd.name()))?;
        read.with_context(|| format!("reading the output of {}", cmd.name()))?;
        self.waited.set(self.waited.get() + start.elapsed());
        match judge(cmd, status, tail) {
            None => Ok(()),
            Some(failed) => Err(failed.into()),
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
    /// When it cannot be started, or prints more than 128 MiB.
    pub fn ask_whatever(&self, cmd: &Cmd) -> Result<(Vec<u8>, Option<Failed>)> {
        tracing::trace!("$ {cmd}");
        let mut command = self.command(cmd)?;
        let start = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", cmd.name()))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut answer = Vec::new();
        let mut tail = Tail::default();
        std::thread::scope(|scope| -> io::Result<()> {
            let errors = scope.spawn(|| match stderr {
                Some(stderr) => each_line(BufReader::new(stderr), &mut |text| tail.push(text)),
                None => Ok(()),
            });
            if let Some(stdout) = stdout {
                stdout.take(CAPTURE_MAX + 1).read_to_end(&mut answer)?;
            }
            errors.join().unwrap_or(Ok(()))
        })
        .with_context(|| format!("reading the output of {}", cmd.name()))?;
        let status = child
            .wait()
            .with_context(|| format!("waiting for {}", cmd.name()))?;
        self.waited.set(self.waited.get() + start.elapsed());
        if answer.len() as u64 > CAPTURE_MAX {
            anyhow::bail!("{} printed more than {CAPTURE_MAX} bytes", cmd.name());
        }
        Ok((answer, judge(cmd, status, tail)))
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
        let mut command = if self.root.is_host() {
            clean_command(&program)
        } else {
            let mut doorman = self.doorman()?;
            doorman.arg(&program);
            doorman
        };
        command.args(&cmd.args).envs(cmd.env.iter().cloned());
        Ok(command)
    }

    /// Our own binary, which enters the root and then becomes the program. `chroot` before `exec`
    /// would need unsafe code in this process; a process of its own needs none. It is found by the
    /// kernel's link to it: its file may have been replaced since we started.
    fn doorman(&self) -> Result<Command> {
        let root = fs_err::canonicalize(self.root.path())?;
        let mut command = clean_command(Path::new("/proc/self/exe"));
        command.arg(ENTER_ROOT).arg(root);
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
        .env("PATH", PATH)
        .env("HOME", "/")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .current_dir("/");
    for name in PASSED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn judge(cmd: &Cmd, status: ExitStatus, tail: Tail) -> Option<Failed> {
    if status.success() {
        return None;
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => match nix::sys::signal::Signal::try_from(signal) {
            Ok(name) => format!("was killed by signal {signal} ({name})"),
            Err(_) => format!("was killed by signal {signal}"),
        },
        (None, None) => "ended in an unknown way".to_owned(),
    };
    Some(Failed {
        program: cmd.name().to_owned(),
        how,
        tail: tail.0,
    })
}

#[derive(Default)]
struct Tail(Vec<String>);

impl Tail {
    fn push(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.0.len() == TAIL_LINES {
            self.0.remove(0);
        }
        self.0.push(line.to_owned());
    }
}

/// Hands each line to `line`, without its end and control characters, cut at [`LINE_MAX`].
fn each_line(mut input: impl BufRead, line: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut some = input.by_ref().take(LINE_MAX);
        if some.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let text: String = String::from_utf8_lossy(&bytes)
            .chars()
            .map(|c| if c == '\t' { ' ' } else { c })
            .filter(|c| !c.is_control())
            .collect();
        line(&text);
    }
}

/// Becomes `program` inside `root`: a mount namespace of its own in which `/proc`, `/sys` and
/// `/dev` are those of the host, then chroot and exec. It returns only when that failed. With
/// `--probe` as the program it does all but the exec.
///
/// # Errors
/// Names the step and the privilege that it needs.
pub fn enter_root(args: &[OsString]) -> Result<()> {
    use nix::mount::{MsFlags, mount};
    let [root, program, args @ ..] = args else {
        anyhow::bail!("{ENTER_ROOT} ROOT PROGRAM [ARGUMENT…] is for ostree-kernel itself");
    };
    let root = Path::new(root);
    let none: Option<&str> = None;
    let needs = "changing the root directory needs CAP_SYS_ADMIN and CAP_SYS_CHROOT";
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).context(needs)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context(needs)?;
    let door = Root::open(root)?;
    for dir in ["proc", "sys", "dev"] {
        let meta = door.lstat(dir)?;
        if meta.is_some_and(|meta| meta.kind == root::Kind::Dir) {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(
                Some(&Path::new("/").join(dir)),
                &root.join(dir),
                none,
                flags,
                none,
            )
            .with_context(|| format!("mounting /{dir} in {}", root.display()))?;
        }
    }
    nix::unistd::chroot(root).context(needs)?;
    nix::unistd::chdir("/").context("entering the root")?;
    if program == "--probe" {
        return Ok(());
    }
    // `exec` of the library gives SIGPIPE its default action back, which our own start took.
    Err(program_command(Path::new(program)).args(args).exec())
        .with_context(|| format!("starting {}", Path::new(program).display()))
}

/// What `which` sees: the tree behind the door, and none of the caller's environment.
struct InRoot(Root);

struct InRootMeta(root::Meta);

impl which::sys::SysMetadata for InRootMeta {
    fn is_symlink(&self) -> bool {
        self.0.kind == root::Kind::Symlink
    }
    fn is_file(&self) -> bool {
        self.0.kind == root::Kind::File
    }
}

impl InRoot {
    fn meta(found: Result<Option<root::Meta>, root::Error>) -> io::Result<InRootMeta> {
        match found {
            Ok(Some(meta)) => Ok(InRootMeta(meta)),
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

impl which::sys::Sys for InRoot {
    type ReadDirEntry = std::fs::DirEntry;
    type Metadata = InRootMeta;

    fn is_windows(&self) -> bool {
        false
    }
    fn current_dir(&self) -> io::Result<PathBuf> {
        Ok("/".into())
    }
    fn home_dir(&self) -> Option<PathBuf> {
        None
    }
    fn env_split_paths(&self, paths: &OsStr) -> Vec<PathBuf> {
        std::env::split_paths(paths).collect()
    }
    fn env_path(&self) -> Option<OsString> {
        Some(PATH.into())
    }
    fn env_path_ext(&self) -> Option<OsString> {
        None
    }
    fn metadata(&self, path: &Path) -> io::Result<InRootMeta> {
        Self::meta(self.0.stat(path))
    }
    fn symlink_metadata(&self, path: &Path) -> io::Result<InRootMeta> {
        Self::meta(self.0.lstat(path))
    }
    fn read_dir(
        &self,
        _path: &Path,
    ) -> io::Result<Box<dyn Iterator<Item = io::Result<Self::ReadDirEntry>>>> {
        Ok(Box::new(std::iter::empty()))
    }
    fn is_valid_executable(&self, path: &Path) -> io::Result<bool> {
        Ok(matches!(self.0.stat(path), Ok(Some(meta)) if meta.mode & 0o111 != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let cmd = Cmd::new("dracut")
            .env("DRACUT_NO_XATTR", "1")
            .args(["--kver", "6.9+rt", "a b", "it's", "", "-x\ny"]);
        assert_eq!(
            cmd.to_string(),
            r"DRACUT_NO_XATTR=1 dracut --kver 6.9+rt 'a b' 'it'\''s' '' $'-x\012y'"
        );
    }

    #[test]
    fn lines_are_cut_and_lose_their_control_characters() {
        let mut lines = Vec::new();
        let long = [b'x'; LINE_MAX as usize + 1];
        let input = [b"\x1b[31mred\tfox\r\n".as_slice(), &long].concat();
        each_line(&input[..], &mut |line| lines.push(line.len())).unwrap();
        assert_eq!(lines, ["[31mred fox".len(), LINE_MAX as usize, 1]);
    }
}
