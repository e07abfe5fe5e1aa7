// SPDX-License-Identifier: MIT OR Apache-2.0
//! Misleading names: of RPM files, in their headers, in URLs.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::bed::Bed;
use crate::kernels::{NEW, Pkg};
use crate::server::{Server, answer};

/// File names that a shell, a program or a log could misinterpret.
const NAMES: [&[u8]; 4] = [
    b"-rf.rpm",
    b"--root=x $(touch mark) `touch mark` .rpm",
    b"a\nb\n::error::c.rpm",
    b"\xff\xfe\x1b[2J;|&'\".rpm",
];

fn name(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

#[test]
fn file_names_of_packages_are_ignored() {
    let bed = Bed::new();
    fs_err::remove_dir_all(bed.rpms()).unwrap();
    fs_err::create_dir(bed.rpms()).unwrap();
    for (package, file) in NEW.packages().iter().zip(NAMES) {
        fs_err::write(bed.rpms().join(name(file)), package.rpm()).unwrap();
    }
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(0);
    let transaction = ran.order()[0];
    for package in NEW.packages() {
        let file = format!(" /run/ostree-kernel/packages/{}.rpm", package.nevra());
        ran.require(transaction.contains(&file), "our own names");
    }
    let report = ran.report();
    ran.require(
        report["packages"].as_array().unwrap().len() == 4,
        "four packages",
    );
}

#[test]
fn a_file_name_in_a_message_stays_on_its_line() {
    for file in NAMES {
        let bed = Bed::new();
        fs_err::write(bed.rpms().join(name(file)), "hello").unwrap();
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(3).untouched().complains(&["not an RPM file"]);
        let raw = ran.stderr.contains('\x1b') || ran.stderr.contains("\n::error");
        ran.require(!raw, "no control character of a name is printed");
    }
}

/// Returns the package kernel-modules with a wrong field in its header and correct digests.
fn lying(field: fn(&mut Pkg) -> &mut String, lie: &str) -> Vec<u8> {
    let mut package = NEW.packages().remove(2);
    let honest = "Z".repeat(lie.len());
    field(&mut package).clone_from(&honest);
    let mut bytes = replaced(&package.rpm(), honest.as_bytes(), lie.as_bytes());
    let metadata = rpm::PackageMetadata::parse(&mut bytes.as_slice()).unwrap();
    let digests = metadata.check_digests().unwrap();
    for digest in [
        digests.header_sha1,
        digests.header_sha256,
        digests.header_sha3_256,
    ] {
        if let rpm::DigestStatus::Mismatch { expected, actual } = digest {
            bytes = replaced(&bytes, expected.as_bytes(), actual.as_bytes());
        }
    }
    bytes
}

/// Returns the bytes with each `from` replaced by `to`, which has the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|it| it == from) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn a_header_that_lies_about_its_name_is_refused() {
    type Field = fn(&mut Pkg) -> &mut String;
    let (name, version, release): (Field, Field, Field) = (
        |it| &mut it.name,
        |it| &mut it.version,
        |it| &mut it.release,
    );
    let table = [
        (
            name,
            "../../../etc/cron.d/x",
            "\"../../../etc/cron.d/x-6.9.4",
        ),
        (name, "-rf", "\"-rf-6.9.4"),
        (name, "--root=/x", "\"--root=/x-6.9.4"),
        (name, "kernel modules", "\"kernel modules-6.9.4"),
        (name, "kernel\n::error::x", "\"kernel\\n::error::x-6.9.4"),
        (version, "6.9.4/../../x", "-6.9.4/../../x-200"),
        (release, "\x1b[2J", "-6.9.4-\\u{1b}[2J"),
    ];
    for (field, lie, says) in table {
        println!("{lie:?}");
        let bed = Bed::new();
        // The file name is that of kernel-modules; the header names another package.
        let file = bed
            .rpms()
            .join(format!("{}.rpm", NEW.packages()[2].nevra()));
        fs_err::write(file, lying(field, lie)).unwrap();
        let ran = bed.run(&["replace", &bed.source()]);
        ran.ends_with(3).untouched().in_order(&[]).complains(&[
            "kernel-modules-6.9.4-200.fc40.x86_64.rpm: its header names the package ",
            says,
        ]);
    }
}

#[test]
fn the_header_is_believed_and_not_the_file() {
    // kernel-modules has the file name of kernel-core, and vice versa.
    let bed = Bed::new();
    let packages = NEW.packages();
    for (is, called) in [(1, 2), (2, 1)] {
        let file = bed.rpms().join(format!("{}.rpm", packages[called].nevra()));
        fs_err::write(file, packages[is].rpm()).unwrap();
    }
    bed.run(&["replace", &bed.source()]).ends_with(0);
    // The RPM in the file that is named kernel-modules is not part of a kernel, so a sub-package is missing.
    let bed = Bed::new();
    let file = bed.rpms().join(format!("{}.rpm", packages[2].nevra()));
    let other = Pkg {
        name: "kernel-doc".into(),
        provides: vec![],
        requires: vec![],
        files: vec![],
        ..packages[2].clone()
    };
    fs_err::write(file, other.rpm()).unwrap();
    let ran = bed.run(&["replace", &bed.source()]);
    ran.ends_with(3).untouched().complains(&["kernel-modules"]);
}

#[test]
fn a_url_that_leads_to_a_file_of_this_machine() {
    let bed = Bed::new();
    let secret = bed.beside("secret").join("kernel-core.rpm");
    fs_err::write(&secret, NEW.packages()[1].rpm()).unwrap();
    let location = format!("Location: file://{}\r\n", secret.display());
    let server = Server::scripted(move |_, _, stream| answer(stream, 302, &location, b""));
    let ran = bed.run(&[
        "replace",
        "--allow-unsigned",
        &server.url("kernel-core.rpm"),
    ]);
    ran.ends_with(3).untouched().complains(&[
        "the server redirects to file:///",
        "only http and https are followed",
    ]);
}

#[test]
fn a_url_that_never_ends() {
    let bed = Bed::new();
    let server = Server::scripted(|_, _, stream| {
        use std::io::Write;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        while stream.write_all(&[0; 65536]).is_ok() {}
    });
    let ran = bed.run(&["replace", "--max-size=3M", &server.url("kernel-core.rpm")]);
    ran.ends_with(3)
        .untouched()
        .complains(&["larger than 3.0 MiB, the limit of --max-size"]);
}
