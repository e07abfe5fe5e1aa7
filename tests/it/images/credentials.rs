// SPDX-License-Identifier: MIT OR Apache-2.0
//! Credential helpers, which a configuration file of podman or docker names.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::registry::{BASIC, Stored, host, serve};
use crate::bed::Bed;
use crate::ran::Ran;
use crate::server::{Server, answer};

/// The error after a successful download, since the image has no kernel.
const WAS_READ: &str = "no directory in usr/lib/modules";

const FOUND: &str = r#"echo '{"ServerURL":"x","Username":"user","Secret":"pass"}'"#;

const NOT_FOUND: &str = "echo credentials not found in native keychain; exit 1";

/// A registry, and a directory for credential helpers and configuration files.
struct Login {
    bed: Bed,
    bin: PathBuf,
    server: Server,
}

impl Login {
    /// Starts a registry that requires a password.
    fn new() -> Self {
        let server = serve(&Stored::new(), |request, stream| {
            let is_in = request.header("authorization") == Some(BASIC);
            if !is_in {
                answer(stream, 401, "WWW-Authenticate: Basic realm=\"x\"\r\n", b"");
            }
            !is_in
        });
        Self::of(server)
    }

    fn of(server: Server) -> Self {
        let bed = Bed::new();
        let bin = bed.beside("helpers");
        Self { bed, bin, server }
    }

