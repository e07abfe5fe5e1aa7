// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program's packaging: licences of linked code, the version, the oldest compiler, pages and systemd units.

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

/// Sorts the alternatives of a licence expression, so that equivalent expressions have the same text.
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

/// Returns the lines of a section of a unit, without comments.
fn section(unit: &str, name: &str) -> Vec<String> {
    let text = read(&format!("packaging/systemd/{unit}"));
    let lines = text.lines().skip_while(|line| *line != format!("[{name}]"));
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// The exposure that `systemd-analyze security` computes for the units must not exceed 2.0. The man page states 1.5.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test runs systemd-analyze")]
fn exposure_of_the_units_is_low() {
    for unit in ["ostree-kernel-gate", "ostree-kernel-gate-staged"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join(format!("packaging/systemd/{unit}.service"));
        let mut command = std::process::Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--threshold=20", "--no-pager"]);
        match command.arg(path).output() {
            Err(_) => eprintln!("ignored: there is no systemd-analyze"),
            Ok(output) => assert!(output.status.success(), "{unit}: {output:?}"),
        }
    }
}

#[test]
fn units_are_installed_packed_and_disabled() {
    let (makefile, spec) = (read("Makefile"), read("packaging/ostree-kernel.spec"));
    let preset = read("packaging/systemd/80-ostree-kernel.preset");
    let macros = ["post", "preun", "postun"];
    for name in macros {
        let line = format!("\n%{name}\n%{{?systemd_{name}:%systemd_{name} %{{units}}}}\n");
        assert!(spec.contains(&line), "%{name}");
    }
    for file in
        fs_err::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd")).unwrap()
    {
        let name = file.unwrap().file_name().into_string().unwrap();
        let kind = name.rsplit('.').next().unwrap();
        assert!(
            makefile.contains(&format!("packaging/systemd/*.{kind}")),
            "make install: {name}"
        );
        let dir = if kind == "preset" {
            "_presetdir"
        } else {
            "_unitdir"
        };
        assert!(
            spec.contains(&format!("\n%{{{dir}}}/{name}\n")),
            "%files: {name}"
        );
        if kind == "preset" {
            continue;
        }
        let units = spec
            .lines()
            .find(|line| line.starts_with("%global units "))
            .unwrap();
        assert!(
            units.split(' ').any(|unit| unit == name),
            "%global units: {name}"
        );
        let has_install = !section(&name, "Install").is_empty();
        assert_eq!(
            preset.contains(&format!("\ndisable {name}\n")),
            has_install,
            "preset: {name}"
        );
    }
}

/// A gate that cannot start must not hold back updates. At shutdown, the gate must be stopped before ostree finalises a
/// deployment.
#[test]
fn the_gate_is_wanted_and_ordered() {
    let unit = section("ostree-kernel-gate.service", "Unit");
    let install = section("ostree-kernel-gate.service", "Install");
    let has = |lines: &[String], key: &str, value: &str| {
        let values = lines.iter().filter_map(|line| line.strip_prefix(key));
        values.flat_map(|it| it.split(' ')).any(|it| it == value)
    };
    assert!(has(&unit, "After=", "ostree-finalize-staged.service"));
    assert!(has(&unit, "After=", "systemd-journal-flush.service"));
    assert!(has(&unit, "Before=", "basic.target") && has(&unit, "Conflicts=", "final.target"));
    assert!(has(&unit, "DefaultDependencies=", "no"));
    assert!(has(&install, "WantedBy=", "multi-user.target"));
    for name in [
        "ostree-kernel-gate.service",
        "ostree-kernel-gate-staged.service",
        "ostree-kernel-gate-staged.path",
    ] {
        let text = read(&format!("packaging/systemd/{name}"));
        for strong in [
            "RequiredBy=",
            "BindsTo=",
            "PartOf=",
            "UpheldBy=",
            "OnFailure=",
            "Requires=",
        ] {
            assert!(!text.contains(&format!("\n{strong}")), "{name}: {strong}");
        }
    }
}

/// Both services run the same command, so their sandboxes must be the same.
#[test]
fn both_services_have_the_same_sandbox() {
    let sandbox = |name: &str| -> BTreeSet<_> {
        let lines = section(name, "Service").into_iter();
        let differs = [
            "Exec",
            "Type=",
            "Remain",
            "Timeout",
            "Nice=",
            "IOScheduling",
        ];
        lines
            .filter(|line| !differs.iter().any(|it| line.starts_with(it)))
            .collect()
    };
    let gate = sandbox("ostree-kernel-gate.service");
    assert_eq!(gate, sandbox("ostree-kernel-gate-staged.service"));
    assert!(gate.len() > 20);
}
