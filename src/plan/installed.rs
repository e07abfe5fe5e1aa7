// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reduces installed packages to the capabilities that concern a kernel.

use std::collections::BTreeSet;

use super::Installed;
use crate::package::capability::Capability;
use crate::package::rpmdb::{Record, Rpmdb};

/// Converts the packages of an rpmdb, and drops capabilities that do not concern a kernel.
pub fn installed(rpmdb: Rpmdb) -> Vec<Installed> {
    let names = names_of_kernels(rpmdb.packages());
    let keep = |caps: Vec<Capability>| {
        let kept = caps.into_iter();
        kept.filter(|cap| cap.is_uname_r() || names.contains(&cap.name))
            .collect()
    };
    let installed = |it: Record| Installed {
        has_files: it.has_files,
        kernels: it.kernels().map(str::to_owned).collect(),
        modules: it
            .modules()
            .map(|(dir, name)| (dir.to_owned(), name))
            .collect(),
        provides: keep(it.provides),
        requires: keep(it.requires),
        header_sha256: it.header_sha256,
        nevra: it.nevra,
    };
    rpmdb.into_packages().into_iter().map(installed).collect()
}

/// Returns the names of capabilities through which the replacement of a kernel can affect a package. Kernel packages
/// and packages of the same build (kernel-tools) provide these capabilities, and so do the packages that require one of
/// them, and so on.
fn names_of_kernels(records: &[Record]) -> BTreeSet<String> {
    let build = |it: &Record| (it.nevra.version.clone(), it.nevra.release.clone());
    let owners = records.iter().filter(|it| it.kernels().next().is_some());
    let builds: BTreeSet<_> = owners.map(build).collect();
    let is_tied = |it: &Record| {
        let mut all = it.provides.iter().chain(&it.requires);
        all.any(Capability::is_uname_r) || builds.contains(&build(it))
    };
    let mut names = BTreeSet::new();
    let mut reached = vec![false; records.len()];
    loop {
        let before = names.len();
        for (it, reached) in records.iter().zip(&mut reached) {
            let requires_one = || it.requires.iter().any(|cap| names.contains(&cap.name));
            if !*reached && (is_tied(it) || requires_one()) {
                *reached = true;
                names.extend(it.provides.iter().map(|cap| cap.name.clone()));
            }
        }
        if names.len() == before {
            return names;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::installed;
    use crate::package::Nevra;
    use crate::package::capability::{Capability, Op};
    use crate::package::rpmdb::{PackageFile, Record, RpmdbReader, Scope};
    use crate::plan::Installed;

    fn capability(text: &str) -> Capability {
        let mut words = text.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        Capability {
            name: word(),
            op: Op::of(&word()),
            version: word(),
        }
    }

    fn record(name: &str, provides: &[&str], requires: &[&str]) -> Record {
        Record {
            nevra: Nevra::try_from(format!("{name}-5.2-1.x86_64")).unwrap(),
            provides: provides.iter().map(|it| capability(it)).collect(),
            requires: requires.iter().map(|it| capability(it)).collect(),
            header_sha256: None,
            build: None,
            has_files: true,
            files: Default::default(),
        }
    }

    #[test]
    fn packages_of_kernels_are_found_by_their_capabilities() {
        let kver = "6.9.4-200.fc40.x86_64+rt";
        let uname_r = |name: &str| format!("{name} = {kver}");
        let (core, own) = (uname_r("kernel-rt-core-uname-r"), uname_r("kernel-uname-r"));
        let modules = uname_r("kernel-rt-modules-core-uname-r");
        let mut reading = RpmdbReader::new(Scope::All);
        for it in [
            record("bash", &["bash = 5.2-1"], &["/bin/sh", "kernel >= 6"]),
            record("dash", &["dash = 5.2-1"], &["bash", "glibc"]),
            record(
                "kernel-rt-core",
                &["kernel = 6.9.4-200.fc40", &core, &own],
                &[&modules],
            ),
        ] {
            reading.add(it).unwrap();
        }
        let packages = installed(reading.finish());
        let [bash, dash, package] = packages.as_slice() else {
            panic!("{packages:?}");
        };
        // Only capabilities that lead to a kernel are kept: bash requires `kernel`, so dash's requirement `bash` is
        // kept, too.
        let requires = |it: &Installed| {
            assert!(!it.is_of_a_kernel());
            let texts = it.requires.iter().map(ToString::to_string);
            texts.collect::<Vec<_>>()
        };
        assert_eq!(requires(bash), ["kernel >= 6"]);
        assert_eq!(requires(dash), ["bash"]);
        assert_eq!((package.provides.len(), package.requires.len()), (3, 1));
        assert!(package.belongs_to(kver));
        assert!(!package.belongs_to("6.9.4-200.fc40.x86_64"));
    }

    #[test]
    fn packages_of_the_kernels_build_keep_their_capabilities() {
        let mut kernel = record("kernel", &["kernel = 5.2-1"], &[]);
        let vmlinuz = PackageFile {
            mode: 0o100_755,
            digest: None,
            is_ghost: false,
            target: String::new(),
        };
        let path = "usr/lib/modules/5.2/vmlinuz".to_owned();
        kernel.files.insert(path, vmlinuz);
        let libs = "kernel-tools-libs = 5.2-1";
        let tools = record("kernel-tools", &["kernel-tools = 5.2-1"], &[libs]);
        let libs = record("kernel-tools-libs", &[libs], &[]);
        let mut other = record("other", &["other = 5.1-1"], &["libc.so.6"]);
        other.nevra.version = "5.1".into();
        let mut reading = RpmdbReader::new(Scope::All);
        for it in [kernel, tools, libs, other] {
            reading.add(it).unwrap();
        }
        let packages = installed(reading.finish());
        assert!(packages[0].belongs_to("5.2"));
        let count = |it: &Installed| (it.provides.len(), it.requires.len());
        assert_eq!((count(&packages[1]), count(&packages[3])), ((1, 1), (0, 0)));
    }
}
