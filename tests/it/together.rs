// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parallel runs: two on one tree, and two that share a cache.

use std::process::Command;
use std::sync::Barrier;
use std::thread;

use nix::sys::signal::Signal;

use crate::bed::Bed;
use crate::kernels::NEW;
use crate::server::{Server, answer};
use crate::tree::Snapshot;

/// Asserts that a second run, which is started during the first one, is refused and changes nothing in the tree.
fn is_refused(bed: &Bed, args: &[&str]) {
    let before = Snapshot::read(&bed.root());
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let ran = Command::new(env!("CARGO_BIN_EXE_ostree-kernel"))
        .arg("--root")
        .arg(bed.root())
        .args(args)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("another ostree-kernel is running on this tree"),
        "{stderr}"
    );
    let changes = before.changes(&Snapshot::read(&bed.root()));
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn of_two_runs_on_one_tree_the_second_is_refused() {
    let bed = Bed::new();
    bed.behave("dracut", "hangs");
    let source = bed.source();
    let first = bed.run_and_signal(&["replace", &source], Signal::SIGTERM, &|| {
        bed.wait_for("dracut ");
        is_refused(&bed, &["replace", &source]);
        is_refused(&bed, &["rebuild"]);
    });
    first
        .ends_with(1)
        .complains(&["generate is unfinished", "stopped by SIGTERM"]);
    bed.behave("dracut", "");
    bed.run(&["replace", &source]).ends_with(0);
}

#[test]
fn builds_that_share_a_cache_do_not_wait_for_each_other() {
    // A file is served only after both builds have requested it.
    let files = NEW.packages();
    let files: Vec<_> = files
        .iter()
        .map(|it| (format!("/{}.rpm", it.nevra()), it.rpm(), Barrier::new(2)))
        .collect();
    let server = Server::scripted(move |_, request, stream| {
        let mut files = files.iter();
        let (_, bytes, both) = files.find(|(path, ..)| *path == request.path).unwrap();
        both.wait();
        answer(stream, 200, "ETag: \"x\"\r\n", bytes);
    });
    let cache = tempfile::tempdir().unwrap();
    let shared = format!("--cache-dir={}", cache.path().display());
    let mut args = vec!["replace".to_owned(), "--allow-unsigned".to_owned(), shared];
    let names = NEW.packages();
    let urls = names
        .iter()
        .map(|it| server.url(&format!("{}.rpm", it.nevra())));
    args.extend(urls);
    let args = &args;
    thread::scope(|scope| {
        for base in [Bed::new, || Bed::dnf("dnf")] {
            scope.spawn(move || {
                base().run(args).ends_with(0).prints(&["no fatal findings"]);
            });
        }
    });
    let left = fs_err::read_dir(cache.path()).unwrap().count();
    assert_eq!(left, 2 * names.len(), "each file once, and a note of it");
}
