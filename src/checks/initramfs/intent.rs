// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks that the initramfs was built from the tree's present configuration. dracut copies configuration into the
//! initramfs, so later changes have no effect until the initramfs is rebuilt.

use std::collections::BTreeSet;

use super::image::root_setup;
use crate::boot::RootSetup;
use crate::checks::able::Able;
use crate::checks::prepare_root::{Composefs, PLACES, PrepareRoot};
use crate::checks::{Answer, Finding, Remedy, Severity, Subject, TreeFacts, listed, show};
use crate::initramfs::{EntryType, Inventory};

/// Directories whose files dracut copies. If it copies a file of such a directory, it copies all of them.
pub const COPIED_DIRS: [&str; 2] = ["usr/lib/modprobe.d/", "etc/modprobe.d/"];

/// Files that dracut, systemd-sysusers and ldconfig write for every image, and files that container runtimes replace
/// during a build.
const OWN: [&str; 17] = [
    "etc/.pwd.lock",
    "etc/group",
    "etc/group-",
    "etc/gshadow",
    "etc/gshadow-",
    "etc/hostname",
    "etc/hosts",
    "etc/initrd-release",
    "etc/ld.so.cache",
    "etc/machine-id",
    "etc/mtab",
    "etc/os-release",
    "etc/passwd",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow",
    "etc/shadow-",
];

pub fn intent(subject: &Subject) -> Result<Vec<Finding>, Answer> {
    let inventory = subject.inventory()?;
    let tree = subject.tree()?;
    if inventory.dracut_modules().is_none() {
        let why = "the initramfs does not list dracut's modules";
        return Err(Answer::NotApplicable(why.into()));
    }
    let mut findings = prepare_root(subject, inventory, tree);
    findings.extend(listed(differing(inventory, tree)));
    findings.extend(listed(not_copied(inventory, tree)));
    findings.extend(listed(asked_for(subject, inventory, tree)?));
    Ok(findings)
}

/// Returns a finding if a `prepare-root.conf` differs from the tree's. ostree creates the deployment according to the
/// tree's file, but ostree-prepare-root mounts the deployment according to the file in the initramfs. The finding is
/// fatal if only the tree enables composefs, otherwise a warning. Empty if bootc sets up the root, or if dracut's
/// module `ostree` does not install the file.
fn prepare_root(subject: &Subject, inventory: &Inventory, tree: &TreeFacts) -> Vec<Finding> {
    if root_setup(subject, inventory) == RootSetup::Bootc || tree.setups.is_without_prepare_root() {
        return Vec::new();
    }
    let inside = PrepareRoot::read(|path| inventory.data(path.as_bytes()));
    let asked = PrepareRoot::read(|path| tree.file(path));
    let differs = |path: &&&str| inventory.data(path.as_bytes()) != tree.file(path);
    let Some(path) = PLACES.iter().find(differs) else {
        return Vec::new();
    };
    let place = format!("{path} in the initramfs");
    let finding =
        |found: &str, expected: &str| vec![Finding::new(&place, found, expected, Remedy::Rebuild)];
    match (asked.composefs, inside.composefs) {
        (Composefs::On, Composefs::On) | (Composefs::Off | Composefs::Maybe, _) => {
            let (found, expected) = match (inventory.data(path.as_bytes()), tree.file(path)) {
                (None, _) => ("no such file", "the same file as in the tree"),
                (_, None) => (
                    "a file that the tree does not have",
                    "no such file, as in the tree",
                ),
                _ => (
                    "a file that differs from the tree's",
                    "the same file as in the tree",
                ),
            };
            let findings = finding(found, expected);
            findings
                .into_iter()
                .map(|it| it.only(Severity::Warning))
                .collect()
        }
        (Composefs::On, _) => finding(
            "composefs is not enabled",
            "enabled, as in the tree's prepare-root.conf",
        ),
    }
}

/// Returns warnings about copies in `etc` and [`COPIED_DIRS`] that differ from the tree's files. Files that are not
/// copies are left out: those in [`OWN`], and those that dracut's modules write.
fn differing(inventory: &Inventory, tree: &TreeFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        let is_own = OWN.contains(&path.as_str())
            || PLACES.contains(&path.as_str())
            || tree.setups.writes(path);
        let Some(data) = inventory.data(path.as_bytes()).filter(|_| !is_own) else {
            continue;
        };
        if data != text.as_slice() {
            let place = format!("{path} in the initramfs");
            let found = "content that differs from the tree's file";
            let finding = Finding::new(place, found, "a copy of the tree's file", Remedy::Rebuild);
            findings.push(finding.only(Severity::Warning));
        }
    }
    findings
}

