// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running program, seen from the process that waits for it: its output, its end, and the bounds of both.

use std::io::{self, BufReader, PipeReader, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::lines::each_line;
use super::supervisor;
use crate::sys::stop::{self, Stopped, TICK};

/// How long a program that was asked to end may tidy up.
const GRACE: Duration = Duration::from_secs(10);

/// How long its supervisor may then take to kill it, before that is killed itself.
const KILLING: Duration = Duration::from_secs(6);

/// How long output may come after the supervisor has ended. All that could write it is dead by then, unless the
/// supervisor was killed.
const LINGER: Duration = Duration::from_secs(1);

/// A program that prints more than this is ended (bytes). dracut with `--debug` prints some 20 MiB; `rpm -qa` with all
/// capabilities of a large image is about 8 MiB.
pub(super) const OUTPUT_MAX: usize = 64 << 20;

/// A line counts as at least this many bytes: empty ones cost time and memory, too.
const LINE_COST: usize = 64;

/// A part of a program's output.
pub(super) enum Printed {
    /// One line.
    Line(String),
    /// Some bytes.
    Bytes(Vec<u8>),
}

/// How a program ended.
pub(super) enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It ran longer than it may.
    TooLong,
    /// It printed more than it may.
    TooMuch,
    /// We were to stop.
    Stopped(Stopped),
}

/// The reading end of a program's output, on a thread of its own.
pub(super) struct Output {
    to: SyncSender<Printed>,
    /// Bytes of all streams so far.
    count: Arc<AtomicUsize>,
}

/// How a stream is read.
pub(super) type Reading = fn(PipeReader, &Output) -> io::Result<()>;

/// Line by line.
pub(super) fn lines(input: PipeReader, output: &Output) -> io::Result<()> {
    each_line(BufReader::new(input), &mut |line, bytes| {
        output.send(Printed::Line(line), bytes.max(LINE_COST));
    })
}

/// As it comes.
pub(super) fn bytes(mut input: PipeReader, output: &Output) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            count => output.send(Printed::Bytes(buffer[..count].to_vec()), count),
        }
    }
}

impl Output {
    /// Counts it, and passes it on unless there is too much. The receiver is gone when the program was given up.
    fn send(&self, printed: Printed, bytes: usize) {
        if self.count.fetch_add(bytes, Ordering::Relaxed) <= OUTPUT_MAX {
            let _ = self.to.send(printed);
        }
    }
}

/// Runs `command`, a supervisor, in a process group of its own until its program has ended; or ends it after `limit`, when
/// it prints too much, or when we are to stop. `pipes` are the read ends of what its output goes to.
pub(super) fn drive(
    mut command: Command,
    pipes: Vec<(PipeReader, Reading)>,
    limit: Duration,
    printed: &mut dyn FnMut(Printed),
) -> io::Result<End> {
    let leash = supervisor::leash(&mut command)?;
    let child = command.process_group(0).spawn()?;
    // The command holds the write ends; the readers see the end only once they are closed.
    drop(command);
    let (to, receiver) = mpsc::sync_channel(256);
    let count = Arc::new(AtomicUsize::new(0));
    for (pipe, reading) in pipes {
        let output = Output {
            to: to.clone(),
            count: count.clone(),
        };
        thread::spawn(move || {
            if let Err(error) = reading(pipe, &output) {
                tracing::debug!("reading what a program prints: {error}");
            }
        });
    }
    drop(to);
    let mut running = Running {
        child,
        leash,
        count,
        limit,
    };
    let given_up = running.listen(&receiver, printed)?;
    let status = running.child.wait()?;
    let reported = supervisor::reported(running.leash).map(ExitStatus::from_raw);
    if reported.is_none() && !status.success() {
        // Where the supervisor was killed, what it supervised is in its group still.
        end(&running.child, Signal::SIGKILL);
    }
    Ok(given_up.unwrap_or(End::Exited(reported.unwrap_or(status))))
}

struct Running {
    child: Child,
    leash: UnixStream,
    count: Arc<AtomicUsize>,
    limit: Duration,
}

impl Running {
    /// Listens until the program has ended. Returns why it was given up, if it was.
    fn listen(
        &mut self,
        receiver: &Receiver<Printed>,
        printed: &mut dyn FnMut(Printed),
    ) -> io::Result<Option<End>> {
        let start = Instant::now();
        let mut asked: Option<(End, Instant)> = None;
        let mut ended: Option<Instant> = None;
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(some) => {
                    printed(some);
                    ended = ended.map(|_| Instant::now());
                }
                Err(RecvTimeoutError::Timeout) => {}
                // It may close its output and go on.
                Err(RecvTimeoutError::Disconnected) if self.child.try_wait()?.is_some() => break,
                Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK / 50),
            }
            if ended.is_none() && self.child.try_wait()?.is_some() {
                ended = Some(Instant::now());
            }
            if ended.is_some_and(|since| since.elapsed() > LINGER) {
                break;
            }
            match &asked {
                Some((_, since)) if since.elapsed() > GRACE => self.kill(since.elapsed())?,
                Some(_) => {}
                None => {
                    if let Some(reason) = self.reason(start) {
                        end(&self.child, Signal::SIGTERM);
                        asked = Some((reason, Instant::now()));
                    }
                }
            }
        }
        Ok(asked.map(|(reason, _)| reason))
    }

    /// Why the program is not to go on.
    fn reason(&self, start: Instant) -> Option<End> {
        match stop::check() {
            Err(stopped) => Some(End::Stopped(stopped)),
            Ok(()) if self.count.load(Ordering::Relaxed) > OUTPUT_MAX => Some(End::TooMuch),
            Ok(()) if start.elapsed() > self.limit => Some(End::TooLong),
            Ok(()) => None,
        }
    }

    /// Lets the supervisor kill all that runs below it, and kills it, too, where that takes too long.
    fn kill(&self, since_asked: Duration) -> io::Result<()> {
        if since_asked > GRACE + KILLING {
            end(&self.child, Signal::SIGKILL);
        }
        match self.leash.shutdown(Shutdown::Both) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            _ => Ok(()),
        }
    }
}

/// Sends a signal to the program's process group.
fn end(child: &Child, signal: Signal) {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    if let Ok(Err(error)) = group.map(|group| killpg(group, signal)) {
        tracing::debug!("sending {signal}: {error}");
    }
}
