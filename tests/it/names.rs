// SPDX-License-Identifier: MIT OR Apache-2.0
//! Host names are resolved by the system's resolver, within a bounded time.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use ostree_kernel::sys::fetch::{DownloadLimits, Fetched, Fetcher};
use ostree_kernel::sys::root::Root;
use tempfile::TempDir;

use crate::privilege::{need_root, say};
use crate::server::{Server, answer};

/// Fetches `url` with an empty cache and one retry.
fn fetch(url: &str, stall: Duration) -> anyhow::Result<Fetched> {
    let dir = TempDir::with_prefix("ostree-kernel-names-").unwrap();
    let limits = DownloadLimits {
        stall,
        pauses: vec![Duration::from_millis(20)],
        ..DownloadLimits::new(1000)
    };
    let root = Root::open(dir.path()).unwrap();
    let fetcher = Fetcher::new(&dir.path().join("cache"), &root, "run/private", limits).unwrap();
    fetcher.fetch(url, None, false)
}

#[track_caller]
fn fails(url: &str, stall: Duration, says: &str) {
    let error = fetch(url, stall).err().unwrap();
    let error = format!("{error:#}");
    assert!(error.contains(says), "{error}");
}

/// Runs `test` on a thread that sees `files` (name and content) in place of those of /etc.
fn with_etc(files: &[(&str, &str)], test: impl FnOnce() + Send) {
    need_root();
    let dir = TempDir::with_prefix("ostree-kernel-names-").unwrap();
    std::thread::scope(|scope| {
        let tester = scope.spawn(|| {
            const NONE: Option<&str> = None;
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).unwrap();
            for (name, content) in files {
                let (file, place) = (dir.path().join(name), Path::new("/etc").join(name));
                fs_err::write(&file, content).unwrap();
                let place = place.canonicalize().unwrap();
                mount(Some(&file), &place, NONE, MsFlags::MS_BIND, NONE).unwrap();
            }
            test();
        });
        tester.join().unwrap();
    });
}

#[test]
fn files_are_fetched_by_name() {
    let server = Server::scripted(|_, _, stream| answer(stream, 200, "", b"bytes"));
    let url = server.url("a.rpm").replace("127.0.0.1", "localhost");
    assert!(!fetch(&url, Duration::from_secs(20)).unwrap().from_cache);
}

#[test]
fn a_name_of_etc_hosts_is_found() {
    let server = Server::scripted(|_, _, stream| answer(stream, 200, "", b"bytes"));
    let url = server.url("a.rpm").replace("127.0.0.1", "mirror.test");
    with_etc(&[("hosts", "127.0.0.1 mirror.test\n")], || {
        assert!(!fetch(&url, Duration::from_secs(20)).unwrap().from_cache);
    });
}

#[test]
fn a_name_without_an_address_is_an_error_that_names_it() {
    let url = "http://a..b/a.rpm";
    fails(
        url,
        Duration::from_secs(20),
        "could not resolve host a..b: ",
    );
}

#[test]
fn a_silent_name_server_does_not_block_forever() {
    // 127.0.0.1 is not used, because another test may have a name server there.
    let Ok(silent) = UdpSocket::bind("127.53.0.1:53") else {
        say("ignored: needs root of the machine, to listen on port 53");
        return;
    };
    let resolv_conf = "nameserver 127.53.0.1\noptions timeout:30 attempts:5\n";
    with_etc(&[("resolv.conf", resolv_conf)], || {
        let start = Instant::now();
        let url = "http://mirror.test/a.rpm";
        fails(
            url,
            Duration::from_secs(1),
            "could not resolve host mirror.test: timeout",
        );
        assert!(start.elapsed() < Duration::from_secs(10));
    });
    drop(silent);
}
