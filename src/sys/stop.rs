// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGINT, SIGTERM and SIGHUP: recorded when they arrive, checked where a run can stop.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

/// Poll interval of interruptible waits.
pub const TICK: Duration = Duration::from_millis(50);

/// The number of the last of these signals; 0 if none has arrived. Global, since a signal concerns the whole process.
static RECEIVED: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// The error that a signal has requested the process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by {0}")]
pub struct Stopped(pub Signal);

/// Installs the signal handlers. The signals no longer terminate the process.
///
/// # Errors
/// When the system call fails.
pub fn listen() -> io::Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let number = signal as i32;
        signal_hook::flag::register_usize(number, RECEIVED.clone(), number as usize)?;
    }
    Ok(())
}

/// Checks that the run may continue.
///
/// # Errors
/// [`Stopped`] after one of the signals.
pub fn check() -> Result<(), Stopped> {
    let number = RECEIVED.load(Ordering::Relaxed);
    match i32::try_from(number).map(Signal::try_from) {
        Ok(Ok(signal)) => Err(Stopped(signal)),
        _ => Ok(()),
    }
}

/// Sleeps for `time`.
///
/// # Errors
/// [`Stopped`] after one of the signals, at most [`TICK`] later.
pub fn sleep(time: Duration) -> Result<(), Stopped> {
    let start = Instant::now();
    loop {
        check()?;
        let rest = time.saturating_sub(start.elapsed());
        if rest.is_zero() {
            return Ok(());
        }
        thread::sleep(rest.min(TICK));
    }
}
