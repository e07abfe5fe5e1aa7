// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registries, good and hostile.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ostree_kernel::oci::ImageReference;
use ostree_kernel::site::image::{self, FoundImage, ImageOptions, OpenImage, RegistryOptions};
use ostree_kernel::sys::fetch::DownloadLimits;
use serde_json::json;
use tempfile::TempDir;

use super::make::{Packed, Tar, digest, documents, layout, of_tree};
use super::{judged, run};
use crate::bed::Bed;
use crate::kernels::OLD;
use crate::server::{Request, Server, answer, head};

/// The bytes of `usr/lib/os-release` in the image.
pub(super) const CONTENT: &[u8] = b"content";

/// An image of one layer, which is larger than the buffers of a socket.
#[derive(Clone)]
pub(super) struct Stored {
    config: Vec<u8>,
    manifest: Vec<u8>,
    pub(super) layer: Vec<u8>,
}

impl Stored {
    pub(super) fn new() -> Self {
        let filler: Vec<u8> = (0..600_000_u32)
            .flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let tar = Tar::new()
            .file("usr/lib/os-release", CONTENT)
            .file("usr/b", &filler)
            .done();
        let layer = Packed::Gzip.pack(&tar);
        let (config, manifest) = documents(std::slice::from_ref(&layer), &[digest(&tar)]);
        Self {
            config,
            manifest,
            layer,
        }
    }

    pub(super) fn blob(&self) -> String {
        format!("/v2/a/b/blobs/{}", digest(&self.layer))
    }

    /// Answers a request as a registry with this image does.
    fn answer(&self, request: &Request, stream: &mut TcpStream) {
        let path = request.path.as_str();
        if path == "/v2/a/b/manifests/c" || path.ends_with(&digest(&self.manifest)) {
            let headers = format!("Docker-Content-Digest: {}\r\n", digest(&self.manifest));
            return answer(stream, 200, &headers, &self.manifest);
        }
        for blob in [&self.config, &self.layer] {
            if path.ends_with(&digest(blob)) {
                let range = request
                    .header("range")
                    .and_then(|it| it.strip_prefix("bytes="));
                let start = range.and_then(|it| it.split('-').next()?.parse::<usize>().ok());
                return match start {
                    None => answer(stream, 200, "", blob),
                    Some(at) => {
                        let range = format!(
                            "Content-Range: bytes {at}-{}/{}\r\n",
                            blob.len() - 1,
                            blob.len()
                        );
                        answer(stream, 206, &range, &blob[at..]);
                    }
                };
            }
        }
        let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        answer(stream, 404, "", body);
    }
}

