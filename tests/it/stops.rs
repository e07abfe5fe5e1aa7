// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGTERM while the program waits for a server, for dnf or for dracut. A run that has not begun its transaction
//! changes nothing.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::bed::{Bed, wait_until};
use crate::kernels::OLD;
use crate::ran::Ran;
use crate::server::{Server, answer, head};

/// Longer than the time limit of [`Bed::run`]: a run that waited for this server would count as hanging.
const FOR_EVER: Duration = Duration::from_secs(600);

#[track_caller]
fn is_stopped(ran: &Ran, says: &[&str]) {
    ran.ends_with(1)
        .complains(&["stopped by SIGTERM"])
        .complains(says);
}

#[test]
fn downloads_end_at_once() {
    type Script = fn(&mut TcpStream);
    let scripts: [(&str, Script); 3] = [
        ("no answer", |_| std::thread::sleep(FOR_EVER)),
        ("half an answer", |stream| {
            head(stream, 200, "", 1_000_000);
            // Fast enough that the download does not count as stalled.
            while stream.write_all(&[0; 4096]).is_ok() {
                std::thread::sleep(Duration::from_millis(250));
            }
        }),
        ("later", |stream| {
            answer(stream, 503, "Retry-After: 30\r\n", b"later");
        }),
    ];
    for (name, script) in scripts {
        println!("{name}");
        let bed = Bed::new();
        let server = Server::scripted(move |_, _, stream| script(stream));
        let url = server.url("kernel-core.rpm");
        let asked = || wait_until("a request", || !server.requests().is_empty());
        let ran = bed.run_and_signal(&["replace", &url], Signal::SIGTERM, &asked);
        is_stopped(&ran, &["resolve is unfinished: nothing was changed"]);
        ran.untouched().in_order(&[]);
        let left: Vec<_> = fs_err::read_dir(bed.beside("cache")).unwrap().collect();
        ran.require(left.is_empty(), &format!("left in the cache: {left:?}"));
    }
}

#[test]
fn dnf_that_downloads_is_stopped() {
    let bed = Bed::dnf("dnf");
    bed.behave("dnf", "hang-download");
    let args = ["replace", "--from", "updates-testing", "kernel"];
    let ran = bed.run_and_signal(&args, Signal::SIGTERM, &|| bed.wait_for("dnf -y download"));
    is_stopped(&ran, &["resolve is unfinished: nothing was changed"]);
    ran.untouched();
}

#[test]
fn a_rebuild_that_is_stopped_keeps_the_old_initramfs() {
    let bed = Bed::new();
    bed.behave("dracut", "hangs");
    let ran = bed.run_and_signal(&["rebuild"], Signal::SIGTERM, &|| bed.wait_for("dracut "));
    is_stopped(
        &ran,
        &["generate is unfinished: the kernel's new initramfs is not in place"],
    );
    ran.changes(&[&format!("~usr/lib/modules/{}/modules.dep", OLD.kver)]);
}
