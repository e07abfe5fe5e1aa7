// SPDX-License-Identifier: MIT OR Apache-2.0
//! Thread priorities.

/// The change of the nice value. On busy processors the thread gets a tenth of the time of another one (sched(7)).
const STEPS: i32 = 10;

/// Lowers the priority of this thread permanently, since only root can raise it. Programs that it starts inherit the
/// priority.
pub fn lower_priority() {
    // On Linux setpriority(2) applies to a thread. A failure affects only the speed.
    let own = rustix::process::getpriority_process(None).unwrap_or_default();
    let _ = rustix::process::setpriority_process(None, own + STEPS);
}
