// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program's log on a terminal, without a terminal and on GitHub's runner.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::pty::{OpenptyResult, Winsize, openpty};

use crate::bed::Bed;
use crate::ran::Ran;
use crate::server::{Server, head};

const ROWS: NonZeroU16 = NonZeroU16::new(200).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(100).unwrap();

/// Runs the program with a terminal as standard error; returns the bytes that are written to the terminal. When these
/// contain `awaited`, the file `stub/go-on` is created, for which a stub or a server of the test waits.
#[track_caller]
fn on_a_terminal(
    bed: &Bed,
    args: &[&str],
    env: &[(&str, &str)],
    awaited: Option<&'static str>,
) -> (Ran, String) {
    let size = Winsize {
        ws_row: ROWS.get(),
        ws_col: COLUMNS.get(),
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
    let go_on = bed.path("stub/go-on");
    let reader = thread::spawn(move || read_all(File::from(master), awaited, go_on));
    let ran = bed.run_exactly(&on_root(bed, args), |command| {
        command
            .env("TERM", "xterm")
            .envs(env.iter().copied())
            .stderr(slave);
    });
    (ran, reader.join().unwrap())
}

fn read_all(mut terminal: File, awaited: Option<&str>, go_on: PathBuf) -> String {
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    // Reading a terminal fails once no process has it open for writing.
    while let Ok(count @ 1..) = terminal.read(&mut some) {
        all.extend_from_slice(&some[..count]);
        if awaited.is_some_and(|text| String::from_utf8_lossy(&all).contains(text)) {
            fs_err::write(&go_on, "").unwrap();
        }
    }
    String::from_utf8(all).unwrap()
}

fn on_root(bed: &Bed, args: &[&str]) -> Vec<String> {
    let root = bed.root().display().to_string();
    let all = ["--root", &root].into_iter().chain(args.iter().copied());
    all.map(str::to_owned).collect()
}

#[track_caller]
fn with_env(bed: &Bed, args: &[&str], env: &[(&str, &str)]) -> Ran {
    bed.run_exactly(&on_root(bed, args), |command| {
        command.envs(env.iter().copied());
    })
}

/// Returns the text that a terminal shows after `written`.
fn screen(written: &str) -> String {
    let mut terminal = vt100::Parser::new(ROWS, COLUMNS, 0);
    terminal.process(written.as_bytes());
    terminal.screen().contents().trim_end().to_owned()
}

/// Replaces every digit with 0, since times differ between runs.
fn masked(text: &str) -> String {
    let masked = text.replace(|char: char| char.is_ascii_digit(), "0");
    let lines = masked.lines().map(str::trim_end);
    // Times are aligned to the right: a digit of `10.0s` is at the place of a space before `0.0s`.
    lines
        .map(|line| line.replace(" 00.0s", "  0.0s") + "\n")
        .collect()
}

fn has_control(text: &str) -> bool {
    text.chars().any(|char| char.is_control() && char != '\n')
}

#[test]
fn a_terminal_shows_what_a_step_is_at_and_in_the_end_the_log() {
    for verbose in [None, Some("-v")] {
        let logged = Bed::new();
        let shown = Bed::new();
        for bed in [&logged, &shown] {
            bed.behave("dracut", " waits hostile ");
        }
        let source = shown.source();
        let mut args = vec!["replace", &source];
        args.extend(verbose);
        let (ran, written) = on_a_terminal(&shown, &args, &[], Some("dracut: module 2, systemd"));
        ran.ends_with(0);
        for harm in ["\x1b]0", "\x1b[2J", "\u{9b}"] {
            assert!(
                !written.contains(harm),
                "{harm:?} reached the terminal: {written:?}"
            );
        }
        assert!(written.contains("transact"), "{written:?}");
        logged.write("stub/go-on", "");
        args[1] = &source;
        let ran = logged.run(&args);
        ran.ends_with(0);
        assert!(!has_control(&ran.stderr), "{:?}", ran.stderr);
        assert_eq!(masked(&screen(&written)), masked(&ran.stderr));
    }
}

#[test]
fn output_of_programs_has_no_control_characters() {
    let bed = Bed::new();
    bed.behave("dracut", " hostile fail ");
    let ran = bed.run(&["replace", "-vv", &bed.source()]);
    ran.ends_with(1);
    ran.complains(&["]0;owned", "error: ", "| dracut[F]: Creation of"]);
    assert!(!has_control(&ran.stderr), "{:?}", ran.stderr);

    let bed = Bed::new();
    let name = "usr/lib/modules/6.1.7-100.fc40.x86_64/kernel/\x1b[2J\u{9b}\nfatal.ko";
    bed.write(name, "");
    for format in ["human", "json"] {
        let ran = bed.run(&["verify", "--format", format]);
        ran.ends_with(4).prints(&["modules-depmod", "\\u001b[2J"]);
        assert!(!has_control(&ran.stdout), "{:?}", ran.stdout);
        let is_line = ran.stdout.lines().any(|line| line.starts_with("fatal.ko"));
        assert!(!is_line, "{}", ran.stdout);
    }
}

#[test]
fn no_live_line_without_a_terminal() {
    let bed = Bed::new();
    for (args, env) in [
        (&["replace", "-q", "--dry-run"][..], &[][..]),
        (&["replace", "--dry-run"], &[("TERM", "dumb")]),
    ] {
        let source = bed.source();
        let args: Vec<_> = args.iter().copied().chain([source.as_str()]).collect();
        let (ran, written) = on_a_terminal(&bed, &args, env, None);
        ran.ends_with(0);
        assert!(!written.contains('\x1b'), "{args:?} {env:?}: {written:?}");
        let is_quiet = args.contains(&"-q");
        assert_eq!(written.is_empty(), is_quiet, "{written:?}");
    }
}

#[test]
fn the_log_follows_the_verbosity() {
    let says = |args: &[&str]| {
        let bed = Bed::new();
        // With an rpmdb in the format ndb, which only rpm can read, the program runs `rpm -qa`.
        bed.write("usr/share/rpm/Packages.db", "RpmP");
        let source = bed.source();
        let args: Vec<_> = args.iter().copied().chain([source.as_str()]).collect();
        let ran = bed.run(&args);
        ran.ends_with(0);
        [
            "generate",
            "$ depmod",
            "  dracut: dracut[I]:",
            "  $ rpm -qa",
        ]
        .map(|text| {
            ran.stderr
                .lines()
                .any(|line| line.contains(text) || line.starts_with(text))
        })
    };
    assert_eq!(says(&["replace", "-q"]), [false, false, false, false]);
    assert_eq!(says(&["replace"]), [true, true, false, false]);
    assert_eq!(says(&["replace", "-v"]), [true, true, true, false]);
    assert_eq!(says(&["replace", "-vv"]), [true, true, true, true]);
}

#[test]
fn colours_follow_the_environment() {
    let bed = Bed::new();
    bed.remove("usr/lib/modules/6.1.7-100.fc40.x86_64/initramfs.img");
    let fatal = "\x1b[1;31mfatal\x1b[0m initramfs-present";
    for (args, env, expected) in [
        (&["verify"][..], &[][..], false),
        (&["verify"], &[("CLICOLOR_FORCE", "1")], true),
        (
            &["verify"],
            &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
            false,
        ),
        (&["verify", "--color", "always"], &[("NO_COLOR", "1")], true),
        (
            &["verify", "--color", "never"],
            &[("CLICOLOR_FORCE", "1")],
            false,
        ),
    ] {
        let ran = with_env(&bed, args, env);
        ran.ends_with(4).prints(&["initramfs-present"]);
        assert_eq!(
            ran.stdout.contains(fatal),
            expected,
            "{env:?}: {:?}",
            ran.stdout
        );
        assert_eq!(
            ran.stdout.contains('\x1b'),
            expected,
            "{env:?}: {:?}",
            ran.stdout
        );
    }
    let error = "\x1b[1;31merror: \x1b[0m";
    for (env, expected) in [
        (&[][..], true),
        (&[("NO_COLOR", "1")], false),
        (&[("CLICOLOR", "0")], false),
    ] {
        let (ran, written) = on_a_terminal(&bed, &["inspect", "nothing"], env, None);
        ran.ends_with(1);
        assert_eq!(written.contains(error), expected, "{env:?}: {written:?}");
    }
}

#[test]
fn github_folds_logs_of_steps_but_not_errors() {
    let bed = Bed::new();
    let ran = with_env(
        &bed,
        &["replace", &bed.source()],
        &[("GITHUB_ACTIONS", "true")],
    );
    ran.ends_with(0);
    let lines: Vec<_> = ran.stderr.lines().collect();
    let is_open = |(is_open, wrong): (bool, bool), line: &&str| match *line {
        "::endgroup::" => (false, wrong || !is_open),
        line if line.starts_with("::group::") => (true, wrong || is_open),
        line if line.starts_with("$ ") => (is_open, wrong || !is_open),
        _ => (is_open, wrong || is_open),
    };
    let end = lines.iter().fold((false, false), is_open);
    ran.require(
        end == (false, false),
        "commands are folded, and nothing else",
    );
    ran.complains(&["::group::transact\n$ ", "::group::generate\n$ depmod"]);

    // A warning during a step is printed outside of the folded lines.
    let bed = Bed::new();
    bed.behave("rpm-ostree", " fail-after ");
    let ran = with_env(
        &bed,
        &["replace", &bed.source()],
        &[("GITHUB_ACTIONS", "true")],
    );
    ran.ends_with(0)
        .complains(&["::endgroup::\nwarning: ", "::group::transact\n"]);
}

#[test]
fn downloads_have_bars_below_the_step() {
    let bed = Bed::new();
    let name = "kernel-core-6.9.4-200.fc40.x86_64.rpm";
    let package = fs_err::read(bed.rpms().join(name)).unwrap();
    fs_err::remove_file(bed.rpms().join(name)).unwrap();
    let go_on = bed.path("stub/go-on");
    let server = Server::scripted(move |_, _, stream| {
        let (one, other) = package.split_at(package.len() / 2);
        head(stream, 200, "", package.len());
        stream.write_all(one).unwrap();
        while !go_on.exists() {
            thread::sleep(Duration::from_millis(5));
        }
        stream.write_all(other).unwrap();
    });
    let (source, url) = (bed.source(), server.url(name));
    let args = ["replace", "--dry-run", "--allow-unsigned", &source, &url];
    let (ran, written) = on_a_terminal(&bed, &args, &[], Some(name));
    ran.ends_with(0);
    let lines = masked(&screen(&written));
    assert!(lines.contains("downloaded kernel-core-"), "{lines}");
    assert_eq!(lines.lines().count(), 3, "{lines}");
}
