// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signatures of kernels and modules: `replace` makes them (`--sign-kernel-*`, `--sign-modules-*`), and `verify`
//! compares them with certificates (`--sbcert`, `--module-cert`).

use std::path::PathBuf;
use std::process::Command;

use crate::bed::{Bed, program_of_the_machine};
use crate::image::with_efi_stub;
use crate::kernels::NEW;

/// Returns the path of a key or certificate of the unit tests.
fn pem(name: &str) -> String {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/signing/testing");
    dir.join(format!("{name}.pem")).display().to_string()
}

/// Splits a module into its contents and its signature.
fn split(module: &[u8]) -> (&[u8], &[u8]) {
    let rest = module
        .strip_suffix(b"~Module signature appended~\n")
        .expect("a signature");
    let (rest, info) = rest.split_last_chunk::<12>().unwrap();
    let size = u32::from_be_bytes(*info.last_chunk().unwrap());
    assert_eq!(
        info[..8],
        [0, 0, 2, 0, 0, 0, 0, 0],
        "as sign-file writes it"
    );
    rest.split_at(rest.len() - size as usize)
}

/// Returns the arguments that replace the kernel and sign all modules.
fn sign_all<'a>(key: &'a str, certificate: &'a str, source: &'a str) -> [&'a str; 8] {
    [
        "replace",
        "--sign-modules-key",
        key,
        "--sign-modules-cert",
        certificate,
        "--sign-modules",
        "all",
        source,
    ]
}

#[test]
fn modules_are_signed_and_the_same_line_is_settled() {
    let bed = Bed::new();
    let source = bed.source();
    let [key, certificate] = [pem("key"), pem("certificate")];
    let all = sign_all(&key, &certificate, &source);
    let ran = bed.run(&all);
    ran.ends_with(0);
    let signed = &ran.report()["signing"]["modules"];
    assert_eq!(signed["certificate"], "test signer");
    assert_eq!(signed["which"], "all");
    assert_eq!(signed["signed"], NEW.modules().len());
    for (name, contents) in NEW.modules() {
        let path = format!("usr/lib/modules/{}/{name}", NEW.kver);
        let module = fs_err::read(bed.path(&path)).unwrap();
        let (signed, signature) = split(&module);
        assert!(signed == contents, "{name}: the contents are as before");
        judge(signed, signature, &certificate);
    }
    let secret = fs_err::read_to_string(&key).unwrap();
    let line = secret.lines().nth(2).unwrap();
    let report = bed.path("usr/share/ostree-kernel/report.json");
    assert!(!fs_err::read_to_string(report).unwrap().contains(line));
    assert!(!ran.stderr.contains(line) && !ran.stdout.contains(line));
    bed.run(&all).ends_with(0).in_order(&[]).untouched();
    // With another certificate, the run has something to do.
    let again = bed.run(&sign_all(
        &pem("other-key"),
        &pem("other-certificate"),
        &source,
    ));
    again.ends_with(0);
    let signed = &again.report()["signing"]["modules"];
    assert_eq!(signed["certificate"], "another signer");
    assert_eq!(signed["signed"], NEW.modules().len());
}

/// Verifies the signature with openssl, if it is installed.
fn judge(contents: &[u8], signature: &[u8], certificate: &str) {
    let Ok(openssl) = which::which("openssl") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let [signed, der] = ["signed", "signature"].map(|name| dir.path().join(name));
    fs_err::write(&signed, contents).unwrap();
    fs_err::write(&der, signature).unwrap();
    let verify = "cms -verify -binary -inform DER -noverify -nointern -purpose any";
    #[expect(clippy::disallowed_methods, reason = "another judge of the signature")]
    let ran = Command::new(openssl)
        .args(verify.split(' '))
        .args(["-certfile", certificate, "-content"])
        .arg(&signed)
        .arg("-in")
        .arg(&der)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "openssl: {said}");
}

#[test]
fn only_modules_from_elsewhere_are_signed_unless_all_are_asked_for() {
    let bed = Bed::new();
    let [key, certificate] = [pem("key"), pem("certificate")];
    let ran = bed.run(&[
        "replace",
        "--sign-modules-key",
        &key,
        "--sign-modules-cert",
        &certificate,
        &bed.source(),
    ]);
    ran.ends_with(0);
    let signed = &ran.report()["signing"]["modules"];
    assert_eq!(
        (&signed["which"], &signed["signed"]),
        (&"out-of-tree".into(), &0.into())
    );
}

/// Offers the packages of NEW with a `vmlinuz` that has PE headers, which sbsign needs.
fn offer_efi_kernel(bed: &Bed) {
    let mut packages = NEW.packages();
    let files = packages.iter_mut().flat_map(|package| &mut package.files);
    for (_, contents) in files.filter(|(path, _)| path.ends_with("/vmlinuz")) {
        *contents = with_efi_stub(std::mem::take(contents));
    }
    bed.offer(NEW, &packages);
}

