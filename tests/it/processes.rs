// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the environment in which programs run. No process outlives the program that started it.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;

use crate::bed::{Bed, commands, wait_until};
use crate::kernels::NEW;
use crate::ran::Ran;

/// The end of the command line in `/proc` of the daemon that tests/stub/lib.sh starts.
const DAEMON: &str = "sleep\x005353\0";

fn is_daemon(line: &[u8]) -> bool {
    line.ends_with(DAEMON.as_bytes())
}

#[track_caller]
fn leaves_no_daemon(ran: &Ran) {
    ran.require(
        !commands().iter().any(|line| is_daemon(line)),
        "a daemon lives on",
    );
}

#[test]
fn a_daemon_ends_with_the_program_that_started_it() {
    let bed = Bed::new();
    bed.behave("dracut", "daemon");
    let start = Instant::now();
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    leaves_no_daemon(&ran);
    // dracut ends by a failure, by the time limit, and by a signal to ostree-kernel.
    bed.behave("dracut", "daemon fail");
    leaves_no_daemon(bed.run(&["rebuild"]).ends_with(1));
    bed.behave("dracut", "daemon hangs");
    let ran = bed.run(&["rebuild", "--timeout=1"]);
    leaves_no_daemon(ran.ends_with(1).complains(&[
        "dracut did not finish within 1 s, and was killed with all its processes; it printed nothing\n",
        "To allow more time, run again with --timeout SECONDS",
    ]));
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let daemon = || commands().iter().any(|line| is_daemon(line));
        let ran = bed.run_and_signal(&["rebuild"], signal, &|| wait_until("a daemon", daemon));
        leaves_no_daemon(&ran);
    }
    ran.require(start.elapsed() < Duration::from_secs(60), "it waited");
}

#[test]
fn a_program_sees_no_other_processes() {
    let bed = Bed::new();
    bed.write("stub/look", "");
    bed.behave("depmod", "asks-caller");
    let state = || fs_err::read_to_string(bed.path("stub/state.log")).unwrap();
    let ran = bed.run(&["replace", &bed.source()]);
    let state = state();
    ran.ends_with(0);
    let processes = |me: &str| {
        let start = format!("{me}: process ");
        state
            .lines()
            .filter(|line| line.starts_with(&start))
            .count()
    };
    for program in ["rpm-ostree", "depmod", "dracut", "ostree"] {
        let count = processes(program);
        // Each call of the program sees process 1, the program itself, and the processes with which the stub counts;
        // the count is over all calls.
        ran.require(
            (2..=16).contains(&count),
            &format!("{program} sees {count}"),
        );
    }
    for (program, value) in [("dracut", 1), ("depmod", 1), ("ostree", 1)] {
        let line = format!("{program}: NoNewPrivs:\t{value}");
        ran.require(state.contains(&line), &format!("expected: {line}"));
    }
    // At least one call of rpm-ostree may gain privileges: the transaction, in which scriptlets run.
    let of = |line: &&str| line.starts_with("rpm-ostree: NoNewPrivs:");
    let found: Vec<_> = state.lines().filter(of).collect();
    let privileged = "rpm-ostree: NoNewPrivs:\t0";
    ran.require(found.contains(&privileged), &format!("{found:?}"));
}

#[test]
fn open_files_and_the_umask_of_the_caller_do_not_reach_a_program() {
    let bed = Bed::new();
    bed.write("stub/look", "");
    let open = bed.beside("open").join("inherited");
    let file = fs_err::File::create(&open).unwrap().into_file();
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let root = bed.root().display().to_string();
    let program = env!("CARGO_BIN_EXE_ostree-kernel");
    let line = format!("umask 077; exec {program} \"$@\"");
    let args = ["-c", &line, "sh", "replace", "--root", &root, &bed.source()];
    let args = args.map(str::to_owned);
    let ran = bed.run_program(Path::new("/bin/sh"), &args, None, |_| {});
    drop(file);
    let state = fs_err::read_to_string(bed.path("stub/state.log")).unwrap();
    ran.ends_with(0);
    ran.require(state.contains("dracut: Umask:\t0022"), &state);
    ran.require(!state.contains("0077"), &state);
    ran.require(!state.contains("inherited"), &state);
    let dir = format!("usr/lib/modules/{}", NEW.kver);
    for (name, mode) in [("modules.dep", 0o644), ("initramfs.img", 0o600)] {
        let found = ran.after.mode(&format!("{dir}/{name}"));
        ran.require(found == Some(mode), &format!("{name}: {found:?}"));
    }
    let found = ran.after.mode("usr/share/ostree-kernel/report.json");
    ran.require(found == Some(0o644), &format!("the report: {found:?}"));
}

#[test]
fn a_program_with_too_much_output_is_killed() {
    for (program, how, args) in [
        ("dracut", "flood", &["rebuild"][..]),
        ("dracut", "flood-lines", &["rebuild"]),
        ("depmod", "flood-errors", &["rebuild", "-q"]),
    ] {
        let bed = Bed::new();
        bed.behave(program, how);
        let start = Instant::now();
        let ran = bed.run(args);
        ran.ends_with(1).complains(&[
            &format!("{program} printed more than 64 MiB, and was killed with all its processes"),
            "Look for the cause: an endless loop",
        ]);
        println!("{how}: {:?}", start.elapsed());
        let log = ran.after.file("run/ostree-kernel/log").unwrap_or_default();
        ran.require(
            log.len() < 70 << 20,
            &format!("a log of {} bytes", log.len()),
        );
    }
}

/// Returns a command that starts a supervisor in `/`, as in a container build, for the program `sh -c SCRIPT`, and the
/// other end of the supervisor's leash.
fn supervisor(script: &str) -> (Command, UnixStream) {
    #[expect(clippy::disallowed_methods, reason = "the program as it calls itself")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostree-kernel"));
    let (ours, theirs) = UnixStream::pair().unwrap();
    command
        .args(["__supervise", "/", "22", "plain", "/bin/sh", "-c", script])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (command, ours)
}

/// Returns whether a process has this word as an argument.
fn runs(word: &str) -> bool {
    let word = format!("\0{word}\0");
    commands()
        .iter()
        .any(|line| String::from_utf8_lossy(line).contains(&word))
}

#[test]
fn a_supervisor_in_a_container_kills_what_is_left() {
    let (mut command, mut leash) = supervisor("setsid sleep 5354 & sleep 0.2; exit 7");
    let ended = command.output().unwrap();
    let mut raw = [0; 4];
    leash.read_exact(&mut raw).unwrap();
    assert_eq!(i32::from_ne_bytes(raw), 7 << 8, "{ended:?}");
    assert!(!runs("5354"), "the daemon lives on");

    // The leash is closed. That also happens when ostree-kernel ends the supervisor or is killed.
    let (mut command, leash) = supervisor("setsid sleep 5355 & setsid sleep 5356 & sleep 5357");
    let mut child = command.spawn().unwrap();
    drop(command);
    wait_until("two daemons", || {
        runs("5355") && runs("5356") && runs("5357")
    });
    drop(leash);
    child.wait().unwrap();
    assert!(!runs("5355") && !runs("5356") && !runs("5357"));
}

#[test]
fn a_program_whose_caller_is_gone_does_not_start() {
    let bed = Bed::new();
    let begun = bed.path("begun");
    let (mut command, leash) = supervisor(&format!("touch {}", begun.display()));
    drop(leash);
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(126));
    let error = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(
        error,
        "error: not starting /bin/sh: the parent process has exited\n"
    );
    assert!(!begun.exists());
}
