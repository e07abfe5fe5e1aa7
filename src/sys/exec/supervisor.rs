// SPDX-License-Identifier: MIT OR Apache-2.0
//! The supervisor: a process of our own executable that starts one program, and kills the processes that remain when
//! the program has ended.
//!
//! For a root other than `/` there are two supervisors. The first creates the namespaces. The second is process 1 of
//! the new PID namespace; when it ends, the kernel kills all processes of the namespace. For `/` there is one
//! supervisor, which is a subreaper (prctl(2)): orphaned processes become its children, and it kills them.
//!
//! Standard input is the leash, a socket to the parent process. The supervisor sends the program's wait status through
//! it. If the other end closes, the parent has exited or stops the program; then all processes are killed. Namespaces,
//! umask and `no_new_privs` are not set between fork and exec, because code there would be unsafe in a parent with
//! threads.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::cmd::{Cmd, UMASK};
use super::{namespace, program_command};

/// The first argument that makes this executable a supervisor.
pub(super) const SUPERVISE: &str = "__supervise";

/// The first argument of process 1 in a new PID namespace.
const INIT: &str = "__init";

/// The argument PRIVILEGES of a [`Cmd::privileged`] command.
const PRIVILEGED: &str = "privileged";

/// Passed instead of a program, to check that one could be started.
pub(super) const PROBE: &str = "--probe";

/// Time for which the supervisor for `/` kills remaining processes repeatedly. It is bounded, since a process in an
/// uninterruptible system call does not die.
const SWEEP: Duration = Duration::from_secs(5);

/// Pause between two rounds of kills in [`sweep`].
const SWEEP_TICK: Duration = Duration::from_millis(2);

/// The arguments after [`SUPERVISE`] or [`INIT`]: ROOT UMASK PRIVILEGES PROGRAM [ARGUMENT…].
struct Order<'a> {
    root: &'a Path,
    umask: Mode,
    is_privileged: bool,
    program: &'a OsStr,
    args: &'a [OsString],
}

/// Returns the arguments of a supervisor before the program.
pub(super) fn arguments(root: &Path, cmd: &Cmd) -> [OsString; 4] {
    let privileges = if cmd.is_privileged {
        PRIVILEGED
    } else {
        "plain"
    };
    [
        SUPERVISE.into(),
        root.into(),
        format!("{UMASK:o}").into(),
        privileges.into(),
    ]
}

/// Runs a supervisor if `args`, the command line of this process, requests one; `None` if it does not.
///
/// # Errors
/// When a step fails; the error names the step.
pub fn run(args: &[OsString]) -> Option<Result<()>> {
    let [_, stage, order @ ..] = args else {
        return None;
    };
    let stage: fn(&Order, &[OsString]) -> Result<()> = match stage.to_str() {
        Some(SUPERVISE) => supervise,
        Some(INIT) => init,
        _ => return None,
    };
    Some(Order::read(order).and_then(|parsed| stage(&parsed, order)))
}

impl<'a> Order<'a> {
    fn read(args: &'a [OsString]) -> Result<Self> {
        let [root, mask, privileges, program, args @ ..] = args else {
            bail!("{SUPERVISE} and {INIT} are for ostree-kernel itself");
        };
        let mask = mask.to_str().map(|mask| u32::from_str_radix(mask, 8));
        let Some(Ok(mask)) = mask else {
            bail!("{SUPERVISE}: the umask is not an octal number");
        };
        Ok(Self {
            root: Path::new(root),
            umask: Mode::from_bits_truncate(mask),
            is_privileged: privileges == PRIVILEGED,
            program,
            args,
        })
    }

    fn shown(&self) -> std::path::Display<'_> {
        Path::new(self.program).display()
    }
}

fn supervise(order: &Order, args: &[OsString]) -> Result<()> {
    close_inherited()?;
    require_parent(order)?;
    umask(order.umask);
    // These signals reach the whole process group. The supervisor ignores them and waits for the program to end.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signal_hook::flag::register(signal as i32, Arc::new(AtomicBool::new(false)))
            .context("ignoring signals")?;
    }
    if order.root != Path::new("/") {
        namespace::unshare()?;
        let mut first = program_command(Path::new("/proc/self/exe"));
        let first = first.arg(INIT).args(args);
        let mut first = first.spawn().context("starting process 1 of a namespace")?;
        // Process 1 has printed its own error.
        let ended = first.wait().context("waiting for process 1")?;
        std::process::exit(ended.code().unwrap_or(126));
    }
    if order.program == PROBE {
        return Ok(());
    }
    nix::sys::prctl::set_child_subreaper(true).context("becoming a subreaper")?;
    let ended = watch(order);
    sweep();
    report(ended?)
}

fn init(order: &Order, _: &[OsString]) -> Result<()> {
    require_parent(order)?;
    namespace::enter(order.root)?;
    if order.program == PROBE {
        return Ok(());
    }
    // When this process exits, the kernel kills the remaining processes of the namespace.
    report(watch(order)?)
}

