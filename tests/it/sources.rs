// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sources of packages: signatures, keys, pins, directories, repositories, proxies, and the cache of downloads.

use std::io::Write;
use std::net::TcpStream;
use std::time::SystemTime;

use crate::bed::Bed;
use crate::kernels::NEW;
use crate::keys::Key;
use crate::server::{Request, Server};

/// Writes the packages of NEW into the directory of RPMs, signed with this key.
fn sign(bed: &Bed, key: &Key) {
    for package in NEW.packages() {
        fs_err::write(bed.rpm(&package), key.rpm(&package)).unwrap();
    }
}

#[test]
fn a_key_of_the_image_or_of_the_user_makes_a_signature_good() {
    let key = Key::new();
    let bed = Bed::new();
    sign(&bed, &key);
    let refused = bed.run(&["replace", &bed.source()]);
    refused.ends_with(3).untouched().complains(&[
        &format!("is signed with the key {}", key.fingerprint()),
        "--gpg-key FILE",
    ]);
    let file = bed.beside("keys").join("key.asc");
    fs_err::write(&file, key.public()).unwrap();
    let file = file.to_str().unwrap();
    let ran = bed.run(&[
        "replace",
        "--require-signature",
        "--gpg-key",
        file,
        &bed.source(),
    ]);
    ran.ends_with(0)
        .complains(&["4 packages, 4 with a good signature"]);
    for package in ran.report()["packages"].as_array().unwrap() {
        ran.require(
            package["signer"] == key.fingerprint(),
            "the report names the signer",
        );
    }
    let bed = Bed::new();
    sign(&bed, &key);
    bed.write("etc/pki/rpm-gpg/RPM-GPG-KEY-test", key.public());
    bed.run(&["replace", &bed.source()]).ends_with(0);
}

#[test]
fn a_key_file_without_a_key_is_refused() {
    let bed = Bed::new();
    let file = bed.beside("keys").join("key.asc");
    for (content, says) in [
        (Some("hello"), "expected public keys"),
        (None, "No such file"),
    ] {
        let _ = fs_err::remove_file(&file);
        if let Some(content) = content {
            fs_err::write(&file, content).unwrap();
        }
        let file = file.to_str().unwrap();
        let ran = bed.run(&["replace", "--gpg-key", file, &bed.source()]);
        ran.ends_with(3).untouched().complains(&[file, says]);
    }
}

/// Returns a server with the unsigned packages of NEW, and their URLs.
fn served() -> (Server, Vec<String>) {
    let files: Vec<_> = NEW
        .packages()
        .iter()
        .map(|it| (format!("/{}.rpm", it.nevra()), it.rpm()))
        .collect();
    let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
    let server = Server::start(200, "application/x-rpm", move |path| {
        let file = files.iter().find(|(name, _)| name == path);
        file.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    });
    let urls = names
        .iter()
        .map(|name| server.url(name.trim_start_matches('/')));
    let urls = urls.collect();
    (server, urls)
}

#[test]
fn the_command_line_in_a_refusal_works() {
    let bed = Bed::new();
    let (_server, urls) = served();
    let args: Vec<_> = ["replace".to_owned()].into_iter().chain(urls).collect();
    let refused = bed.run(&args);
    refused
        .ends_with(3)
        .untouched()
        .complains(&["kernel-core-6.9.4-200.fc40.x86_64", "trust on first use"]);
    let command = refused
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("  ostree-kernel "))
        .expect("the refusal has a command");
    // Only arguments with a pin are quoted.
    let words: Vec<_> = command
        .split(' ')
        .map(|word| word.trim_matches('\'').to_owned())
        .collect();
    let ran = bed.run_exactly(&words, |_| {});
    ran.ends_with(0).complains(&[
        "kernel-core-6.9.4-200.fc40.x86_64 is not signed; its sha256 is the one that was given",
    ]);
    let warnings = ran.report()["warnings"].as_array().unwrap().len();
    ran.require(warnings == 4, "the report keeps the warnings");
}

#[test]
fn pins_are_compared_with_the_bytes() {
    let bed = Bed::new();
    let zeros = "0".repeat(64);
    let core = bed.rpm(&NEW.packages()[1]);
    let core = core.to_str().unwrap();
    let ran = bed.run(&["replace", &bed.source(), &format!("{core}#sha256={zeros}")]);
    ran.ends_with(3).untouched().complains(&[
        &format!("{core}: its sha256 is "),
        &format!("expected {zeros}"),
    ]);
    let ran = bed.run(&["replace", &format!("{}#sha256={zeros}", bed.source())]);
    ran.ends_with(3)
        .untouched()
        .complains(&["a directory has no digest", "--sha256sums"]);
}

