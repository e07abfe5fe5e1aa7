// SPDX-License-Identifier: MIT OR Apache-2.0
//! Credential helpers: programs of the host, found on the caller's `PATH`, that run with the caller's environment, as
//! podman and docker run them. They run without a supervisor, because processes that they start, such as gpg-agent,
//! must outlive them.

use std::env;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{describe_status, program_command};
use crate::sys::stop::{self, TICK};

/// Upper bound of each output stream (bytes). A response with a password has a few hundred bytes, one with a token a
/// few thousand.
const OUTPUT_MAX: u64 = 256 << 10;

/// Timeout for the rest of the output after the program has ended.
const DRAIN: Duration = Duration::from_secs(1);

/// The result of a credential helper that ran to its end.
pub struct HelperOutput {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The failure, for example `exited with status 1`; `None` after exit status 0.
    pub failed: Option<String>,
    /// The last non-empty line of its standard error; empty if there is none.
    pub error: String,
}

/// Returns the path of a program in the caller's `PATH`. Relative directories of `PATH` are skipped.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let dirs = env::split_paths(&path).filter(|dir| dir.is_absolute());
    let is_program = |path: &PathBuf| {
        fs_err::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    dirs.map(|dir| dir.join(program)).find(is_program)
}

/// Runs `program get` with `input` and a line break as standard input, for at most `limit`.
///
/// # Errors
/// When the program is not in `PATH`, cannot be started, does not end in time or prints too much; [`stop::Stopped`]
/// after a signal.
pub fn ask(program: &str, input: &str, limit: Duration) -> Result<HelperOutput> {
    match find(program) {
        Some(path) => run(&path, input, limit),
        None => bail!("it is not in PATH"),
    }
}

fn run(path: &Path, input: &str, limit: Duration) -> Result<HelperOutput> {
    tracing::debug!("$ {} get", path.display());
    let child = program_command(path)
        .arg("get")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.with_context(|| format!("starting {}", path.display()))?;
    let output = wait(&mut child, input, limit);
    if output.is_err() {
        if let Ok(group) = i32::try_from(child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = child.wait();
    }
    output
}

fn wait(child: &mut Child, input: &str, limit: Duration) -> Result<HelperOutput> {
    const PIPED: &str = "all streams of the program are pipes";
    let mut stdin = child.stdin.take().context(PIPED)?;
    let line = format!("{input}\n");
    // The error is ignored, because a program may end without reading its input. The line fits into the pipe, so the
    // write does not block.
    let _ = stdin.write_all(line.as_bytes());
    drop(stdin);
    let stdout = read(child.stdout.take().context(PIPED)?);
    let stderr = read(child.stderr.take().context(PIPED)?);
    let start = Instant::now();
    let status = loop {
        stop::check()?;
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            bail!(
                "it did not finish within {} s, and was killed",
                limit.as_secs_f64()
            );
        }
        thread::sleep(TICK / 10);
    };
    let stdout = collect(&stdout)?;
    // A daemon that the program has started may keep standard error open. An error is ignored, since the text is only
    // used for a message.
    let stderr = collect(&stderr).unwrap_or_default();
    let text = String::from_utf8_lossy(&stderr).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    Ok(HelperOutput {
        stdout,
        failed: (!status.success()).then(|| describe_status(status)),
        error: last.unwrap_or_default().trim().to_owned(),
    })
}

/// Reads a stream on another thread, so that waiting for its end can time out: a child of the program can keep the
/// stream open.
fn read(stream: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (to, from) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stream.take(OUTPUT_MAX + 1).read_to_end(&mut bytes);
        let _ = to.send(read.map(|_| bytes));
    });
    from
}

fn collect(from: &Receiver<io::Result<Vec<u8>>>) -> Result<Vec<u8>> {
    let bytes = match from.recv_timeout(DRAIN) {
        Ok(bytes) => bytes?,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            bail!("a process that it started keeps its standard output open")
        }
    };
    if bytes.len() as u64 > OUTPUT_MAX {
        bail!("it printed more than {OUTPUT_MAX} bytes");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("helper");
        let pid = dir.path().join("pid");
        let script = format!("#!/bin/sh\nsleep 300 &\necho $! >{}\nwait\n", pid.display());
        fs_err::write(&path, script).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let start = Instant::now();
        let error = run(&path, "host", Duration::from_millis(500))
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "it did not finish within 0.5 s, and was killed"
        );
        assert!(start.elapsed() < Duration::from_secs(20));
        let pid = fs_err::read_to_string(pid).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        while fs_err::read_to_string(&stat).is_ok_and(|it| !it.contains(") Z ")) {
            assert!(start.elapsed() < Duration::from_secs(20));
            thread::sleep(TICK);
        }
    }
}
