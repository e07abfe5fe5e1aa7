// SPDX-License-Identifier: MIT OR Apache-2.0
//! Thread priorities.

/// The change of the nice value. On a busy processor, the thread gets about a tenth of the time of a thread with the
/// previous value (sched(7)).
const STEPS: i32 = 10;

/// Lowers the priority of this thread until it ends: raising it again would need a privilege. Programs that the thread
/// starts inherit the priority.
pub fn lower_priority() {
    // On Linux setpriority(2) applies to a thread. A failure affects only the speed.
    let own = rustix::process::getpriority_process(None).unwrap_or_default();
    let _ = rustix::process::setpriority_process(None, own + STEPS);
}
