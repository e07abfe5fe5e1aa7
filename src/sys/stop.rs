// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGINT, SIGTERM and SIGHUP: noted when they come, acted upon where a job can stop.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

/// How often who waits asks whether to go on waiting.
pub const TICK: Duration = Duration::from_millis(50);

/// The last of these signals that came; 0 for none. Signals are a matter of the whole process.
static CAME: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// Somebody wants us to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped by {0}")]
pub struct Stopped(pub Signal);

/// From now on these signals are noted, and do not end the process by themselves.
///
/// # Errors
/// When the system refuses.
pub fn listen() -> io::Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let number = signal as i32;
        signal_hook::flag::register_usize(number, CAME.clone(), number as usize)?;
    }
    Ok(())
}

/// Whether to go on.
///
/// # Errors
/// [`Stopped`] when one of the signals came.
pub fn check() -> Result<(), Stopped> {
    let number = CAME.load(Ordering::Relaxed);
    match i32::try_from(number).map(Signal::try_from) {
        Ok(Ok(signal)) => Err(Stopped(signal)),
        _ => Ok(()),
    }
}

/// Waits for that long.
///
/// # Errors
/// [`Stopped`], at once, when one of the signals came.
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