/// Fails if the parent process has exited.
fn require_parent(order: &Order) -> Result<()> {
    let stdin = io::stdin();
    let mut leash = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    poll(&mut leash, PollTimeout::ZERO).context("checking for the parent process")?;
    if is_gone(&leash[0]) {
        bail!(
            "not starting {}: the parent process has exited",
            order.shown()
        );
    }
    Ok(())
}

fn is_gone(leash: &PollFd) -> bool {
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    leash
        .revents()
        .is_some_and(|events| events.intersects(gone))
}

/// Starts the program and waits for its end. Returns its status; `None` if the leash was closed first.
fn watch(order: &Order) -> Result<Option<WaitStatus>> {
    let (mut wakes, wake) = UnixStream::pair().context("making a socket")?;
    wakes.set_nonblocking(true).context("making a socket")?;
    signal_hook::low_level::pipe::register(Signal::SIGCHLD as i32, wake)
        .context("listening for the end of programs")?;
    if !order.is_privileged {
        nix::sys::prctl::set_no_new_privs().context("setting no_new_privs")?;
    }
    // `spawn` restores the default action of SIGPIPE, which Rust's runtime changes.
    let program = program_command(Path::new(order.program))
        .args(order.args)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", order.shown()))?;
    let program = Pid::from_raw(program.id() as i32);
    let stdin = io::stdin();
    loop {
        if let Some(ended) = reap(Some(program))? {
            return Ok(Some(ended));
        }
        let mut fds = [
            PollFd::new(wakes.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waiting for a program"),
        }
        if is_gone(&fds[1]) {
            return Ok(None);
        }
        // The bytes have no meaning; they only wake up the poll.
        while wakes.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    }
}

/// Reaps ended children, including orphans. Returns the status of `program` if it is one of them.
fn reap(program: Option<Pid>) -> Result<Option<WaitStatus>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(None),
            Ok(ended) if ended.pid() == program => return Ok(Some(ended)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("waiting for a program"),
        }
    }
}

/// Kills the remaining processes repeatedly: the children of a killed process become children of this process.
fn sweep() {
    let start = Instant::now();
    while start.elapsed() < SWEEP {
        let _ = reap(None);
        let left = children();
        if left.is_empty() {
            return;
        }
        for child in left {
            let _ = kill(child, Signal::SIGKILL);
        }
        thread::sleep(SWEEP_TICK);
    }
}

/// Returns the children of this process; empty if `/proc` is unreadable.
fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let is_mine = |pid: &i32| {
        // The process name can contain parentheses and spaces, so the fields are counted after the last parenthesis.
        let stat = fs_err::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat);
        let after = stat.rsplit_once(')').map(|(_, after)| after);
        after.and_then(|after| after.split_whitespace().nth(1)) == Some(&me)
    };
    numbers("/proc")
        .into_iter()
        .filter(is_mine)
        .map(Pid::from_raw)
        .collect()
}

/// Returns the numeric names in a directory of `/proc`.
fn numbers(dir: &str) -> Vec<i32> {
    let names = fs_err::read_dir(dir).into_iter().flatten().flatten();
    names
        .filter_map(|name| name.file_name().to_str()?.parse().ok())
        .collect()
}

/// Closes every descriptor except the three standard ones, so that programs do not inherit the caller's files.
fn close_inherited() -> Result<()> {
    for fd in numbers("/proc/self/fd").into_iter().filter(|fd| *fd > 2) {
        match nix::unistd::close(fd) {
            // The list contains the descriptor of `/proc/self/fd` itself, which is already closed.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno).context("closing inherited files"),
        }
    }
    Ok(())
}

/// Sends a wait status through the leash, encoded as in wait(2).
fn report(ended: Option<WaitStatus>) -> Result<()> {
    let raw: i32 = match ended {
        Some(WaitStatus::Exited(_, code)) => code << 8,
        Some(WaitStatus::Signaled(_, signal, _)) => signal as i32,
        _ => return Ok(()),
    };
    const REPORTING: &str = "reporting an exit status";
    let leash = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context(REPORTING)?;
    let sent = UnixStream::from(leash).write_all(&raw.to_ne_bytes());
    sent.context(REPORTING)
}

/// Creates a leash: attaches one end to a supervisor and returns the other.
pub(super) fn leash(supervisor: &mut Command) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    supervisor.stdin(OwnedFd::from(theirs));
    Ok(ours)
}

/// Returns the wait status that an ended supervisor sent. `None` if it sent none: the program did not start, or the
/// supervisor killed it or was killed itself.
pub(super) fn reported(mut leash: UnixStream) -> Option<i32> {
    leash.set_nonblocking(true).ok()?;
    let mut raw = [0; 4];
    leash.read_exact(&mut raw).ok()?;
    Some(i32::from_ne_bytes(raw))
}
