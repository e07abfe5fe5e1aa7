// SPDX-License-Identifier: MIT OR Apache-2.0
//! The supervisor: our own binary, as the process that starts one program and ends everything that the program leaves.
//!
//! Below another root there are two of them. The first makes the namespaces; the second is process 1 of the new PID
//! namespace, and the kernel kills the namespace with it. In `/` there is one, and it is a subreaper (prctl(2)): orphans
//! become its children, and it kills them.
//!
//! Standard input is the leash, a socket to the process that wants the program. The supervisor sends the program's wait
//! status there. When the other end closes, that process is gone or gives the program up, and everything is killed. What
//! a child needs between fork and exec would be unsafe code in a process with threads; a process of its own needs none.

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

/// The first argument that makes our own binary a supervisor.
pub(super) const SUPERVISE: &str = "__supervise";

/// The first argument of process 1 in a new PID namespace.
const INIT: &str = "__init";

/// The argument that stands for [`Cmd::privileged`].
const PRIVILEGED: &str = "privileged";

/// In place of a program: whether one could be started.
pub(super) const PROBE: &str = "--probe";

/// How long orphans in `/` are killed; one that is stuck in the kernel does not go.
const SWEEP: Duration = Duration::from_secs(5);

/// The poll interval of that.
const SWEEP_TICK: Duration = Duration::from_millis(2);

/// What a supervisor is told on its command line: ROOT UMASK PRIVILEGES PROGRAM [ARGUMENT…].
struct Order<'a> {
    root: &'a Path,
    umask: Mode,
    is_privileged: bool,
    program: &'a OsStr,
    args: &'a [OsString],
}

/// The arguments of a supervisor, but for the program and its own.
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

/// Supervises, if the command line of this process says so.
///
/// # Errors
/// Names the step that failed; the program was not started then.
pub fn run(args: &[OsString]) -> Option<Result<()>> {
    let [_, stage, told @ ..] = args else {
        return None;
    };
    let stage: fn(&Order, &[OsString]) -> Result<()> = match stage.to_str() {
        Some(SUPERVISE) => supervise,
        Some(INIT) => init,
        _ => return None,
    };
    Some(Order::read(told).and_then(|order| stage(&order, told)))
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

fn supervise(order: &Order, told: &[OsString]) -> Result<()> {
    close_inherited()?;
    hold_on(order)?;
    umask(order.umask);
    // The program is asked to end, by a signal to its process group, and may take its time: we wait for it.
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signal_hook::flag::register(signal as i32, Arc::new(AtomicBool::new(false)))
            .context("keeping signals off")?;
    }
    if order.root != Path::new("/") {
        namespace::unshare()?;
        let mut first = program_command(Path::new("/proc/self/exe"));
        let first = first.arg(INIT).args(told);
        let mut first = first.spawn().context("starting process 1 of a namespace")?;
        // What it has to say it has printed.
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
    hold_on(order)?;
    namespace::enter(order.root)?;
    if order.program == PROBE {
        return Ok(());
    }
    // The kernel ends the rest with this process.
    report(watch(order)?)
}

/// Fails if the process that wants the program is gone.
fn hold_on(order: &Order) -> Result<()> {
    let stdin = io::stdin();
    let mut leash = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    poll(&mut leash, PollTimeout::ZERO).context("looking for the parent process")?;
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

/// Starts the program and waits for it. `None`: it was given up before its end.
fn watch(order: &Order) -> Result<Option<WaitStatus>> {
    let (mut wakes, wake) = UnixStream::pair().context("making a socket")?;
    wakes.set_nonblocking(true).context("making a socket")?;
    signal_hook::low_level::pipe::register(Signal::SIGCHLD as i32, wake)
        .context("listening for the end of programs")?;
    if !order.is_privileged {
        nix::sys::prctl::set_no_new_privs().context("giving up new privileges")?;
    }
    // `spawn` gives SIGPIPE its default action back, which our own start took.
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
        // Only that there were some matters.
        while wakes.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
    }
}

/// Takes note of children that have ended, orphans among them. Returns how `program` did.
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

/// Kills what the program has left; each that dies leaves us its own children.
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

/// The children of this process; none where `/proc` does not tell.
fn children() -> Vec<Pid> {
    let me = std::process::id().to_string();
    let is_mine = |pid: &i32| {
        // The name before the last parenthesis is the program's to choose.
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

/// The names in a directory of `/proc` that are numbers.
fn numbers(dir: &str) -> Vec<i32> {
    let names = fs_err::read_dir(dir).into_iter().flatten().flatten();
    names
        .filter_map(|name| name.file_name().to_str()?.parse().ok())
        .collect()
}

/// Closes every descriptor but the three standard ones: what our caller left open is not for programs.
fn close_inherited() -> Result<()> {
    for fd in numbers("/proc/self/fd").into_iter().filter(|fd| *fd > 2) {
        match nix::unistd::close(fd) {
            // The directory's own is closed by now.
            Ok(()) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno).context("closing inherited files"),
        }
    }
    Ok(())
}

/// Sends a wait status up the leash, as wait(2) encodes it.
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

/// A supervisor's end of a leash, and ours.
pub(super) fn leash(supervisor: &mut Command) -> io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    supervisor.stdin(OwnedFd::from(theirs));
    Ok(ours)
}

/// The wait status that came up the leash of a supervisor that has ended; `None` where the program did not start, or was
/// given up.
pub(super) fn reported(mut leash: UnixStream) -> Option<i32> {
    leash.set_nonblocking(true).ok()?;
    let mut raw = [0; 4];
    leash.read_exact(&mut raw).ok()?;
    Some(i32::from_ne_bytes(raw))
}
