// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registries over TLS and through proxies. `tls/make.sh` has created the certificates.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::registry::{Stored, host, serve};
use crate::bed::Bed;
use crate::ran::Ran;
use crate::server::Server;

/// The error after a successful download, since the image has no kernel.
const WAS_READ: &str = "no directory in usr/lib/modules";

const UNTRUSTED: &str =
    "the certificate of the server is not trusted: it is issued by an unknown authority";

fn file(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/images/tls");
    dir.join(name)
}

fn chain(name: &str) -> Vec<CertificateDer<'static>> {
    let found = CertificateDer::pem_file_iter(file(name)).unwrap();
    found.map(Result::unwrap).collect()
}

/// Starts a TLS server that forwards requests to `to` over plain HTTP. With `asks_client`, it requires a client
/// certificate. Returns the port of the TLS server.
fn over_tls(to: &Server, asks_client: bool) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if asks_client {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(chain("ca.crt"));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = builder.with_single_cert(chain("server.crt"), key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = host(to);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, to) = (Arc::clone(&config), to.clone());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                let mut tls = StreamOwned::new(connection, stream.unwrap());
                let _ = pass(&mut tls, &to);
                tls.conn.send_close_notify();
                let _ = tls.flush();
            });
        }
    });
    port
}

/// Forwards one request to the server `to`, and the response back.
fn pass(tls: &mut (impl Read + Write), to: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut server = TcpStream::connect(to)?;
    server.write_all(&head)?;
    std::io::copy(&mut server, tls)?;
    Ok(())
}

/// The heads of the requests that a proxy has received.
type Heads = Arc<Mutex<Vec<String>>>;

/// Starts a proxy that connects every tunnel to the port `to` of this machine, or refuses CONNECT if `to` is `None`.
/// Returns the proxy's port, and the heads of the requests to it.
fn proxy(to: Option<u16>) -> (u16, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Heads::default();
    let noted = Arc::clone(&heads);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let noted = Arc::clone(&noted);
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let lines = lines.map_while(Result::ok);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                noted.lock().unwrap().push(head.join("\n"));
                let Some(to) = to else {
                    let _ = stream.write_all(b"HTTP/1.1 403 Filtered\r\n\r\n");
                    return;
                };
                let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 Established\r\n\r\n");
                let (mut up, mut down) = (stream.try_clone().unwrap(), server.try_clone().unwrap());
                let mut server = server;
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut up, &mut server);
                    let _ = server.shutdown(std::net::Shutdown::Write);
                });
                let _ = std::io::copy(&mut down, &mut stream);
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    (port, heads)
}

fn verify(bed: &Bed, registry: &str, options: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut args = vec!["verify".to_owned(), format!("docker://{registry}/a/b:c")];
    args.extend(options.iter().map(|it| (*it).to_owned()));
    bed.run_exactly(&args, |command| {
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command.env("HOME", bed.beside("home"));
        command.envs(variables.iter().copied());
    })
}

/// Creates a directory for `--cert-dir` with copies of `files` (name, and name of the copy), and returns its path.
fn certificates(bed: &Bed, name: &str, files: &[(&str, &str)]) -> String {
    let dir = bed.beside(name);
    for (from, to) in files {
        fs_err::copy(file(from), dir.join(to)).unwrap();
    }
    dir.display().to_string()
}

#[test]
fn a_server_is_trusted_by_its_authority() {
    let bed = Bed::new();
    let server = serve(&Stored::new(), |_, _| false);
    let registry = format!("127.0.0.1:{}", over_tls(&server, false));
    let advice = format!(
        "put the certificate of the authority into /etc/containers/certs.d/{registry}/ca.crt, or add --cert-dir DIR; --tls-verify=false accepts any certificate"
    );
    let empty = certificates(&bed, "empty", &[]);
    for options in [&[][..], &["--cert-dir", &empty]] {
        let ran = verify(&bed, &registry, options, &[]);
        ran.ends_with(1).complains(&[UNTRUSTED, &advice]);
        assert!(!ran.stderr.contains("attempts"), "{}", ran.stderr);
    }
    assert_eq!(
        server.requests().len(),
        0,
        "nothing was sent, not even over http"
    );
    let with = certificates(&bed, "with", &[("ca.crt", "own.crt")]);
    for options in [&["--cert-dir", &*with][..], &["--tls-verify=false"]] {
        let ran = verify(&bed, &registry, options, &[]);
        ran.ends_with(1).complains(&[WAS_READ]);
    }
    let config = bed.beside("config");
    let dir = config.join("containers/certs.d").join(&registry);
    fs_err::create_dir_all(&dir).unwrap();
    fs_err::copy(file("ca.crt"), dir.join("ca.crt")).unwrap();
    let config = [("XDG_CONFIG_HOME", config.to_str().unwrap())];
    let ran = verify(&bed, &registry, &[], &config);
    ran.ends_with(1).complains(&[WAS_READ]);
    fs_err::write(dir.join("ca.crt"), "no certificate").unwrap();
    let ran = verify(&bed, &registry, &[], &config);
    ran.ends_with(1).complains(&[
        "reading certificates of authorities",
        "no certificate in PEM format found",
    ]);
}

