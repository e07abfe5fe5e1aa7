// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program's packaging: licences of linked code, the version, the oldest compiler.

use std::collections::BTreeSet;
use std::path::Path;

/// Reads a file of the repository.
fn read(name: &str) -> String {
    fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Returns the output of cargo, without the network.
fn cargo(args: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "cargo knows what is linked")]
    let output = std::process::Command::new(env!("CARGO"))
        .args(args)
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Sorts the alternatives of a licence expression, so that equal ones are equal.
fn normal(expression: &str) -> String {
    let expression = expression
        .trim_matches(['(', ')', ' '])
        .replace('/', " OR ");
    let mut terms: Vec<_> = expression.split(" OR ").map(str::trim).collect();
    terms.sort_unstable();
    terms.join(" OR ")
}

#[test]
fn the_spec_has_the_licences_of_what_is_linked() {
    let tree = cargo(&[
        "tree",
        "--edges=no-build,no-dev,no-proc-macro",
        "--prefix=none",
        "--no-dedupe",
        "--format={l}",
    ]);
    let linked: BTreeSet<_> = tree.lines().map(normal).collect();
    let spec = read("packaging/ostree-kernel.spec");
    let licenses = spec.split("%{shrink:").nth(1).unwrap();
    let licenses = licenses.split("\n}").next().unwrap();
    let said: BTreeSet<_> = licenses
        .split("\n    AND ")
        .map(str::trim)
        .map(normal)
        .collect();
    assert_eq!(said, linked, "License: of packaging/ostree-kernel.spec");
}

#[test]
fn versions_agree() {
    let version = env!("CARGO_PKG_VERSION");
    let spec = read("packaging/ostree-kernel.spec");
    assert!(spec.contains(&format!("\nVersion:        {version}\n")));
    assert!(spec.contains(&format!(" - {version}-1\n")), "its changelog");
    assert!(read("CHANGELOG.md").contains(&format!("\n## {version}")));
    assert!(read("man/ostree-kernel.8").contains(&format!("\"ostree-kernel {version}\"")));
}

#[test]
fn no_dependency_needs_a_newer_compiler() {
    let version =
        |text: &str| -> Vec<u32> { text.split('.').map(|it| it.parse().unwrap()).collect() };
    let ours = env!("CARGO_PKG_RUST_VERSION");
    assert!(read("packaging/ostree-kernel.spec").contains(&format!("cargo >= {ours}\n")));
    let filter = "--filter-platform=x86_64-unknown-linux-gnu";
    let metadata = cargo(&["metadata", "--format-version=1", filter]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    for package in packages {
        if let Some(needed) = package["rust_version"].as_str() {
            let name = &package["name"];
            assert!(
                version(needed)[..2] <= version(ours)[..2],
                "{name} needs {needed}"
            );
        }
    }
}

#[test]
fn pages_of_every_section_are_installed_and_packed() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (makefile, spec) = (read("Makefile"), read("packaging/ostree-kernel.spec"));
    for page in fs_err::read_dir(top.join("man")).unwrap() {
        let path = page.unwrap().path();
        let section = path.extension().unwrap().to_str().unwrap();
        let installed = format!("/share/man/man{section} man/*.{section}\n");
        assert!(makefile.contains(&installed), "make install: {path:?}");
        let packed = format!("\n%{{_mandir}}/man{section}/ostree-kernel*.{section}*\n");
        assert!(spec.contains(&packed), "%files: {path:?}");
    }
}

#[test]
fn pages_that_are_referred_to_exist() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["README.md", "SECURITY.md", "CONTRIBUTING.md"] {
        for link in read(file).split("](").skip(1) {
            let link = link.split([')', '#']).next().unwrap();
            let is_ours = !link.is_empty() && !link.contains("://");
            assert!(
                !is_ours || top.join(link).exists(),
                "{file} links to {link}"
            );
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    for page in ["pitfalls", "verdict"] {
        let text = read(&format!("man/ostree-kernel-{page}.7"));
        assert!(
            text.contains(&format!("\"ostree-kernel {version}\"")),
            "{page}"
        );
    }
}
