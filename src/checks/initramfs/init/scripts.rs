// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds scripts without an interpreter, empty programs, a last command of `/init` that cannot start, and links that
//! enable missing units.
//!
//! A fault is fatal in a file that is named by `/init`, a dracut hook, a udev rule, or a unit that a boot can start.
//! systemd runs all generators, but a boot may succeed without them, so a fault of a generator is a warning. In any
//! other file, a fault is a note.

use crate::boot::{CannotRun, Graph, RootSetup, has_unit, run};
use crate::bytes::contains;
use crate::checks::{Finding, Remedy, Severity, show};
use crate::initramfs::{EntryType, Facts, Inventory, Node};

/// Returns findings about scripts that cannot run, and about empty programs.
pub(super) fn that_cannot_run(
    inventory: &Inventory,
    facts: &Facts,
    graph: &Graph,
    remedy: &Remedy,
) -> Vec<Finding> {
    let broken = inventory
        .nodes()
        .filter_map(|(path, node)| Some((path, broken(inventory, facts, path, node)?)));
    let finding = |(path, broken): (&[u8], Broken)| {
        let is_named = graph.names(path);
        // systemd runs all generators, although no file names them.
        let is_generator = contains(path, b"systemd/system-generators/");
        let (found, expected) = match broken {
            // An empty file that nothing runs is harmless.
            Broken::Empty if !is_named && !is_generator => return None,
            Broken::Empty => ("an empty file".to_owned(), "a program or a script"),
            Broken::Without(why) => (why, "an interpreter that is in the initramfs"),
        };
        let place = format!("{} in the initramfs", show(path));
        let finding = Finding::new(place, found, expected, remedy.clone());
        Some(match (is_named, is_generator) {
            (true, _) => finding,
            (false, true) => finding.only(Severity::Warning),
            (false, false) => finding.only(Severity::Note),
        })
    };
    broken.filter_map(finding).collect()
}

/// The defect of an executable file.
enum Broken {
    /// The file is empty.
    Empty,
    /// The file is a script whose interpreter cannot run, with the reason.
    Without(String),
}

/// Returns the defect of an executable file; `None` if it has none, or if the file is not executable: such a file is
/// sourced, or is not a program.
fn broken(inventory: &Inventory, facts: &Facts, path: &[u8], node: &Node) -> Option<Broken> {
    let content = inventory.content(node)?;
    if node.mode & 0o111 == 0 {
        return None;
    }
    if content.size == 0 {
        return Some(Broken::Empty);
    }
    let line = content.interpreter()?;
    if let Err(why) = run(inventory, facts, &[b"/", path].concat()) {
        return Some(Broken::Without(why.to_string()));
    }
    let name = of_env(line)?;
    let why = run(inventory, facts, name).err()?;
    let said = format!("a script for {}, ", show(name));
    Some(Broken::Without(match why {
        CannotRun::Missing => said + "which the initramfs does not have",
        why => format!("{said}which is {why}"),
    }))
}

/// Returns the program that `env` starts in a `#!` line; `None` if the line has another interpreter.
fn of_env(line: &[u8]) -> Option<&[u8]> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    if !words.next()?.ends_with(b"/env") {
        return None;
    }
    // Options of env and variable assignments come first.
    words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))
}

/// Returns a finding if `/init` is a script whose last line executes (`exec`) a program that cannot start. `None` if
/// the program is not an absolute path of literal characters.
pub(super) fn last_act_of_init(
    inventory: &Inventory,
    facts: &Facts,
    remedy: &Remedy,
) -> Option<Finding> {
    let (path, node) = inventory.resolve(b"init").ok()?;
    let content = inventory.content(node).filter(|it| !it.is_elf())?;
    let lines = content.data.as_deref()?.split(|&byte| byte == b'\n');
    let mut lines = lines.map(<[u8]>::trim_ascii);
    let last = lines.rfind(|line| !line.is_empty() && !line.starts_with(b"#"))?;
    let mut words = last
        .split(u8::is_ascii_whitespace)
        .filter(|it| !it.is_empty());
    let is_exec = words.next() == Some(b"exec");
    let program = words.next().filter(|it| is_exec && it.starts_with(b"/"))?;
    if program.iter().any(|byte| b"$`\"'\\*?{".contains(byte)) {
        return None;
    }
    let why = run(inventory, facts, program).err()?;
    let place = format!("{} in the initramfs", show(program).trim_start_matches('/'));
    let expected = format!("a program: {} executes it as its last command", show(path));
    Some(Finding::new(
        place,
        why.to_string(),
        expected,
        remedy.clone(),
    ))
}