#[test]
fn a_file_of_sha256sum_pins_every_source() {
    use sha2::{Digest, Sha256};
    let bed = Bed::new();
    let line = |package: &crate::kernels::Pkg| {
        let digest = ostree_kernel::package::hex(&Sha256::digest(package.rpm()));
        format!("{digest} *somewhere/{}.rpm\n", package.nevra())
    };
    let lines: Vec<_> = NEW.packages().iter().map(line).collect();
    let file = bed.beside("sums").join("SHA256SUMS");
    let sums = file.to_str().unwrap().to_owned();
    let args = ["replace", "--sha256sums", &sums, &bed.source()];
    let (_server, urls) = served();

    fs_err::write(&file, lines[1..].concat()).unwrap();
    let ran = bed.run(&args);
    ran.ends_with(3)
        .untouched()
        .complains(&["has no line for kernel-6.9.4-200.fc40.x86_64.rpm"]);

    let swapped = lines[0].replace("/kernel-6", "/kernel-core-6");
    fs_err::write(&file, lines[..1].concat() + &lines[2..].concat() + &swapped).unwrap();
    let ran = bed.run(&args);
    ran.ends_with(3)
        .untouched()
        .complains(&["its sha256 is", "expected "]);

    fs_err::write(&file, lines.concat()).unwrap();
    let args = ["replace", "--sha256sums", &sums].map(str::to_owned);
    bed.run(&[&args, urls.as_slice()].concat()).ends_with(0);
}

#[test]
fn packages_that_are_not_needed_are_left_out_and_reported() {
    let bed = Bed::new();
    let core = &NEW.packages()[1];
    let also = |name: &str, provides: Vec<(String, String)>| {
        let package = crate::kernels::Pkg {
            name: name.into(),
            files: vec![],
            requires: vec![],
            provides,
            ..core.clone()
        };
        bed.rpm(&package);
        format!("not installing {name}-6.9.4-200.fc40.x86_64")
    };
    let said = [
        also(
            "kernel-devel",
            vec![("kernel-devel-uname-r".into(), NEW.kver.into())],
        ),
        also("kernel-headers", vec![]),
        also("kernel-debuginfo", vec![]),
    ];
    let said: Vec<_> = said.iter().map(String::as_str).collect();
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0).complains(&said);
    let left_out = ran.report()["left_out"].as_array().unwrap().len();
    ran.require(left_out == 3, "the report says so");
}

#[test]
fn naming_every_file_of_a_directory_is_naming_the_directory() {
    let bed = Bed::new();
    let core = &NEW.packages()[1];
    let part = |name: &str, module: Option<&str>| {
        let uname_r = vec![(format!("{name}-uname-r"), NEW.kver.to_owned())];
        let path = |module: &str| format!("/usr/lib/modules/{}/internal/{module}.ko", NEW.kver);
        let file = module.map(|it| (path(it), crate::image::module(NEW.kver, it)));
        bed.rpm(&crate::kernels::Pkg {
            name: name.into(),
            files: file.into_iter().collect(),
            requires: vec![("kernel-uname-r".into(), NEW.kver.into())],
            provides: uname_r,
            ..core.clone()
        });
    };
    part("kernel-devel", None);
    part("kernel-uki-virt", None);
    part("kernel-modules-internal", Some("test_bpf"));
    let files = fs_err::read_dir(bed.rpms()).unwrap();
    let mut args: Vec<_> = files
        .map(|it| it.unwrap().path().display().to_string())
        .collect();
    args.sort();
    let core = args
        .iter()
        .find(|it| it.contains("kernel-core"))
        .unwrap()
        .clone();
    args.insert(0, "replace".into());
    let ran = bed.run(&args);
    ran.ends_with(0).complains(&[
        "kernel-modules-internal-6.9.4-200.fc40.x86_64 is left out: the base has none of the modules in it (test_bpf)",
    ]);
    let report = ran.report();
    ran.require(
        report["packages"].as_array().unwrap().len() == 4
            && report["left_out"].as_array().unwrap().len() == 3,
        "four are taken",
    );
    // A package that is named in addition to its directory counts as requested, and is installed.
    let bed2 = Bed::new();
    let internal = core.replace("kernel-core", "kernel-modules-internal");
    let ran = bed2.run(&["replace", &internal, &bed.source()]);
    ran.require(
        ran.ran
            .iter()
            .any(|line| line.contains("kernel-modules-internal")),
        "it goes into the transaction",
    );
}