/// Returns warnings about files that were added to a directory in [`COPIED_DIRS`] after dracut had copied the
/// directory.
fn not_copied(inventory: &Inventory, tree: &TreeFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dir in COPIED_DIRS {
        let files: Vec<_> = tree.files.keys().filter(|it| it.starts_with(dir)).collect();
        let is_inside = |path: &str| inventory.resolve(path.as_bytes()).is_ok();
        // dracut copies `etc/modprobe.d` only into an initramfs for the host that dracut runs on. If the initramfs has
        // no file of a directory, no file is reported as missing there.
        let copies = files.iter().any(|path| is_inside(path));
        for path in files.into_iter().filter(|path| copies && !is_inside(path)) {
            let place = format!("{path} in the initramfs");
            let finding = Finding::new(
                place,
                "no such file",
                "a copy of the tree's file",
                Remedy::Rebuild,
            );
            findings.push(finding.only(Severity::Warning));
        }
    }
    findings
}

/// Returns warnings about dracut modules, drivers and files that dracut's configuration in the tree requests and the
/// initramfs lacks.
fn asked_for(
    subject: &Subject,
    inventory: &Inventory,
    tree: &TreeFacts,
) -> Result<Vec<Finding>, Answer> {
    let able = Able::of(subject, inventory)?;
    let omitted = subject.omitted();
    let included: BTreeSet<_> = inventory.dracut_modules().into_iter().flatten().collect();
    // Modules and drivers that are not on disk have no finding here: dracut itself reports them.
    let modules = tree.conf.modules.iter().filter(|&module| {
        let is_left_out = omitted.dracut_modules.contains(module)
            || tree.setups.depends_on(module, &omitted.dracut_modules);
        tree.dracut_modules.contains(module) && !included.contains(module) && !is_left_out
    });
    let modules = modules.map(|module| format!("dracut's module {module}"));
    let drivers = tree
        .conf
        .drivers
        .iter()
        .filter(|name| !able.has(name) && able.is_on_disk(name) && !omitted.has_driver(name));
    let drivers = drivers.map(|name| format!("the driver {name}"));
    let items = tree.items.iter().filter(|item| {
        let path = item.trim_start_matches('/');
        inventory.resolve_link(path.as_bytes()).is_err()
    });
    let items = items.map(ToString::to_string);
    let finding = |what: String| {
        let place = format!("{what} in the initramfs");
        let expected = "present in the initramfs: dracut's configuration in the tree requests it";
        let remedy = Remedy::RebuildOr("look for dracut's message about it");
        Finding::new(place, "missing", expected, remedy).only(Severity::Warning)
    };
    Ok(modules.chain(drivers).chain(items).map(finding).collect())
}