#[test]
fn a_server_asks_for_the_client_s_certificate() {
    let bed = Bed::new();
    let server = serve(&Stored::new(), |_, _| false);
    let registry = format!("127.0.0.1:{}", over_tls(&server, true));
    let ca = ("ca.crt", "ca.crt");
    for (name, files, expected) in [
        (
            "none",
            &[ca][..],
            "the server requires a client certificate that it trusts (CertificateRequired). Put the client's certificate",
        ),
        (
            "right",
            &[ca, ("client.crt", "it.cert"), ("client.key", "it.key")],
            WAS_READ,
        ),
        (
            "no-key",
            &[ca, ("client.crt", "it.cert")],
            "it.cert has no key: ",
        ),
        (
            "other-key",
            &[ca, ("client.crt", "it.cert"), ("server.key", "it.key")],
            "the client's certificate and its key: checking that the key belongs to the certificate",
        ),
        (
            "no-pem",
            &[ca, ("client.crt", "it.cert"), ("make.sh", "it.key")],
            "no private key in PEM format found",
        ),
    ] {
        let dir = certificates(&bed, name, files);
        let ran = verify(&bed, &registry, &["--cert-dir", &dir], &[]);
        ran.ends_with(1).complains(&[expected]);
    }
}

#[test]
fn registries_are_reached_through_proxies() {
    let bed = Bed::new();
    let server = serve(&Stored::new(), |_, _| false);
    let secure = over_tls(&server, false);
    let dir = certificates(&bed, "with", &[("ca.crt", "ca.crt")]);
    let options = ["--cert-dir", &*dir];
    let (port, heads) = proxy(Some(secure));
    let through = format!("http://user:word@127.0.0.1:{port}");
    // The name does not exist, so the request can only have gone through the proxy.
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        heads.lock().unwrap().clear();
        let ran = verify(&bed, "registry.invalid:5000", &options, &[(name, &through)]);
        ran.ends_with(1).complains(&[WAS_READ]);
        let heads = heads.lock().unwrap();
        let is_tunnel = |head: &String| {
            head.starts_with("CONNECT registry.invalid:5000 ")
                && head
                    .to_lowercase()
                    .contains("proxy-authorization: basic dxnlcjp3b3jk")
        };
        assert!(
            !heads.is_empty() && heads.iter().all(is_tunnel),
            "{heads:?}"
        );
    }
    // Certificates are verified through a proxy, too.
    let ran = verify(
        &bed,
        "other.invalid",
        &options,
        &[("HTTPS_PROXY", &through)],
    );
    ran.ends_with(1).complains(&[
        "the certificate of the server is not trusted",
        "other.invalid",
    ]);
    // Requests over plain HTTP use http_proxy, also those to this machine.
    let (port, plain_heads) = proxy(Some(
        host(&server).rsplit(':').next().unwrap().parse().unwrap(),
    ));
    let plain = format!("127.0.0.1:{port}");
    let ran = verify(&bed, &host(&server), &[], &[("http_proxy", &plain)]);
    ran.ends_with(1).complains(&[WAS_READ]);
    assert!(!plain_heads.lock().unwrap().is_empty());
    // Hosts in NO_PROXY are reached directly.
    heads.lock().unwrap().clear();
    let ran = verify(
        &bed,
        &format!("127.0.0.1:{secure}"),
        &options,
        &[("HTTPS_PROXY", &through), ("NO_PROXY", "a.org,127.0.0.0/8")],
    );
    ran.ends_with(1).complains(&[WAS_READ]);
    assert!(heads.lock().unwrap().is_empty());
    // It is an error if the proxy refuses CONNECT, or is of a kind that is not supported.
    let (refusing, _) = proxy(None);
    let ran = verify(
        &bed,
        &format!("127.0.0.1:{secure}"),
        &options,
        &[("HTTPS_PROXY", &format!("http://127.0.0.1:{refusing}"))],
    );
    ran.ends_with(1).complains(&["the proxy refused CONNECT"]);
    for (proxy, expected) in [
        (
            format!("http://127.0.0.1:{refusing}"),
            "the proxy refused CONNECT",
        ),
        (
            "socks4://127.0.0.1:1".to_owned(),
            "cannot be used; expected http://HOST:PORT",
        ),
    ] {
        let ran = verify(
            &bed,
            "registry.invalid:5000",
            &options,
            &[("HTTPS_PROXY", &proxy)],
        );
        ran.ends_with(1).complains(&[expected]);
    }
}
