// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that stand back for others.

/// How far. Where all processors are busy, the thread gets a tenth of what another one gets (sched(7)).
const STEPS: i32 = 10;

/// Lets all other threads of this process go first, where processors are few; for good, since only root may take it
/// back. Programs that the thread starts inherit it.
pub fn stand_back() {
    // On Linux this is the priority of a thread (setpriority(2)). Without it all is done as well, and later.
    let own = rustix::process::getpriority_process(None).unwrap_or_default();
    let _ = rustix::process::setpriority_process(None, own + STEPS);
}