#[test]
fn sbsign_of_the_tree_of_another_root_and_of_this_system() {
    let Some(sbsign) = program_of_the_machine("sbsign") else {
        println!("this machine has no sbsign: not tried");
        return;
    };
    let other = Bed::new();
    other.copy_with_libraries(&sbsign);
    let other = other.root().display().to_string();
    for tool_root in [None, Some(other.as_str()), Some("/")] {
        let bed = Bed::new();
        offer_efi_kernel(&bed);
        let [mut key, mut certificate] = [pem("key"), pem("certificate")];
        let secret = fs_err::read_to_string(&key).unwrap();
        let line = secret.lines().nth(2).unwrap();
        if tool_root.is_none() {
            bed.copy_with_libraries(&sbsign);
            // The program of the tree can read only files below the root. The copies are not in /run, which the run
            // empties.
            for (file, inside) in [(&mut key, "etc/key"), (&mut certificate, "etc/certificate")] {
                bed.write(inside, fs_err::read(&*file).unwrap());
                *file = bed.path(inside).display().to_string();
            }
        }
        let source = bed.source();
        let mut args = vec!["replace", "--sign-kernel-key", &key];
        args.extend(["--sign-kernel-cert", &certificate, &source]);
        args.extend(tool_root.iter().flat_map(|dir| ["--tool-root", dir]));
        let ran = bed.run(&args);
        ran.ends_with(0);
        let program = ran.report()["signing"]["kernel"]["program"].to_string();
        let expected = match tool_root {
            None => "/usr/bin/sbsign of the image".to_owned(),
            Some(dir) => format!("sbsign of {dir}"),
        };
        assert!(program.contains(&expected), "{program}");
        ran.complains(&[&expected]);
        let report = bed.path("usr/share/ostree-kernel/report.json");
        let report = fs_err::read_to_string(report).unwrap();
        assert!(!report.contains(line) && !ran.stderr.contains(line));
        bed.run(&args).ends_with(0).in_order(&[]).untouched();
        let by = |name: &str| bed.run(&["verify", "--sbcert", &pem(name)]);
        by("certificate").ends_with(0);
        by("other-certificate")
            .ends_with(4)
            .prints(&["fatal kernel-signer", "signed by test signer"]);
    }
}

#[test]
fn invalid_keys_are_reported_before_anything_changes() {
    let bed = Bed::new();
    let source = bed.source();
    let [key, certificate] = [pem("key"), pem("certificate")];
    for (key, certificate, expected) in [
        (
            pem("encrypted-key"),
            certificate.clone(),
            "found an encrypted key",
        ),
        (pem("ec-key"), certificate.clone(), "not an RSA key"),
        (
            pem("other-key"),
            certificate.clone(),
            "does not belong to the key",
        ),
        (key.clone(), key.clone(), "found no certificate"),
        (
            certificate.clone(),
            certificate.clone(),
            "found no private key",
        ),
        (
            "/nowhere/key".to_owned(),
            certificate.clone(),
            "/nowhere/key",
        ),
        (
            "/dev/null".to_owned(),
            certificate.clone(),
            "expected a regular file",
        ),
    ] {
        for what in ["modules", "kernel"] {
            let options = [format!("--sign-{what}-key"), format!("--sign-{what}-cert")];
            let ran = bed.run(&[
                "replace",
                &options[0],
                &key,
                &options[1],
                &certificate,
                &source,
            ]);
            ran.ends_with(2).in_order(&[]).untouched();
            ran.complains(&[expected]);
        }
    }
    for args in [
        &["--sign-kernel-key", &key][..],
        &["--sign-modules-cert", &certificate],
        &["--sign-modules", "all"],
        &["--tool-root", "/"],
    ] {
        let ran = bed.run(&[&["replace"], args, &[&source]].concat());
        ran.ends_with(2).untouched();
    }
    // A program of the tree cannot read keys outside of the tree.
    let outside = [
        "--sign-kernel-key",
        &key,
        "--sign-kernel-cert",
        &certificate,
    ];
    let ran = bed.run(&[&["replace"], &outside[..], &[&source]].concat());
    ran.ends_with(2).complains(&["add --tool-root /"]);
    let empty = tempfile::tempdir().unwrap();
    let dir = empty.path().display().to_string();
    let ran = bed.run(&[&["replace"], &outside[..], &["--tool-root", &dir, &source]].concat());
    ran.ends_with(3).in_order(&[]).untouched();
    ran.complains(&["neither sbsign nor systemd-sbsign", "--tool-root DIR"]);
}

#[test]
fn certificates_of_verify() {
    let bed = Bed::new();
    let certificate = pem("certificate");
    let unsigned = bed.run(&["verify", "--sbcert", &certificate]);
    unsigned
        .ends_with(4)
        .prints(&["fatal kernel-signer", "no signature"]);
    let modules = bed.run(&["verify", "--module-cert", &certificate]);
    modules.ends_with(0);
    for (args, expected) in [
        (&["--sbcert", "/nowhere"][..], "--sbcert"),
        (&["--module-cert", &pem("key")], "found no certificate"),
        (
            &["--only", "kernel-files", "--sbcert", &certificate],
            "Add --only kernel-signer",
        ),
    ] {
        let ran = bed.run(&[&["verify"], args].concat());
        ran.ends_with(2).complains(&[expected]);
    }
}
