// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a supervisor from its parent process: reads the program's output, waits for its end, and enforces the limits.

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

/// Time between SIGTERM and the kill of the program.
const GRACE: Duration = Duration::from_secs(10);

/// Timeout of the supervisor for killing the program; after it, the supervisor itself is killed.
const KILLING: Duration = Duration::from_secs(6);

/// After the supervisor has ended, reading stops if no output arrives for this long. The program's processes have ended
/// before the supervisor, unless the supervisor was killed.
const DRAIN: Duration = Duration::from_secs(1);

/// Upper bound of a program's output (bytes). dracut with `--debug` prints about 20 MiB; `rpm -qa` prints about 8 MiB
/// if it lists all capabilities of a large image.
pub(super) const OUTPUT_MAX: usize = 64 << 20;

/// The minimum number of bytes that are counted for a line, because empty lines take time and memory, too.
const LINE_COST: usize = 64;

/// A part of a program's output.
pub(super) enum Printed {
    /// One line, sent by [`lines`].
    Line(String),
    /// A part of a stream, sent by [`bytes`].
    Bytes(Vec<u8>),
}

/// The way in which a program ended.
pub(super) enum End {
    /// It exited, or was killed by a signal that this process did not send.
    Exited(ExitStatus),
    /// It exceeded the timeout.
    TooLong,
    /// It exceeded the output limit.
    TooMuch,
    /// A signal requested that this process stops.
    Stopped(Stopped),
}

/// The sender of a thread that reads one output stream.
pub(super) struct Output {
    to: SyncSender<Printed>,
    /// The number of bytes that were counted so far, for all streams.
    count: Arc<AtomicUsize>,
}

/// A function that reads a stream to its end and sends what it reads.
pub(super) type StreamReader = fn(PipeReader, &Output) -> io::Result<()>;

/// Reads a stream and sends its lines.
pub(super) fn lines(input: PipeReader, output: &Output) -> io::Result<()> {
    each_line(BufReader::new(input), &mut |line, bytes| {
        output.send(Printed::Line(line), bytes.max(LINE_COST));
    })
}

/// Reads a stream and sends the bytes as they arrive.
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
    /// Counts the output, and sends it unless the limit was exceeded before. An error is ignored: it means that
    /// [`drive`] has returned and dropped the receiver.
    fn send(&self, printed: Printed, bytes: usize) {
        if self.count.fetch_add(bytes, Ordering::Relaxed) <= OUTPUT_MAX {
            let _ = self.to.send(printed);
        }
    }
}

/// Runs `command`, a supervisor, in its own process group until the supervisor has ended, and passes the program's
/// output to `printed`. Stops the program after `limit`, if it prints too much, or after a signal to this process.
/// `pipes` are the read ends of the program's output.
pub(super) fn drive(
    mut command: Command,
    pipes: Vec<(PipeReader, StreamReader)>,
    limit: Duration,
    printed: &mut dyn FnMut(Printed),
) -> io::Result<End> {
    let leash = supervisor::leash(&mut command)?;
    let child = command.process_group(0).spawn()?;
    // The command holds the write ends of the pipes. The readers see the end of the output only after these are closed.
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
                tracing::debug!("reading the output of a program: {error}");
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
    let stopped = running.listen(&receiver, printed)?;
    let status = running.child.wait()?;
    let reported = supervisor::reported(running.leash).map(ExitStatus::from_raw);
    if reported.is_none() && !status.success() {
        // The supervisor was killed or has failed; processes of the program can still be in the process group.
        end(&running.child, Signal::SIGKILL);
    }
    Ok(stopped.unwrap_or(End::Exited(reported.unwrap_or(status))))
}

struct Running {
    child: Child,
    leash: UnixStream,
    count: Arc<AtomicUsize>,
    limit: Duration,
}

impl Running {
    /// Reads output until the supervisor has ended. Returns the reason why the program was stopped; `None` if the
    /// program ended by itself.
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
                // A program can close its output and go on.
                Err(RecvTimeoutError::Disconnected) if self.child.try_wait()?.is_some() => break,
                Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK / 50),
            }
            if ended.is_none() && self.child.try_wait()?.is_some() {
                ended = Some(Instant::now());
            }
            if ended.is_some_and(|since| since.elapsed() > DRAIN) {
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

    /// Returns the reason to stop the program, if there is one.
    fn reason(&self, start: Instant) -> Option<End> {
        match stop::check() {
            Err(stopped) => Some(End::Stopped(stopped)),
            Ok(()) if self.count.load(Ordering::Relaxed) > OUTPUT_MAX => Some(End::TooMuch),
            Ok(()) if start.elapsed() > self.limit => Some(End::TooLong),
            Ok(()) => None,
        }
    }

    /// Makes the supervisor kill the program and its processes. If the supervisor needs more than [`KILLING`] for this,
    /// kills the supervisor.
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

/// Sends a signal to the process group of the supervisor and its program.
fn end(child: &Child, signal: Signal) {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    if let Ok(Err(error)) = group.map(|group| killpg(group, signal)) {
        tracing::debug!("sending {signal}: {error}");
    }
}