#[test]
fn a_damaged_file_in_the_cache_is_fetched_again() {
    let bed = Bed::new();
    let (server, urls) = served();
    let args = ["replace", "--dry-run", "--allow-unsigned"].map(str::to_owned);
    let args = [&args, urls.as_slice()].concat();
    bed.run(&args).ends_with(0).complains(&[
        "downloaded kernel-core-6.9.4-200.fc40.x86_64.rpm  ",
        "downloaded kernel-modules-6.9.4-200.fc40.x86_64.rpm  ",
    ]);
    for entry in fs_err::read_dir(bed.beside("cache")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none() {
            let mut bytes = fs_err::read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs_err::write(&path, bytes).unwrap();
        }
    }
    // The sources are pinned: undamaged files would be taken from the cache without a request.
    let ran = bed.run(&["replace", &bed.source()]);
    let packages = ran.report()["packages"].clone();
    let pinned: Vec<_> = NEW
        .packages()
        .iter()
        .zip(&urls)
        .map(|(package, url)| {
            let mut all = packages.as_array().unwrap().iter();
            let one = all.find(|it| it["nevra"] == package.nevra()).unwrap();
            format!("{url}#sha256={}", one["sha256"].as_str().unwrap())
        })
        .collect();
    let again = Bed::new();
    let cache = format!("--cache-dir={}", bed.beside("cache").display());
    let root = again.root().to_str().unwrap().to_owned();
    let args = ["replace".to_owned(), cache, "--root".to_owned(), root];
    let args = [&args, pinned.as_slice()].concat();
    let asked = server.requests().len();
    again.run_exactly(&args, |_| {}).ends_with(0);
    assert_eq!(server.requests().len(), asked + 4, "each was fetched again");
}

#[test]
fn pinned_files_in_the_cache_need_no_server() {
    let bed = Bed::new();
    let (server, urls) = served();
    let args = ["replace", "--dry-run"].map(str::to_owned);
    let refused = bed.run(&[&args, urls.as_slice()].concat());
    refused.ends_with(3);
    let pinned: Vec<_> = refused
        .stderr
        .split_whitespace()
        .map(|word| word.trim_matches('\''))
        .filter(|word| word.contains("#sha256="))
        .map(str::to_owned)
        .collect();
    assert_eq!(pinned.len(), 4);
    let asked = server.requests().len();
    let args = ["replace"].map(str::to_owned);
    let ran = bed.run(&[&args, pinned.as_slice()].concat());
    ran.ends_with(0)
        .complains(&["from the cache: kernel-core-6.9.4-200.fc40.x86_64.rpm (by its sha256)"]);
    assert_eq!(server.requests().len(), asked, "nobody was asked");
}

#[test]
fn quiet_prints_only_warnings() {
    let bed = Bed::new();
    let (_server, urls) = served();
    let args = ["replace", "-q", "--allow-unsigned"].map(str::to_owned);
    let ran = bed.run(&[&args, urls.as_slice()].concat());
    ran.ends_with(0);
    ran.require(
        ran.stderr.lines().all(|line| line.starts_with("warning: ")),
        "only warnings",
    );
}

/// Writes a repository for the stub of dnf: the packages of NEW and one other package, which dnf downloads with them.
/// All are signed by a key that the image has.
fn repository(bed: &Bed) {
    let key = Key::new();
    bed.write("etc/pki/rpm-gpg/RPM-GPG-KEY-test", key.public());
    let packages = NEW.packages();
    let firmware = crate::kernels::Pkg {
        name: "linux-firmware".into(),
        files: vec![],
        requires: vec![],
        provides: vec![],
        ..packages[0].clone()
    };
    for package in packages.iter().chain([&firmware]) {
        bed.write(
            &format!("stub/repo/{}.rpm", package.nevra()),
            key.rpm(package),
        );
    }
}

const DOWNLOAD: &str = "-y download --resolve --repo=updates-testing \
    --destdir=/run/ostree-kernel/downloads";

#[test]
fn packages_of_a_repository_are_downloaded_and_taken_as_files() {
    for (dnf, excludes) in [
        ("dnf", "--disableexcludes=all"),
        ("dnf5", "--setopt=disable_excludes=*"),
    ] {
        let bed = Bed::dnf(dnf);
        repository(&bed);
        let ran = bed.run(&["replace", "--from", "updates-testing", "kernel"]);
        ran.ends_with(0)
            .complains(&["not installing linux-firmware-6.9.4-200.fc40.x86_64"]);
        let order = ran.order();
        let download = format!("{dnf} {DOWNLOAD} {excludes} kernel");
        ran.require(order[0] == download, "downloaded first");
        let files = "/run/ostree-kernel/packages/kernel-6.9.4-200.fc40.x86_64.rpm";
        ran.require(order[1].contains(files), "and installed from our copies");
        let first = ran.report()["commands"][0].to_string().replace('\'', "");
        ran.require(
            first == format!("\"{download}\""),
            "the report has both commands",
        );
    }
}

