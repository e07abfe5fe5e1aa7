// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds settings that stop each boot: the kernel parameter `kernel.modules_disabled` in `sysctl.d`, after which no
//! driver can be loaded, and arguments in `etc/cmdline` and `etc/cmdline.d` with which dracut's scripts stop in a shell
//! (`getcmdline` of `dracut-lib.sh`, dracut 106). Also reads other settings of `sysctl.d` and `modules-load.d` for
//! `places`.

use std::collections::{BTreeMap, BTreeSet};

use crate::checks::{Finding, Remedy, show};
use crate::initramfs::Inventory;
use crate::kernel::modules::ModuleName;

const REMEDY: Remedy = Remedy::ThenRebuild("remove the line from that file (on disk)");

/// The directories of kernel parameters, the one with the highest precedence first. Of several files with the same
/// name, only the one with the highest precedence is read (sysctl.d(5)).
const SYSCTL: [&str; 4] = [
    "etc/sysctl.d",
    "usr/local/lib/sysctl.d",
    "usr/lib/sysctl.d",
    "lib/sysctl.d",
];

/// The directories with names of modules to load (modules-load.d(5)).
const MODULES_LOAD: [&str; 3] = [
    "etc/modules-load.d",
    "usr/lib/modules-load.d",
    "lib/modules-load.d",
];

/// The program that applies kernel parameters.
const PROGRAM: &[u8] = b"usr/lib/systemd/systemd-sysctl";

/// Returns findings about settings that stop the boot.
pub(super) fn that_stop_the_boot(inventory: &Inventory) -> Vec<Finding> {
    let mut findings: Vec<_> = no_modules(inventory).into_iter().collect();
    findings.extend(shells(inventory));
    findings
}

/// Returns the files of a directory whose names end with `.conf`: name, path and text.
fn files<'a>(inventory: &'a Inventory, dir: &str) -> Vec<(&'a [u8], String, &'a [u8])> {
    let children = inventory.children(dir.as_bytes()).into_iter();
    let confs = children.filter(|(name, _)| name.ends_with(b".conf"));
    let file = |(name, _): (&'a [u8], _)| {
        let path = format!("{dir}/{}", show(name));
        let text = inventory.data(path.as_bytes()).unwrap_or_default();
        (name, path, text)
    };
    confs.map(file).collect()
}

/// Returns the path of the file in `sysctl.d` that sets the kernel parameter `name` during the boot, and the value. Of
/// several lines, the last one applies. `None` if no line sets the parameter, or if the initramfs has no
/// systemd-sysctl, which applies the files.
pub(super) fn parameter(inventory: &Inventory, name: &str) -> Option<(String, String)> {
    inventory.resolve(PROGRAM).ok()?;
    let mut by_name = BTreeMap::new();
    for (name, path, text) in SYSCTL.iter().flat_map(|dir| files(inventory, dir)) {
        by_name.entry(name).or_insert((path, text));
    }
    let mut last = None;
    for (path, text) in by_name.values() {
        for line in String::from_utf8_lossy(text).lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let key = key.trim().trim_start_matches('-').replace('/', ".");
            if key == name {
                last = Some((path.clone(), value.trim().to_owned()));
            }
        }
    }
    last
}

/// Returns a finding if `sysctl.d` sets `kernel.modules_disabled` to 1, the only value that the kernel accepts, and the
/// initramfs has modules.
fn no_modules(inventory: &Inventory) -> Option<Finding> {
    if inventory.kernel_modules().is_empty() {
        return None;
    }
    let set = parameter(inventory, "kernel.modules_disabled");
    let (path, _) = set.filter(|(_, value)| value == "1")?;
    let place = format!("{path} in the initramfs");
    let found = "kernel.modules_disabled=1, after which the kernel loads no driver";
    let expected = "no such line: drivers and file systems are loaded after it is applied";
    Some(Finding::new(place, found, expected, REMEDY))
}

/// Returns the modules that `modules-load.d` names and systemd-modules-load loads.
pub(super) fn loaded_modules(inventory: &Inventory) -> BTreeSet<ModuleName> {
    let files = MODULES_LOAD.iter().flat_map(|dir| files(inventory, dir));
    let lines = files.flat_map(|(_, _, text)| text.split(|&byte| byte == b'\n'));
    let names = lines.map(<[u8]>::trim_ascii);
    names
        .filter(|name| !name.starts_with(b"#") && !name.starts_with(b";"))
        .filter_map(ModuleName::new)
        .collect()
}

/// Returns findings about arguments with which dracut's scripts stop in a shell or wait for input. Empty if the
/// initramfs has no list of dracut's modules.
fn shells(inventory: &Inventory) -> Vec<Finding> {
    if inventory.dracut_modules().is_none() {
        return Vec::new();
    }
    let mut all = files(inventory, "etc/cmdline.d");
    let whole = inventory.data(b"etc/cmdline").unwrap_or_default();
    all.push((b"cmdline", "etc/cmdline".to_owned(), whole));
    let stops = |word: &&[u8]| {
        *word == b"rd.break" || word.starts_with(b"rd.break=") || *word == b"rd.cmdline=ask"
    };
    let mut findings = Vec::new();
    for (_, path, text) in all {
        let mut words = text.split(u8::is_ascii_whitespace);
        if let Some(word) = words.find(stops) {
            let place = format!("{path} in the initramfs");
            let found = format!("{}, with which each boot waits at a prompt", show(word));
            let expected = "no such argument in the initramfs";
            findings.push(Finding::new(place, found, expected, REMEDY));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::Bench;

    #[test]
    fn settings_of_each_boot() {
        let found = |path: &str, text: &str| {
            let mut bench = Bench::good();
            bench.put("usr/lib/dracut/modules.txt", b"base\n");
            bench.link("usr/lib/systemd/systemd-sysctl", "/usr/bin/true");
            bench.put("usr/lib/sysctl.d/50-x.conf", b"kernel.pid_max = 1\n");
            bench.put(path, text.as_bytes());
            let found = bench.findings("initramfs-init");
            found
                .iter()
                .any(|it| it.starts_with(&format!("fatal {path} ")))
        };
        for (path, text, expected) in [
            ("etc/sysctl.d/a.conf", "kernel.modules_disabled = 1\n", true),
            (
                "usr/lib/sysctl.d/a.conf",
                "-kernel/modules_disabled=1\n",
                true,
            ),
            (
                "etc/sysctl.d/a.conf",
                "kernel.modules_disabled=1\nkernel.modules_disabled=0\n",
                false,
            ),
            ("etc/sysctl.d/a.conf", "#kernel.modules_disabled=1\n", false),
            ("etc/sysctl.d/a.txt", "kernel.modules_disabled=1\n", false),
            ("etc/cmdline.d/a.conf", "rd.luks=0 rd.break=mount\n", true),
            ("etc/cmdline.d/a.conf", "rd.cmdline=ask\n", true),
            ("etc/cmdline", "rd.break", true),
            ("etc/cmdline.d/a.conf", "root=UUID=x rd.breaker=1\n", false),
        ] {
            assert_eq!(found(path, text), expected, "{path}: {text}");
        }
    }
}
