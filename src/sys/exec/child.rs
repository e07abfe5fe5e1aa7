// SPDX-License-Identifier: MIT OR Apache-2.0
//! A running program: what it prints, how it ends, and its end where it does not.

use std::io::{self, BufReader, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::lines::each_line;
use crate::sys::stop::{self, Stopped, TICK};

/// How long a program that was asked to end may tidy up.
const GRACE: Duration = Duration::from_secs(10);

/// How long the output of a program that has ended is waited for: a daemon that it left behind may
/// hold it open.
const LINGER: Duration = Duration::from_secs(1);

/// What a program prints.
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
    /// We were to stop.
    Stopped(Stopped),
}

/// How what comes through a pipe is read.
pub(super) type Reading = fn(PipeReader, &SyncSender<Printed>) -> io::Result<()>;

/// Line by line.
pub(super) fn lines(input: PipeReader, to: &SyncSender<Printed>) -> io::Result<()> {
    each_line(BufReader::new(input), &mut |line| {
        send(to, Printed::Line(line))
    })
}

/// As it comes.
pub(super) fn bytes(mut input: PipeReader, to: &SyncSender<Printed>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(()),
            count => send(to, Printed::Bytes(buffer[..count].to_vec())),
        }
    }
}

/// Nobody listens any more when the program was given up.
fn send(to: &SyncSender<Printed>, printed: Printed) {
    let _ = to.send(printed);
}

/// Runs `command` in a process group of its own to its end, or ends it after `limit` or when we are
/// to stop. `pipes` are the read ends of what its output goes to.
pub(super) fn drive(
    mut command: Command,
    pipes: Vec<(PipeReader, Reading)>,
    limit: Duration,
    printed: &mut dyn FnMut(Printed),
) -> io::Result<End> {
    let mut child = command.process_group(0).spawn()?;
    // The command holds the write ends; the readers see the end only once they are closed.
    drop(command);
    let (sender, receiver) = mpsc::sync_channel(256);
    for (pipe, reading) in pipes {
        let sender = sender.clone();
        thread::spawn(move || {
            if let Err(error) = reading(pipe, &sender) {
                tracing::debug!("reading what a program prints: {error}");
            }
        });
    }
    drop(sender);
    let asked = listen(&mut child, &receiver, limit, printed)?;
    let status = child.wait()?;
    Ok(asked.unwrap_or(End::Exited(status)))
}

/// Listens until the program has ended. Returns why it was asked to.
fn listen(
    child: &mut Child,
    receiver: &Receiver<Printed>,
    limit: Duration,
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
            Err(RecvTimeoutError::Disconnected) if child.try_wait()?.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK / 50),
        }
        if ended.is_none() && child.try_wait()?.is_some() {
            ended = Some(Instant::now());
        }
        if ended.is_some_and(|since| since.elapsed() > LINGER) {
            break;
        }
        let reason = match (&asked, stop::check()) {
            (Some((_, since)), _) if since.elapsed() > GRACE => {
                end(child, Signal::SIGKILL);
                continue;
            }
            (Some(_), _) => continue,
            (None, Err(stopped)) => End::Stopped(stopped),
            (None, Ok(())) if start.elapsed() > limit => End::TooLong,
            (None, Ok(())) => continue,
        };
        end(child, Signal::SIGTERM);
        asked = Some((reason, Instant::now()));
    }
    Ok(asked.map(|(reason, _)| reason))
}

/// Sends a signal to the program and all that it started.
fn end(child: &Child, signal: Signal) {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    if let Ok(Err(error)) = group.map(|group| killpg(group, signal)) {
        tracing::debug!("sending {signal}: {error}");
    }
}