/// Starts a registry with the image `stored`. Each request goes to `special` first; if that returns `false`, it has
/// sent nothing, and the registry answers.
pub(super) fn serve(
    stored: &Stored,
    special: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> Server {
    let stored = stored.clone();
    Server::scripted(move |_, request, stream| {
        if !special(request, stream) {
            stored.answer(request, stream);
        }
    })
}

pub fn host(server: &Server) -> String {
    let url = server.url("");
    url["http://".len()..].trim_end_matches('/').to_owned()
}

pub(super) fn options(dir: &Path, auth: &str) -> ImageOptions {
    let authfile = dir.join("auth.json");
    fs_err::write(&authfile, auth).unwrap();
    ImageOptions {
        platform: None,
        registry: RegistryOptions {
            authfile: Some(authfile),
            limits: DownloadLimits {
                stall: Duration::from_secs(2),
                pauses: vec![Duration::from_millis(10); 3],
                size: 1 << 30,
            },
            ..RegistryOptions::default()
        },
    }
}

pub(super) fn open(server: &Server, version: &str, auth: &str) -> Result<OpenImage, String> {
    let dir = TempDir::with_prefix("ostree-kernel-registry-").unwrap();
    let reference = format!("docker://{}/a/b{version}", host(server));
    let reference: ImageReference = reference.parse().unwrap();
    let opened = image::open(&reference, &options(dir.path(), auth));
    opened.map_err(|error| format!("{error:#}"))
}

#[track_caller]
fn opens(server: &Server, version: &str, auth: &str) -> OpenImage {
    let opened = open(server, version, auth).unwrap();
    let read = opened.root.read("usr/lib/os-release", 100).unwrap();
    assert_eq!(read.as_deref(), Some(CONTENT));
    opened
}

/// Returns a credential file with a user and a password for this server.
pub(super) fn login(server: &Server) -> String {
    // The value is user:pass in Base64.
    json!({"auths": {host(server): {"auth": "dXNlcjpwYXNz"}}}).to_string()
}

pub(super) const BASIC: &str = "Basic dXNlcjpwYXNz";

#[test]
fn good_registries() {
    let stored = Stored::new();
    let whole = stored.config.len() + stored.manifest.len() + stored.layer.len();
    let plain = serve(&stored, |_, _| false);
    let opened = opens(&plain, ":c", "{}");
    let traffic = opened.traffic().unwrap();
    assert_eq!((traffic.bytes(), traffic.requests()), (whole as u64, 3));
    opens(&plain, &format!("@{}", digest(&stored.manifest)), "{}");

    // A broken connection is resumed, and a temporary error is retried.
    let blob = stored.blob();
    for ignores_ranges in [false, true] {
        let (count, path, layer) = (AtomicUsize::new(0), blob.clone(), stored.layer.clone());
        let server = serve(&stored, move |request, stream| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let is_blob = request.path == path;
            if number == 0 {
                answer(stream, 503, "Retry-After: 0\r\n", b"");
            } else if is_blob && request.header("range").is_none() {
                head(stream, 200, "", layer.len());
                let _ = stream.write_all(&layer[..layer.len() / 2]);
            } else if is_blob && ignores_ranges {
                answer(stream, 200, "", &layer);
            } else {
                return false;
            }
            true
        });
        opens(&server, ":c", "{}");
    }

    // The image is chosen by platform from an index, whose entries have docker's media type.
    let inner = digest(&stored.manifest);
    let of = |digest: &str, arch: &str| json!({"digest": digest, "size": stored.manifest.len(), "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "platform": {"os": "linux", "architecture": arch}});
    let host = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let index =
        json!({"schemaVersion": 2, "manifests": [of(&digest(b""), "mips"), of(&inner, host)]});
    let index = index.to_string().into_bytes();
    let server = serve(&stored, move |request, stream| {
        let is_index = request.path.ends_with("/list");
        if is_index {
            answer(stream, 200, "", &index);
        }
        is_index
    });
    opens(&server, ":list", "{}");
}

#[test]
fn tokens_passwords_and_redirects() {
    let stored = Stored::new();
    // A password is not sent to another server after a redirect.
    let storage = serve(&stored, |_, _| false);
    let to = storage.url("");
    let server = serve(&stored, move |request, stream| {
        if request.header("authorization") != Some(BASIC) {
            answer(stream, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b"");
        } else if request.path.contains("/blobs/") {
            let location = format!("Location: {}{}\r\n", to.trim_end_matches('/'), request.path);
            answer(stream, 307, &location, b"");
        } else {
            return false;
        }
        true
    });
    opens(&server, ":c", &login(&server));
    let leaked = storage.requests();
    assert_eq!(leaked.len(), 2);
    assert!(leaked.iter().all(|it| it.header("authorization").is_none()));

    // A token is requested, with a password for the token server and without one.
    for (auth, expected) in [(true, Some(BASIC)), (false, None)] {
        let tokens = Server::scripted(move |_, request, stream| {
            assert_eq!(request.header("authorization"), expected);
            assert_eq!(
                request.path,
                "/token?service=s%20t&scope=repository%3Aa%2Fb%3Apull"
            );
            answer(stream, 200, "", br#"{"token":"tok"}"#);
        });
        let realm = tokens.url("token");
        let server = serve(&stored, move |request, stream| {
            let is_in = request.header("authorization") == Some("Bearer tok");
            if !is_in {
                let challenge = format!(
                    "WWW-Authenticate: Bearer realm=\"{realm}\",service=\"s t\",scope=\"other\"\r\n"
                );
                answer(stream, 401, &challenge, b"");
            }
            !is_in
        });
        let auth = if auth {
            login(&server)
        } else {
            "{}".to_owned()
        };
        let opened = opens(&server, ":c", &auth);
        assert_eq!(opened.traffic().unwrap().requests(), 5);
        assert_eq!(tokens.requests().len(), 1);
    }

    // An identity token is exchanged for an access token.
    let tokens = Server::scripted(|_, request, stream| {
        assert_eq!(request.header("authorization"), None);
        answer(stream, 200, "", br#"{"access_token":"tok"}"#);
    });
    let realm = tokens.url("token");
    let server = serve(&stored, move |request, stream| {
        let is_in = request.header("authorization") == Some("Bearer tok");
        if !is_in {
            answer(
                stream,
                401,
                &format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"),
                b"",
            );
        }
        !is_in
    });
    let auth = json!({"auths": {host(&server): {"identitytoken": "id"}}}).to_string();
    opens(&server, ":c", &auth);
}

type Special = Box<dyn Fn(&Request, &mut TcpStream) -> bool + Send + Sync>;
type Reply = Box<dyn Fn(&Request, &mut TcpStream) + Send + Sync>;

/// Returns a function that answers every request with this response.
fn all(status: u16, headers: &'static str, body: &'static [u8]) -> Special {
    Box::new(move |_, stream| {
        answer(stream, status, headers, body);
        true
    })
}

/// Returns a function that answers requests for blobs with `special`, and no other request.
fn blobs(special: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Special {
    Box::new(move |request, stream| {
        let is_blob = request.path.contains("/blobs/");
        if is_blob {
            special(request, stream);
        }
        is_blob
    })
}

/// Returns a function that answers requests for a token with `token`, and every other request with a challenge for a
/// token of `realm`. If `realm` is empty, it is a URL of this server.
fn tokens(realm: &'static str, token: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Special {
    Box::new(move |request, stream| {
        if request.path.starts_with("/token") {
            token(stream);
        } else {
            let own = format!("http://{}/token", request.header("host").unwrap());
            let realm = if realm.is_empty() { &own } else { realm };
            answer(
                stream,
                401,
                &format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n"),
                b"",
            );
        }
        true
    })
}

/// Sends a body without an end.
fn endless(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    while stream.write_all(&[b' '; 65536]).is_ok() {}
}

/// Sends single bytes with pauses.
fn slow(stream: &mut TcpStream) {
    head(stream, 200, "", 1 << 20);
    while stream.write_all(b" ").is_ok() {
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn hostile_registries_are_clean_errors() {
    let stored = Stored::new();
    let (manifest, length) = (stored.manifest.clone(), stored.layer.len());
    let changed = {
        let mut layer = stored.layer.clone();
        *layer.last_mut().unwrap() ^= 1;
        layer
    };
    let layer_path = stored.blob();
    let of_layer = move |special: Reply| -> Special {
        let path = layer_path.clone();
        Box::new(move |request, stream| {
            let is_layer = request.path == path;
            if is_layer {
                special(request, stream);
            }
            is_layer
        })
    };
    let index = |entry: &str| format!(r#"{{"manifests":[{entry}]}}"#).into_bytes();
    let nested = index(&format!(
        r#"{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{}","size":0}}"#,
        digest(b"")
    ));
    let mips = index(&format!(
        r#"{{"digest":"{0}","size":1,"platform":{{"os":"linux","architecture":"mips"}}}},{{"digest":"{0}","size":1,"platform":{{"os":"linux","architecture":"sparc"}}}}"#,
        digest(b"")
    ));
    let cases: Vec<(&str, Special, &str)> = vec![
        ("html", all(200, "Content-Type: text/html\r\n", b"<!DOCTYPE html><title>Login</title>"), "an HTML page"),
        ("nothing", all(200, "", b""), "cannot be parsed"),
        ("endless manifest", Box::new(|_, stream| { endless(stream); true }), "the limit manifest_bytes of 4194304"),
        ("schema 1", all(200, "", br#"{"schemaVersion":1,"fsLayers":[]}"#), "schema 1"),
        ("large layers", all(200, "", br#"{"config":{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":99999999999},"layers":[]}"#), "manifest_bytes"),
        ("other digest", Box::new(move |_, stream| { answer(stream, 200, "Docker-Content-Digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n", &manifest); true }), "the header Docker-Content-Digest: its digest is"),
        ("no image", all(404, "", br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest\nunknown"}]}"#), "has no manifests c in the repository a/b (status 404): MANIFEST_UNKNOWN manifest\\nunknown"),
        ("forbidden", all(403, "", b"<html>"), "is denied (status 403)"),
        ("teapot", all(418, "", b""), "status 418"),
        ("down", all(503, "", b""), "giving up after 4 attempts: the server answered with status 503"),
        ("too many", all(429, "", br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#), "status 429: TOOMANYREQUESTS slow down"),
        ("no challenge", all(401, "", b""), "neither for a token nor for a password"),
        ("negotiate", all(401, "WWW-Authenticate: Negotiate\r\n", b""), "neither for a token nor for a password"),
        ("password", all(401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b""), "podman login 127.0.0.1"),
        ("token loop", tokens("", |stream| answer(stream, 200, "", br#"{"token":"x"}"#)), "refuses the token or the password"),
        ("realm of a file", tokens("file:///etc/passwd", |_| {}), "file:///etc/passwd, which is not an http or https URL"),
        ("html token", tokens("", |stream| answer(stream, 200, "", b"<html>")), "the response is not JSON"),
        ("no token", tokens("", |stream| answer(stream, 200, "", b"{}")), "sent no valid token"),
        ("token with a header", tokens("", |stream| answer(stream, 200, "", br#"{"token":"x\r\nHost: y"}"#)), "sent no valid token"),
        ("endless token", tokens("", endless), "the limit token_bytes of 262144"),
        ("no access", tokens("", |stream| answer(stream, 403, "", b"")), "the token server refuses access without credentials"),
        ("token server down", tokens("", |stream| answer(stream, 500, "", b"")), "asking http://127.0.0.1"),
        ("redirect to itself", Box::new(|request, stream| { answer(stream, 302, &format!("Location: {}\r\n", request.path), b""); true }), "more than 10 redirects"),
        ("redirect to a file", blobs(|_, stream| answer(stream, 302, "Location: file:///etc/passwd\r\n", b"")), "only http and https are followed"),
        ("redirect to data", blobs(|_, stream| answer(stream, 302, "Location: data:,x\r\n", b"")), "only http and https are followed"),
        ("redirect to nowhere", blobs(|_, stream| answer(stream, 307, "", b"")), "a redirect without a Location header"),
        ("silent", Box::new(|_, _| { std::thread::sleep(Duration::from_secs(4)); true }), "does not respond in time"),
        ("slow manifest", Box::new(|_, stream| { slow(stream); true }), "stalled for 2 s"),
        ("index of indexes", Box::new(move |request, stream| { let is_first = request.path.ends_with("/c"); answer(stream, 200, "", if is_first { &nested } else { b"" }); true }), "cannot be parsed"),
        ("no platform", Box::new(move |_, stream| { answer(stream, 200, "", &mips); true }), "only for linux/mips, linux/sparc"),
        ("html blob", blobs(|_, stream| answer(stream, 200, "", b"<html>")), "it has 6 bytes, expected "),
        ("no blob", blobs(|_, stream| answer(stream, 404, "", b"")), "(status 404)"),
        ("slow blob", of_layer(Box::new(move |_, stream| { head(stream, 200, "", length); while stream.write_all(b"x").is_ok() { std::thread::sleep(Duration::from_millis(200)); } })), "stalled for 2 s"),
        ("endless blob", of_layer(Box::new(|_, stream| endless(stream))), "its archive is damaged at byte 0"),
        ("changed blob", of_layer(Box::new(move |_, stream| answer(stream, 200, "", &changed))), "gzip"),
        ("truncated blob", of_layer(Box::new(move |_, stream| head(stream, 200, "", length))), "giving up after 4 attempts: the connection broke after 0 bytes"),
        ("other range", of_layer(Box::new(move |request, stream| {
            let headers = "Content-Range: bytes 7-8/9\r\n";
            if request.header("range").is_some() { answer(stream, 206, headers, b"xy"); } else { head(stream, 200, "", length); let _ = stream.write_all(&[0x1f, 0x8b]); }
        })), "another range of the blob"),
        ("range without a request", of_layer(Box::new(move |_, stream| answer(stream, 206, "Content-Range: bytes 0-1/9\r\n", b"xy"))), "another range of the blob"),
    ];
    assert!(cases.len() >= 20);
    std::thread::scope(|scope| {
        for (name, special, expected) in cases {
            let stored = &stored;
            scope.spawn(move || {
                let server = serve(stored, special);
                let error = open(&server, ":c", "{}").err();
                let error = error.unwrap_or_else(|| panic!("{name}: it was read"));
                assert!(error.contains(expected), "{name}: {error}");
                assert!(
                    error.starts_with("reading docker://127.0.0.1:"),
                    "{name}: {error}"
                );
                assert!(server.requests().len() < 60, "{name}");
            });
        }
    });
    // An image that is requested by its digest must have this digest.
    let server = serve(&stored, |_, _| false);
    let other = serve(&stored, all(200, "", b"{}"));
    let version = format!("@{}", digest(&stored.manifest));
    opens(&server, &version, "{}");
    let error = open(&other, &version, "{}").err().unwrap();
    assert!(error.contains("its digest is sha256:"), "{error}");
    let error = open(&server, ":c", "<html>").err().unwrap();
    assert!(error.contains("it is not a credential file"), "{error}");
}

/// A running registry of Debian's package docker-registry.
struct RealRegistry {
    child: Child,
    host: String,
    _dir: TempDir,
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl RealRegistry {
    /// Starts a registry, if the program is installed.
    fn start() -> Option<Self> {
        let program = which::which("docker-registry").ok()?;
        let dir = TempDir::with_prefix("ostree-kernel-registry-").unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {0}/data}}}}\nhttp: {{addr: \"127.0.0.1:{port}\"}}\n",
            dir.path().display()
        );
        let file = dir.path().join("config.yml");
        fs_err::write(&file, config).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a server for the tests")]
        let child = Command::new(program)
            .arg("serve")
            .arg(file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            child,
            host: format!("127.0.0.1:{port}"),
            _dir: dir,
        };
        for _ in 0..200 {
            if TcpStream::connect(&registry.host).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("docker-registry does not listen");
    }
}

/// A tag, and the layers of its image with their DiffIDs.
pub type Tagged<'t> = (&'t str, Vec<Vec<u8>>, Vec<String>);

/// Starts a registry with these images. Returns the server, and a list to which the path of every request for a blob is
/// added.
pub fn serve_images(images: &[Tagged]) -> (Server, Arc<Mutex<Vec<String>>>) {
    let mut files = BTreeMap::new();
    for (tag, layers, diff_ids) in images {
        let (config, manifest) = documents(layers, diff_ids);
        files.insert(format!("/v2/a/b/manifests/{tag}"), manifest);
        for blob in layers.iter().chain([&config]) {
            files.insert(format!("/v2/a/b/blobs/{}", digest(blob)), blob.clone());
        }
    }
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&asked);
    let server = Server::scripted(move |_, request, stream| {
        match files.get(&request.path) {
            Some(bytes) => answer(stream, 200, "", bytes),
            None => answer(stream, 404, "", b""),
        }
        if request.path.contains("/blobs/") {
            paths.lock().unwrap().push(request.path.clone());
        }
    });
    (server, asked)
}

#[test]
fn a_layer_of_several_images_is_fetched_once() {
    let bed = Bed::new();
    let (layers, diff_ids) = of_tree(&bed.root(), Packed::Gzip);
    let with = |tag: &'static str, top: Tar| {
        let tar = top.done();
        let layers = [layers.clone(), vec![Packed::Gzip.pack(&tar)]].concat();
        (tag, layers, [diff_ids.clone(), vec![digest(&tar)]].concat())
    };
    let dep = format!("usr/lib/modules/{}/.wh.modules.dep", OLD.kver);
    let images = [
        ("base", layers.clone(), diff_ids.clone()),
        with("same", Tar::new().file("usr/share/doc", b"x")),
        with("broken", Tar::new().file(&dep, b"")),
    ];
    let count = |asked: &Mutex<Vec<String>>| {
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let of = |layer: &Vec<u8>| {
            let digest = digest(layer);
            asked.iter().filter(|it| it.ends_with(&digest)).count()
        };
        layers.iter().map(of).collect::<Vec<_>>()
    };
    let (server, asked) = serve_images(&images);
    let names: Vec<_> = images
        .iter()
        .map(|(tag, ..)| format!("docker://{}/a/b:{tag}", host(&server)))
        .collect();
    let alone: Vec<_> = names
        .iter()
        .map(|name| judged(run(&bed, &["verify", "--format", "json", name]).json()))
        .collect();
    assert_eq!(alone[0]["outcome"], "passed");
    assert_eq!(alone[2]["outcome"], "rejected");
    assert_eq!(count(&asked), vec![3; layers.len()]);
    for jobs in ["1", "3"] {
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let args = ["verify", "--jobs", jobs, "--format", "json"];
        let ran = run(&bed, &[&args[..], &names].concat());
        ran.ends_with(4);
        let together = ran.json();
        let together = together["images"].as_array().unwrap();
        let together: Vec<_> = together.iter().cloned().map(judged).collect();
        assert_eq!(together, alone, "--jobs {jobs}");
        assert_eq!(count(&asked), vec![1; layers.len()], "--jobs {jobs}");
    }
}

#[test]
fn a_shared_layer_has_the_diff_id_of_each_image() {
    let tar = Tar::new().file("usr/lib/os-release", CONTENT).done();
    let layers = vec![Packed::Gzip.pack(&tar)];
    let images = [
        ("right", layers.clone(), vec![digest(&tar)]),
        ("wrong", layers, vec![digest(b"other")]),
    ];
    let (server, _) = serve_images(&images);
    let dir = TempDir::with_prefix("ostree-kernel-registry-").unwrap();
    let find = |tag: &str| {
        let reference = format!("docker://{}/a/b:{tag}", host(&server));
        FoundImage::of(&reference.parse().unwrap(), &options(dir.path(), "{}")).unwrap()
    };
    let found = [find("right"), find("wrong"), find("right")];
    let shared = FoundImage::shared(found.iter());
    let [first, wrong, last] = found.map(|it| it.read(&shared));
    let error = format!("{:#}", wrong.err().unwrap());
    assert!(error.contains("DiffID"), "{error}");
    for right in [first, last] {
        let read = right.unwrap().root.read("usr/lib/os-release", 100).unwrap();
        assert_eq!(read.as_deref(), Some(CONTENT));
    }
}

#[test]
fn a_real_registry() {
    let (Some(registry), Ok(skopeo)) = (RealRegistry::start(), which::which("skopeo")) else {
        eprintln!("ignored: needs docker-registry and skopeo");
        return;
    };
    let bed = Bed::new();
    let expected = bed.run(&["verify", "--format", "json"]).json();
    let (layers, diff_ids) = of_tree(&bed.root(), Packed::Gzip);
    let dir = bed.beside("pushed");
    layout(&dir, &layers, &diff_ids);
    for (tag, format) in [("oci", "oci"), ("docker", "v2s2")] {
        let image = format!("docker://{}/team/image:{tag}", registry.host);
        #[expect(clippy::disallowed_methods, reason = "another program makes the image")]
        let pushed = Command::new(&skopeo)
            .args([
                "copy",
                "--quiet",
                "--insecure-policy",
                "--dest-tls-verify=false",
                "--format",
                format,
            ])
            .arg(format!("oci:{}", dir.display()))
            .arg(&image)
            .status()
            .unwrap();
        assert!(pushed.success());
        let ran = run(&bed, &["verify", "--format", "json", &image]);
        assert_eq!(judged(ran.json()), expected, "{}", ran.stderr);
        let facts = &ran.json()["image"];
        let layers: usize = layers.iter().map(Vec::len).sum();
        assert!(
            facts["bytes_fetched"].as_u64().unwrap() >= layers as u64,
            "{facts}"
        );
        assert_eq!(facts["requests"], 5, "{facts}");
        ran.untouched().in_order(&[]);
    }
    let image = format!("docker://{}/team/image:none", registry.host);
    let ran = run(&bed, &["verify", &image]);
    ran.ends_with(1);
    assert!(
        ran.stderr
            .contains("has no manifests none in the repository team/image"),
        "{}",
        ran.stderr
    );
}
