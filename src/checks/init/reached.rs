// SPDX-License-Identifier: MIT OR Apache-2.0
//! The units that a boot can start: what `default.target` and the targets of the initramfs lead to.
//!
//! It takes too many rather than too few: every unit that a reached unit names counts, but for
//! ordering and conflicts, and every unit that a generator, a udev rule, a hook or `/init` names.

use std::collections::HashSet;

use super::units::{UNITS, text};
use crate::initramfs::{Inventory, Kind};

/// Where each boot begins, and what dracut and systemd start by name.
const ROOTS: [&[u8]; 4] = [
    b"default.target",
    b"initrd.target",
    b"initrd-switch-root.target",
    b"initrd-switch-root.service",
];

/// How names of units end.
const KINDS: [&[u8]; 8] = [
    b".service",
    b".socket",
    b".target",
    b".mount",
    b".path",
    b".timer",
    b".swap",
    b".slice",
];

/// Settings that start nothing.
const ORDERING: [&[u8]; 7] = [
    b"After=",
    b"Before=",
    b"Conflicts=",
    b"PartOf=",
    b"Description=",
    b"Documentation=",
    b"#",
];

/// The names of the units that a boot can start. `others` are texts, or programs, that start units
/// by their names.
pub(super) fn units<'a>(
    inventory: &'a Inventory,
    others: impl Iterator<Item = &'a [u8]>,
) -> HashSet<Vec<u8>> {
    let mut todo: Vec<Vec<u8>> = ROOTS.iter().map(|root| root.to_vec()).collect();
    todo.extend(others.flat_map(names));
    let mut reached = HashSet::new();
    while let Some(unit) = todo.pop() {
        if !reached.insert(unit.clone()) {
            continue;
        }
        // A link is another name of a unit.
        if let Ok((path, text)) = text(inventory, &unit) {
            todo.extend(path.rsplit(|&byte| byte == b'/').next().map(<[u8]>::to_vec));
            todo.extend(started(text));
        }
        todo.extend(template(&unit));
        let dot = unit.iter().rposition(|&byte| byte == b'.');
        if let Some((stem, b".socket" | b".path" | b".timer")) = dot.map(|dot| unit.split_at(dot)) {
            todo.push([stem, b".service"].concat());
        }
        for dir in UNITS {
            let beside = |end: &[u8]| inventory.children(&[dir, b"/", &unit, end].concat());
            for end in [b".wants".as_slice(), b".requires", b".upholds"] {
                todo.extend(beside(end).into_iter().map(|(name, _)| name.to_vec()));
            }
            for (_, node) in beside(b".d") {
                let content = inventory.content(node).filter(|_| node.kind == Kind::File);
                let text = content.and_then(|content| content.data.as_deref());
                todo.extend(started(text.unwrap_or_default()));
            }
        }
    }
    reached
}

/// The units that a unit's text can start.
fn started(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(|line| !ORDERING.iter().any(|start| line.starts_with(start)));
    lines.flat_map(names)
}

/// The words that may name units.
fn names(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.+@-:\\".contains(byte);
    let words = text.split(move |byte| !is_part(byte));
    let words = words.filter(|word| KINDS.iter().any(|kind| word.ends_with(kind)));
    words.map(<[u8]>::to_vec)
}

/// The template of an instance.
pub(super) fn template(unit: &[u8]) -> Option<Vec<u8>> {
    let at = unit.iter().position(|&byte| byte == b'@')?;
    let dot = unit.iter().rposition(|&byte| byte == b'.')?;
    (at < dot).then(|| [&unit[..=at], &unit[dot..]].concat())
}

#[cfg(test)]
mod tests {
    use crate::checks::testing::Bench;
    use crate::initramfs::testing::item;

    const UNITS: &str = "usr/lib/systemd/system";

    /// A bench with a unit whose script has an interpreter that is not inside.
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
