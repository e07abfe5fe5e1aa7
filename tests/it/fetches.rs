// SPDX-License-Identifier: MIT OR Apache-2.0
//! Downloads from slow, broken and hostile servers, and the cache of downloads.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use ostree_kernel::sys::fetch::{self, DownloadLimits, Fetcher};
use ostree_kernel::sys::root::Root;
use tempfile::TempDir;

use crate::server::{Request, Server, answer, head};

/// Returns the bytes that the servers offer: more than the buffers of a socket can hold.
fn content() -> Vec<u8> {
    static CONTENT: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..700_000_u32).flat_map(u32::to_le_bytes).collect());
    CONTENT.clone()
}

/// A directory for a cache, and the timeout of a stalled server.
struct Downloads {
    dir: TempDir,
    stall: Duration,
}

impl Downloads {
    fn new() -> Self {
        Self::with_stall(Duration::from_secs(20))
    }

    fn with_stall(stall: Duration) -> Self {
        let dir = TempDir::with_prefix("ostree-kernel-fetch-").unwrap();
        fs_err::create_dir(dir.path().join("root")).unwrap();
        Self { dir, stall }
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn fetcher(&self) -> Fetcher {
        let limits = DownloadLimits {
            stall: self.stall,
            pauses: vec![Duration::from_millis(20); 4],
            size: 4_000_000,
        };
        let root = Root::open(&self.dir.path().join("root")).unwrap();
        Fetcher::new(&self.cache(), &root, "run/private", limits).unwrap()
    }

    /// Downloads `a.rpm`. Returns the bytes, and whether they came from the cache.
    fn fetch(&self, server: &Server) -> anyhow::Result<(Vec<u8>, bool)> {
        let mut fetched = self.fetcher().fetch(&server.url("a.rpm"), None, false)?;
        let mut bytes = Vec::new();
        fetched.file.read_to_end(&mut bytes)?;
        Ok((bytes, fetched.from_cache))
    }

    #[track_caller]
    fn gets(&self, server: &Server, expected: &[u8], from_cache: bool) {
        let (bytes, cached) = self.fetch(server).unwrap();
        assert!(bytes == expected, "{} bytes", bytes.len());
        assert_eq!(cached, from_cache);
        let names = self.names();
        assert!(
            !names.iter().any(|name| name.ends_with(".part")),
            "{names:?}"
        );
    }

    #[track_caller]
    fn fails(&self, server: &Server, says: &[&str], requests: usize) {
        let error = format!("{:#}", self.fetch(server).unwrap_err());
        for text in says {
            assert!(error.contains(text), "{error}");
        }
        assert_eq!(server.requests().len(), requests, "{error}");
        assert_eq!(self.names(), [""; 0], "{error}");
    }

    /// Returns the names in the cache.
    fn names(&self) -> Vec<String> {
        let entries = fs_err::read_dir(self.cache()).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

/// Sends the first half of the content, then closes the connection.
fn cut(stream: &mut TcpStream, headers: &str) {
    let content = content();
    head(stream, 200, headers, content.len());
    let _ = stream.write_all(&content[..content.len() / 2]);
}

fn range_start(request: &Request) -> Option<usize> {
    let range = request.header("range")?.strip_prefix("bytes=")?;
    range.strip_suffix('-')?.parse().ok()
}

/// Sends the content from the start of the requested range to the end.
fn rest(stream: &mut TcpStream, request: &Request) {
    let (content, start) = (content(), range_start(request).unwrap());
    let (last, all) = (content.len() - 1, content.len());
    let headers = format!("Content-Range: bytes {start}-{last}/{all}\r\n");
    answer(stream, 206, &headers, &content[start..]);
}

#[test]
fn temporary_errors_are_retried() {
    let server = Server::scripted(|number, _, stream| match number {
        0 => answer(stream, 503, "Retry-After: 0\r\n", b"later"),
        1 => answer(stream, 429, "", b"slower"),
        2 => {}
        _ => answer(stream, 200, "", &content()),
    });
    Downloads::new().gets(&server, &content(), false);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn permanent_errors_are_not_retried() {
    let server = Server::scripted(|_, _, stream| answer(stream, 404, "", b""));
    Downloads::new().fails(&server, &["status 404"], 1);
    let server = Server::scripted(|_, _, stream| answer(stream, 500, "", b""));
    Downloads::new().fails(&server, &["giving up after 5 attempts", "status 500"], 5);
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    for validator in [
        "ETag: \"one\"\r\n",
        "Last-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\n",
    ] {
        let server = Server::scripted(move |number, request, stream| match number {
            0 => cut(stream, validator),
            _ => rest(stream, request),
        });
        Downloads::new().gets(&server, &content(), false);
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(range_start(&requests[1]), Some(content().len() / 2));
        let value = validator.split_once(": ").unwrap().1.trim_end();
        assert_eq!(requests[1].header("if-range"), Some(value));
    }
}

#[test]
fn a_download_that_cannot_go_on_starts_over() {
    // The server ignores the range, or the file has changed.
    let server = Server::scripted(|number, _, stream| match number {
        0 => cut(stream, "ETag: \"one\"\r\n"),
        _ => answer(stream, 200, "ETag: \"two\"\r\n", b"two"),
    });
    Downloads::new().gets(&server, b"two", false);
    // The server sends another range than the requested one.
    let server = Server::scripted(|number, _, stream| match number {
        0 => cut(stream, "ETag: \"one\"\r\n"),
        1 => answer(stream, 206, "Content-Range: bytes 7-9/10\r\n", b"789"),
        _ => answer(stream, 200, "", &content()),
    });
    Downloads::new().gets(&server, &content(), false);
    let server = Server::scripted(|number, _, stream| match number {
        0 => cut(stream, "ETag: \"one\"\r\n"),
        1 => answer(stream, 416, "", b""),
        _ => answer(stream, 200, "", &content()),
    });
    Downloads::new().gets(&server, &content(), false);
    // No header proves that the bytes are unchanged.
    for headers in ["", "ETag: W/\"weak\"\r\n"] {
        let server = Server::scripted(move |number, _, stream| match number {
            0 => cut(stream, headers),
            _ => answer(stream, 200, "", &content()),
        });
        Downloads::new().gets(&server, &content(), false);
        assert_eq!(range_start(&server.requests()[1]), None);
    }
}

#[test]
fn redirects_stay_in_http() {
    let server = Server::scripted(|_, request, stream| match request.path.as_str() {
        "/a.rpm" => answer(stream, 302, "Location: /there/b.rpm\r\n", b""),
        "/there/b.rpm" => answer(stream, 307, "Location: c.rpm\r\n", b""),
        "/there/c.rpm" => answer(stream, 200, "", b"bytes"),
        path => panic!("{path}"),
    });
    Downloads::new().gets(&server, b"bytes", false);
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"] {
        let headers = format!("Location: {to}\r\n");
        let server = Server::scripted(move |_, _, stream| answer(stream, 302, &headers, b""));
        let says = format!("redirects to {to}; only http and https are followed");
        Downloads::new().fails(&server, &[&says], 1);
    }
    let server = Server::scripted(|_, _, stream| answer(stream, 302, "Location: /\r\n", b""));
    Downloads::new().fails(&server, &["more than 10 redirects"], 11);
    let server = Server::scripted(|_, _, stream| answer(stream, 302, "", b""));
    Downloads::new().fails(&server, &["a redirect without a Location header"], 1);
}

#[test]
fn a_stalled_download_fails() {
    let place = || Downloads::with_stall(Duration::from_millis(300));
    // No response, half a response, and single bytes with pauses.
    let silent = Server::scripted(|_, _, _| std::thread::sleep(Duration::from_secs(20)));
    place().fails(&silent, &["does not respond in time"], 5);
    let half = Server::scripted(|_, _, stream| {
        head(stream, 200, "", 1_000_000);
        let _ = stream.write_all(b"half");
        std::thread::sleep(Duration::from_secs(20));
    });
    place().fails(&half, &["the download has stalled for 0.3 s"], 5);
    let trickle = Server::scripted(|_, _, stream| {
        head(stream, 200, "ETag: \"one\"\r\n", 1_000_000);
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    place().fails(&trickle, &["the download has stalled for 0.3 s"], 5);
}

#[test]
fn an_endless_download_fails() {
    let endless = Server::scripted(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[0; 65536]).is_ok() {}
    });
    let says = "larger than 3.8 MiB, the limit of --max-size";
    Downloads::new().fails(&endless, &[says], 1);
    let huge = Server::scripted(|_, _, stream| head(stream, 200, "", 5_000_000));
    Downloads::new().fails(&huge, &[says], 1);
}

#[test]
fn the_cache_notices_a_changed_file() {
    for (validator, question) in [
        ("ETag", "if-none-match"),
        ("Last-Modified", "if-modified-since"),
    ] {
        // At the third request the file has changed.
        let server = Server::scripted(move |number, request, stream| {
            let (now, body) = match number {
                0 | 1 => ("\"one\"", content()),
                _ => ("\"two\"", b"two".to_vec()),
            };
            let headers = format!("{validator}: {now}\r\n");
            if request.header(question) == Some(now) {
                answer(stream, 304, &headers, b"");
            } else {
                answer(stream, 200, &headers, &body);
            }
        });
        let place = Downloads::new();
        place.gets(&server, &content(), false);
        place.gets(&server, &content(), true);
        place.gets(&server, b"two", false);
        place.gets(&server, b"two", true);
        assert_eq!(server.requests().len(), 4);
        assert_eq!(
            place.names().len(),
            3,
            "the old file stays until the run is accepted"
        );
        let strangers = ["film.mkv.part", "x.json"].map(|name| place.cache().join(name));
        for path in &strangers {
            fs_err::write(path, "").unwrap();
        }
        let dir = place.cache().join(format!("{}.0.part", "0".repeat(64)));
        fs_err::create_dir(&dir).unwrap();
        for path in strangers.iter().chain([&dir]) {
            let file = fs_err::File::open(path).unwrap().into_file();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        fetch::tidy(&place.cache()).unwrap();
        assert!(strangers.iter().chain([&dir]).all(|path| path.exists()));
        assert_eq!(place.names().len(), 5, "the old file is gone, and no other");
        fs_err::remove_dir(&dir).unwrap();
        fs_err::remove_file(&strangers[0]).unwrap();
        place.gets(&server, b"two", true);
        assert_eq!(server.requests().len(), 5);
    }
    // Without a validator the file is downloaded again.
    let server = Server::scripted(|_, _, stream| answer(stream, 200, "", b"one"));
    let place = Downloads::new();
    place.gets(&server, b"one", false);
    place.gets(&server, b"one", false);
}

#[test]
fn a_pinned_file_is_taken_without_asking() {
    let server = Server::scripted(|_, _, stream| answer(stream, 200, "", b"one"));
    let place = Downloads::new();
    let url = server.url("a.rpm");
    let first = place.fetcher().fetch(&url, None, false).unwrap();
    let again = place.fetcher().fetch(&url, Some(&first.sha256), false);
    assert!(again.unwrap().from_cache);
    assert_eq!(server.requests().len(), 1);
    // With another digest than that of the cached file, the cache is not used, and the request has no condition.
    let other = "0".repeat(64);
    let fetched = place.fetcher().fetch(&url, Some(&other), false).unwrap();
    assert!(!fetched.from_cache);
    assert_eq!(server.requests()[1].header("if-none-match"), None);
}

#[test]
fn builds_share_a_cache_at_once() {
    let server =
        Server::scripted(|_, _, stream| answer(stream, 200, "ETag: \"x\"\r\n", &content()));
    let place = Downloads::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(place.fetch(&server).unwrap().0 == content()));
        }
    });
    assert_eq!(place.names().len(), 2, "one file and its note");
}

#[test]
fn without_a_directory_that_can_be_written_it_works() {
    let server = Server::scripted(|_, _, stream| answer(stream, 200, "", b"one"));
    let place = Downloads::new();
    fs_err::write(place.cache(), "a file is in the way").unwrap();
    assert_eq!(place.fetch(&server).unwrap(), (b"one".to_vec(), false));
    assert!(place.dir.path().join("root/run/private").is_dir());
}

#[test]
fn links_in_the_cache_are_not_followed() {
    let server = Server::scripted(|_, _, stream| answer(stream, 200, "", b"one"));
    let place = Downloads::new();
    place.gets(&server, b"one", false);
    let secret = place.dir.path().join("secret");
    fs_err::write(&secret, "secret").unwrap();
    for name in place.names() {
        let path = place.cache().join(name);
        fs_err::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
    }
    place.gets(&server, b"one", false);
    assert_eq!(fs_err::read(&secret).unwrap(), b"secret");
}