/// Returns warnings about links in `*.wants` to missing units. The check `initramfs-units` examines links in
/// `*.requires`.
pub(super) fn wants(inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, node) in inventory.nodes() {
        let mut parts = path.rsplit(|&byte| byte == b'/');
        let (Some(unit), Some(dir)) = (parts.next(), parts.next()) else {
            continue;
        };
        let is_link = node.kind == EntryType::Symlink && contains(path, b"systemd/system/");
        // The check `initramfs-ostree` reports these units.
        let setups = [RootSetup::Ostree, RootSetup::Bootc];
        let is_of_ostree = setups.iter().any(|it| it.unit().as_bytes() == unit);
        let wanted = dir.ends_with(b".wants");
        if !is_link
            || !wanted
            || is_of_ostree
            || inventory.resolve(path).is_ok()
            || has_unit(inventory, unit)
        {
            continue;
        }
        let place = format!("{} in the initramfs", show(path));
        let found = format!(
            "a link to {}, which the initramfs does not have",
            show(&node.target)
        );
        let remedy = "install the unit with install_items in /etc/dracut.conf.d, or remove the link's dracut module";
        let finding = Finding::new(place, found, "a unit that is in the initramfs", remedy);
        findings.push(finding.only(Severity::Warning));
    }
    findings
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::Bench;
    use crate::initramfs::testing::item;

    const UNITS: &str = "usr/lib/systemd/system";

    /// Returns a bench with a unit that nothing starts. The unit runs a script whose interpreter is not in the
    /// initramfs.
    fn unused() -> Bench {
        let mut bench = Bench::good();
        let script = item("usr/bin/helper", 0o100_755, b"#!/usr/bin/python3\n");
        bench.inside.insert("usr/bin/helper".into(), script);
        let unit = b"[Service]\nExecStart=/usr/bin/helper\n";
        bench.put(&format!("{UNITS}/site@.service"), unit);
        bench
    }

    #[test]
    fn a_script_matters_if_a_boot_can_start_its_unit() {
        let severity = |bench: &Bench| {
            let found = bench.findings("initramfs-init");
            let of_script = found.iter().find(|it| it.contains("usr/bin/helper"));
            of_script.unwrap().split(' ').next().unwrap().to_owned()
        };
        assert_eq!(severity(&unused()), "note");
        type Start = fn(&mut Bench);
        let starts: [(&str, &str, Start); 8] = [
            ("a link", "fatal", |bench| {
                let wants = "etc/systemd/system/initrd.target.wants";
                bench.link(&format!("{wants}/site@x.service"), "/x");
            }),
            ("a link of a target that nothing starts", "note", |bench| {
                let wants = format!("{UNITS}/multi-user.target.wants");
                bench.link(&format!("{wants}/site@x.service"), "/x");
            }),
            ("a unit that a target wants", "fatal", |bench| {
                let text = b"[Unit]\nWants=site@x.service\n";
                bench.put(&format!("{UNITS}/initrd-root-fs.target"), text);
                bench.put(
                    &format!("{UNITS}/initrd.target"),
                    b"Requires=initrd-root-fs.target\n",
                );
            }),
            ("a drop-in", "fatal", |bench| {
                let text = b"[Unit]\nOnSuccess=site@x.service\n";
                bench.put(&format!("{UNITS}/initrd.target.d/site.conf"), text);
            }),
            ("ordering", "note", |bench| {
                let text = b"[Unit]\nAfter=site@x.service\n";
                bench.put(&format!("{UNITS}/initrd.target.d/site.conf"), text);
            }),
            ("a socket", "fatal", |bench| {
                bench.put(&format!("{UNITS}/site@.socket"), b"[Socket]\n");
                let wants = format!("{UNITS}/initrd.target.wants");
                bench.link(&format!("{wants}/site@x.socket"), "../site@.socket");
            }),
            ("a udev rule", "fatal", |bench| {
                let rule = b"ENV{SYSTEMD_WANTS}+=\"site@$name.service site@x.service\"\n";
                bench.put("usr/lib/udev/rules.d/90-site.rules", rule);
            }),
            ("a generator", "fatal", |bench| {
                let generator = b"#!/usr/bin/true\nln -s site@x.service $1\n";
                bench.put("usr/lib/systemd/system-generators/site", generator);
            }),
        ];
        for (start, expected, change) in starts {
            let mut bench = unused();
            change(&mut bench);
            assert_eq!(severity(&bench), expected, "{start}");
        }
    }
}