#[test]
fn an_unsigned_repository_is_not_taken_unasked() {
    let bed = Bed::dnf("dnf");
    for package in NEW.packages() {
        bed.write(&format!("stub/repo/{}.rpm", package.nevra()), package.rpm());
    }
    let args = ["replace", "--from", "updates-testing", "kernel"];
    let ran = bed.run(&args);
    ran.ends_with(3)
        .untouched()
        .in_order(&["dnf -y download"])
        .complains(&["packages of the repository", "--sha256sums FILE"]);
    let ran = bed.run(&[&args[..], &["--allow-unsigned"]].concat());
    ran.ends_with(0);
}

#[test]
fn a_repository_that_cannot_be_had_is_a_refusal() {
    let bed = Bed::new();
    let args = ["replace", "--from", "updates-testing", "kernel"];
    let ran = bed.run(&args);
    ran.ends_with(3).untouched().in_order(&[]).complains(&[
        "there is neither dnf5 nor dnf in this image",
        "dnf download --repo=updates-testing",
    ]);
    let bed = Bed::dnf("dnf");
    bed.behave("dnf", "fail-download");
    let ran = bed.run(&args);
    ran.ends_with(3).untouched().complains(&[
        "downloading kernel from the repository updates-testing: dnf exited with status 1",
        "Unknown repo",
    ]);
    let pinned = format!("kernel#sha256={}", "0".repeat(64));
    let ran = bed.run(&["replace", "--from", "updates-testing", &pinned]);
    ran.ends_with(3)
        .untouched()
        .in_order(&[])
        .complains(&["give --sha256sums FILE"]);
}

#[test]
fn proxies_are_those_of_the_environment() {
    let bed = Bed::new();
    let (server, urls) = served();
    let tunnel = server.url("").replace("http://", "").replace('/', "");
    let proxy = Server::scripted(move |_, request, stream| {
        assert_eq!(request.path, "kernels.invalid:80", "CONNECT was expected");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let inner = Request::read(stream).unwrap();
        let mut server = TcpStream::connect(&tunnel).unwrap();
        write!(server, "GET {} HTTP/1.1\r\n\r\n", inner.path).unwrap();
        std::io::copy(&mut server, stream).unwrap();
    });
    let root = bed.root().to_str().unwrap().to_owned();
    let cache = |name: &str| format!("--cache-dir={}", bed.beside(name).display());
    let args = ["replace", "--dry-run", "--allow-unsigned", "--root", &root].map(str::to_owned);
    let through = urls.iter().map(|url| {
        let name = url.rsplit('/').next().unwrap();
        format!("http://kernels.invalid/{name}")
    });
    let through: Vec<_> = through.chain([cache("through")]).collect();
    let ran = bed.run_exactly(&[&args[..], &through].concat(), |command| {
        command.env("http_proxy", proxy.url(""));
    });
    ran.ends_with(0);
    assert_eq!(proxy.requests().len(), 4);
    let direct: Vec<_> = urls.into_iter().chain([cache("direct")]).collect();
    let ran = bed.run_exactly(&[&args[..], &direct].concat(), |command| {
        command.env("http_proxy", proxy.url(""));
        command.env("no_proxy", "example.org,127.0.0.0/8");
    });
    ran.ends_with(0);
    assert_eq!(proxy.requests().len(), 4, "the proxy was not asked");
}

#[test]
fn a_refused_run_removes_nothing_from_the_cache_directory() {
    let bed = Bed::new();
    let cache = bed.beside("cache");
    let old = |name: &str| {
        let path = cache.join(name);
        let file = fs_err::File::create(&path).unwrap().into_file();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        path
    };
    let half = old(&format!("{}.0.part", "0".repeat(64)));
    let film = old("film.mkv.part");
    // Unsigned packages from the network are refused; with --allow-unsigned they are accepted.
    let files: Vec<_> = NEW
        .packages()
        .iter()
        .map(|it| (it.nevra(), it.rpm()))
        .collect();
    let server = Server::start(200, "application/x-rpm", move |path| {
        let file = files
            .iter()
            .find(|(nevra, _)| path == format!("/{nevra}.rpm"));
        file.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    });
    let mut args = vec!["replace".to_owned()];
    for package in NEW.packages() {
        args.push(server.url(&format!("{}.rpm", package.nevra())));
    }
    bed.run(&args).ends_with(3);
    assert!(half.exists() && film.exists());
    args.push("--allow-unsigned".to_owned());
    bed.run(&args).ends_with(0);
    assert!(!half.exists() && film.exists());
}