    /// Writes the helper `docker-credential-NAME`, which records the registry of each request and then runs `script`.
    fn helper(&self, name: &str, script: &str) {
        let path = self.bin.join(format!("docker-credential-{name}"));
        let asked = self.asked_file(name);
        let text = format!(
            "#!/bin/sh\nread -r host\necho \"$1 $host\" >>{}\n{script}\n",
            asked.display()
        );
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn asked_file(&self, name: &str) -> PathBuf {
        self.bin.join(format!("{name}.asked"))
    }

    fn was_asked(&self, name: &str) -> bool {
        let asked = fs_err::read_to_string(self.asked_file(name)).unwrap_or_default();
        let line = format!("get {}\n", host(&self.server));
        assert!(asked.is_empty() || asked == line, "{name}: {asked}");
        !asked.is_empty()
    }

    fn config(&self, name: &str, config: &Value) -> PathBuf {
        let file = self.bin.join(name);
        fs_err::write(&file, config.to_string()).unwrap();
        file
    }

    fn verify(&self, options: &[&str], variables: &[(&str, &Path)]) -> Ran {
        let image = format!("docker://{}/a/b:c", host(&self.server));
        let mut args = vec!["verify".to_owned(), image];
        args.extend(options.iter().map(|it| (*it).to_owned()));
        self.bed.run_exactly(&args, |command| {
            command.env("PATH", format!("{}:/usr/bin:/bin", self.bin.display()));
            command.env("HOME", &self.bin).env_remove("DOCKER_CONFIG");
            command.envs(variables.iter().copied());
        })
    }

    /// Verifies the image with a credential file that names the helper `it` for the registry. The helper runs `script`.
    fn verify_with(&self, script: &str) -> Ran {
        self.helper("it", script);
        let config = json!({"credHelpers": {host(&self.server): "it"}});
        let file = self.config("auth.json", &config);
        self.verify(&["--authfile", file.to_str().unwrap()], &[])
    }
}

#[test]
fn a_credential_helper_is_asked_if_the_registry_asks() {
    let login = Login::new();
    login.verify_with(FOUND).ends_with(1).complains(&[WAS_READ]);
    assert!(login.was_asked("it"));
    // For a public image no helper is started; this one would fail.
    let public = Login::of(serve(&Stored::new(), |_, _| false));
    public
        .verify_with("exit 1")
        .ends_with(1)
        .complains(&[WAS_READ]);
    assert!(!public.was_asked("it"));
}

#[test]
fn places_are_searched_in_the_documented_order() {
    let right = json!({"auth": "dXNlcjpwYXNz"});
    let wrong = json!({"auth": "dXNlcjp3cm9uZw=="});
    let none = json!({});
    // Podman's order: the registry's helper (`credHelpers`), the entry in `auths`, and the helper in `credsStore`. Each
    // row has the entry, the scripts of the two helpers, and the helpers that are run.
    for (entry, own, store, ran) in [
        (&wrong, FOUND, "exit 1", "it"),
        (&right, NOT_FOUND, "exit 1", "it"),
        (&none, NOT_FOUND, FOUND, "it store"),
        (&right, "", "exit 1", ""),
        (&none, "", FOUND, "store"),
    ] {
        let login = Login::new();
        let name = host(&login.server);
        let mut config = json!({"auths": {&name: entry}, "credsStore": "store"});
        if !own.is_empty() {
            login.helper("it", own);
            config["credHelpers"] = json!({&name: "it"});
        }
        login.helper("store", store);
        login.config("config.json", &config);
        login
            .verify(&[], &[("DOCKER_CONFIG", &login.bin)])
            .ends_with(1)
            .complains(&[WAS_READ]);
        let asked = ["it", "store"].map(|name| (name, login.was_asked(name)));
        let asked = asked.iter().filter(|(_, asked)| *asked).map(|it| it.0);
        assert_eq!(asked.collect::<Vec<_>>().join(" "), ran, "{config}");
    }
    // If registries.conf states an order, it is used instead of Podman's order.
    let login = Login::new();
    login.helper("first", NOT_FOUND);
    login.helper("second", FOUND);
    let conf = login.bin.join("registries.conf");
    let text = r#"credential-helpers = ["first", "containers-auth.json", "second"]"#;
    fs_err::write(&conf, text).unwrap();
    let file = login.config("auth.json", &json!({}));
    login
        .verify(
            &["--authfile", file.to_str().unwrap()],
            &[("CONTAINERS_REGISTRIES_CONF", &conf)],
        )
        .ends_with(1)
        .complains(&[WAS_READ]);
    assert!(login.was_asked("first") && login.was_asked("second"));
}

#[test]
fn an_identity_token_of_a_helper_is_exchanged() {
    let tokens = Server::scripted(|_, request, stream| {
        assert_eq!(request.header("authorization"), None);
        answer(stream, 200, "", br#"{"access_token":"tok"}"#);
    });
    let realm = tokens.url("token");
    let server = serve(&Stored::new(), move |request, stream| {
        let is_in = request.header("authorization") == Some("Bearer tok");
        if !is_in {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n");
            answer(stream, 401, &challenge, b"");
        }
        !is_in
    });
    let login = Login::of(server);
    login
        .verify_with(r#"echo '{"Username":"<token>","Secret":"id"}'"#)
        .ends_with(1)
        .complains(&[WAS_READ]);
    assert_eq!(tokens.requests().len(), 1);
}

#[test]
fn a_helper_that_fails_is_a_clear_error() {
    for (name, script, expected) in [
        (
            "not found",
            NOT_FOUND,
            &[
                "There are no credentials for 127.0.0.1:",
                "auth.json, docker-credential-it. Check the name, or type `podman login 127.0.0.1:",
            ][..],
        ),
        (
            "a reason",
            "echo the keychain is locked; exit 1",
            &[
                "docker-credential-it get: it exited with status 1: the keychain is locked. According to ",
                "To test it, type `echo 127.0.0.1:",
                " | docker-credential-it get`. To use a file instead, type `podman login",
                "add --authfile FILE",
            ],
        ),
        (
            "a reason on stderr",
            "echo no DBus >&2; exit 3",
            &["it exited with status 3: no DBus. "],
        ),
        (
            "a signal",
            "kill -9 $$",
            &["it was killed by signal 9 (SIGKILL): "],
        ),
        (
            "garbage",
            "echo pass",
            &["the response is not JSON with Username and Secret. "],
        ),
        (
            "nothing",
            "",
            &["the response is not JSON with Username and Secret. "],
        ),
        (
            "no secret",
            r#"echo '{"Username":"u","Secret":""}'"#,
            &["the response has an empty Username or Secret. "],
        ),
        (
            "endless",
            "exec yes",
            &["it printed more than 262144 bytes"],
        ),
        (
            "wrong",
            r#"echo '{"Username":"user","Secret":"other"}'"#,
            &["The credentials are from docker-credential-it ("],
        ),
    ] {
        let login = Login::new();
        let ran = login.verify_with(script);
        ran.ends_with(1).complains(expected);
        ran.require(
            !ran.stderr
                .contains("not JSON with Username and Secret. pass"),
            name,
        );
    }
    let login = Login::new();
    let name = host(&login.server);
    for (helper, expected) in [
        ("absent", "docker-credential-absent get: it is not in PATH"),
        (
            "../absent",
            "auth.json: the name of the credential helper \"../absent\" is invalid",
        ),
    ] {
        let file = login.config("auth.json", &json!({"credHelpers": {&name: helper}}));
        login
            .verify(&["--authfile", file.to_str().unwrap()], &[])
            .ends_with(1)
            .complains(&[expected]);
    }
}