/// Returns the paths of the files that this check compares with the tree's: configuration files in the initramfs, and
/// the places of `prepare-root.conf`.
pub fn copies(inventory: &Inventory) -> Vec<String> {
    let nodes = inventory.nodes().filter(|(path, node)| {
        let is_configuration = path.starts_with(b"etc/")
            || COPIED_DIRS
                .iter()
                .any(|dir| path.starts_with(dir.as_bytes()));
        node.kind == EntryType::File && is_configuration
    });
    let mut paths: Vec<_> = nodes.map(|(path, _)| show(path)).collect();
    paths.extend(PLACES.iter().map(|&path| path.to_owned()));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Answer;
    use crate::checks::testing::Bench;

    const CHECK: &str = "initramfs-intent";
    const CONF: &str = "usr/lib/ostree/prepare-root.conf";
    const ON: &str = "[composefs]\nenabled = yes\n";

    fn bench() -> Bench {
        let mut bench = Bench::good();
        bench.put("usr/lib/dracut/modules.txt", b"base\nostree\n");
        bench
    }

    fn put(tree: &mut TreeFacts, path: &str, text: &str) {
        tree.files.insert(path.into(), text.as_bytes().to_vec());
    }

    #[test]
    fn composefs_of_the_tree() {
        let bench = Bench::good();
        assert!(matches!(bench.answer(CHECK), Answer::NotApplicable(_)));
        let mut bench = self::bench();
        assert_eq!(bench.findings(CHECK), [""; 0]);
        bench.change = |tree| put(tree, CONF, ON);
        let fatal =
            "fatal usr/lib/ostree/prepare-root.conf in the initramfs: composefs is not enabled";
        assert!(bench.findings(CHECK)[0].starts_with(fatal));
        bench.put(CONF, b"[composefs]\nenabled = maybe\n");
        assert!(bench.findings(CHECK)[0].starts_with(fatal));
        bench.put(CONF, ON.as_bytes());
        assert_eq!(bench.findings(CHECK), [""; 0]);
        // dracut's ostree module does not install the file: this version of ostree does not read it.
        bench.inside.remove(CONF);
        bench.change = |tree| {
            put(tree, CONF, ON);
            tree.setups.add("ostree", "install() {\n    :\n}\n");
        };
        assert_eq!(bench.findings(CHECK), [""; 0]);
        bench.put(CONF, ON.as_bytes());
        // These are only warnings: a comment that differs, composefs that is enabled only in the initramfs, a file that
        // only the initramfs has.
        for change in [
            (|tree| put(tree, CONF, "# x\n[composefs]\nenabled = yes\n")) as fn(&mut TreeFacts),
            |tree| put(tree, CONF, "[composefs]\nenabled = no\n"),
            |_| (),
        ] {
            bench.change = change;
            let found = bench.findings(CHECK);
            assert!(
                found.len() == 1 && found[0].starts_with("warning "),
                "{found:?}"
            );
        }
    }

    #[test]
    fn copies_that_are_older() {
        let mut bench = bench();
        bench.put("etc/multipath.conf", b"old");
        bench.put("etc/ssh/ssh_config", b"by dracut");
        bench.put("etc/passwd", b"by dracut");
        bench.put("usr/lib/modprobe.d/a.conf", b"options a b=1\n");
        bench.change = |tree| {
            let script =
                "install() {\n    sed -i -e 's/a/b/' \"${initdir}\"/etc/ssh/ssh_config\n}\n";
            tree.setups.add("ssh", script);
            put(tree, "etc/multipath.conf", "new");
            put(tree, "etc/ssh/ssh_config", "the tree's");
            put(tree, "etc/passwd", "the tree's");
            put(tree, "usr/lib/modprobe.d/a.conf", "options a b=2\n");
            put(tree, "usr/lib/modprobe.d/b.conf", "options b b=2\n");
            // The initramfs has no file of etc/modprobe.d, so this one is not reported as missing.
            put(tree, "etc/modprobe.d/c.conf", "options c b=2\n");
        };
        let found = bench.findings(CHECK);
        for expected in [
            "warning etc/multipath.conf in the initramfs: content that differs",
            "warning usr/lib/modprobe.d/a.conf in the initramfs: content that differs",
            "warning usr/lib/modprobe.d/b.conf in the initramfs: no such file",
        ] {
            assert!(
                found.iter().any(|it| it.starts_with(expected)),
                "{expected}: {found:#?}"
            );
        }
        assert_eq!(found.len(), 3, "{found:#?}");
    }

    #[test]
    fn parts_that_dracuts_configuration_requests() {
        let mut bench = bench();
        bench.put("etc/there", b"");
        bench.change = |tree| {
            let text = "add_dracutmodules+=\" ostree multipath absent drm \"\nadd_drivers+=\" virtio_blk gcm nowhere \"\nomit_dracutmodules+=\" drm \"\n";
            tree.conf.add(text);
            tree.omitted = tree.conf.omitted.clone();
            tree.dracut_modules
                .extend(["multipath", "drm"].map(str::to_owned));
            tree.items = ["/etc/there", "/etc/missing"].map(str::to_owned).into();
        };
        let found = bench.findings(CHECK);
        for expected in [
            "warning dracut's module multipath in the initramfs: missing",
            "warning the driver gcm in the initramfs",
            "warning /etc/missing in the initramfs",
        ] {
            assert!(
                found.iter().any(|it| it.starts_with(expected)),
                "{expected}: {found:#?}"
            );
        }
        assert_eq!(found.len(), 3, "{found:#?}");
    }
}
