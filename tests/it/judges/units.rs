// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares this program's parser of units with `systemd-analyze verify`: which units are accepted, their dependencies,
//! and their command lines.

use std::collections::{BTreeMap, BTreeSet};

use ostree_kernel::boot::{Dependency, Load, Trace, Unit};

use super::{Judge, Random, put, read_image, rounds};
use crate::corpus::archive::Archive;
use crate::corpus::products::Base;

const DIR: &str = "usr/lib/systemd/system/";

/// The types of units that are mutated and compared.
const KINDS: [&str; 3] = [".service", ".target", ".socket"];

/// Lines that a mutation inserts.
const SETTINGS: [&str; 36] = [
    "[Unit]",
    "[Service]",
    "[Socket]",
    "[Instal]",
    "[Unit",
    "Requires=absent.service",
    "Requires=",
    "Wants=a b.service c@d.service",
    "After=\"basic.target\" %n",
    "Before=%p.target",
    "BindsTo=sysinit.target",
    "Requisite=nss-lookup.target",
    "Conflicts=emergency.target",
    "Upholds=rescue.service",
    "OnSuccess=halt.target",
    "DefaultDependencies=no",
    "DefaultDependencies=maybe",
    "ExecStart=",
    "ExecStart=/bin/true",
    "ExecStart=-/bin/a \"b c\" d",
    "ExecStart=true ; false x",
    "ExecStart=bin/true",
    "ExecStart=@/bin/sh name -c x",
    "ExecStart=+!/bin/x",
    "ExecStart=\"/bin/q r\" s",
    "ExecStart=/bin/x \\",
    "ExecStop=/bin/true",
    "Type=oneshot",
    "Type=simple",
    "Type=onshot",
    "RemainAfterExit=yes",
    "Restart=always",
    "SuccessAction=none",
    "SuccessAction=reboot",
    "ListenStream=/run/x",
    "# comment",
];

/// Suffixes of units on which systemd adds implicit dependencies, which this program does not add.
const IMPLIED: [&str; 9] = [
    ".slice",
    ".mount",
    ".swap",
    ".device",
    "systemd-journald.socket",
    "systemd-tmpfiles-setup.service",
    "shutdown.target",
    "umount.target",
    ".automount",
];

/// The compared parts of a unit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The dependencies in the unit's own settings: the kind, and the other unit.
    dependencies: BTreeSet<(Dependency, String)>,
    /// All dependencies: also the reverse of ordering dependencies in the settings of other units, and for systemd
    /// those that it adds.
    all: BTreeSet<(Dependency, String)>,
    /// The command lines of `ExecCondition=`, `ExecStartPre=`, `ExecStart=` and `ExecStartPost=`.
    commands: Vec<String>,
}

type Units = BTreeMap<String, Seen>;

#[test]
fn systemd_reads_the_same_units() {
    for base in [Base::TrixieSlim, Base::BookwormOmit] {
        let Some(judge) = Judge::of(base) else {
            return;
        };
        compare(&judge, base.name());
    }
}

fn compare(judge: &Judge, name: &str) {
    let mut random = Random::of("units");
    let small = units_of(&judge.image);
    let sources: Vec<String> = small
        .paths()
        .filter(|path| path.starts_with(DIR) && path[DIR.len()..].matches('/').count() == 0)
        .filter(|path| KINDS.iter().any(|end| path.ends_with(end)))
        .filter(|path| small.mode(path) & 0o170_000 == 0o100_000)
        .map(str::to_owned)
        .collect();
    assert!(sources.len() > 30, "{sources:?}");
    let mut wrong = Vec::new();
    let mut mutations = 0;
    let mut judged = 0;
    for _ in 0..rounds(5) {
        let mut image = small.clone();
        let mut changed = BTreeMap::new();
        for path in &sources {
            // initrd.target is not changed: without it, there is no transaction to compare.
            if random.below(4) == 0 && !path.ends_with("/initrd.target") {
                let text = change(&mut random, image.get(path));
                image.replace(path, text.clone());
                changed.insert(path.clone(), text);
                mutations += 1;
            }
        }
        for (path, text) in &changed {
            put(&judge.unpacked().join(path), 0o100_644, text);
        }
        let ours = read_by_this_program(&image);
        let names: Vec<&str> = ours.keys().map(String::as_str).collect();
        let theirs = read_by_systemd(judge, &names);
        for (name, ours) in &ours {
            judged += 1;
            let path = format!("{DIR}{name}");
            let text = changed.get(&path).map(|it| String::from_utf8_lossy(it));
            let text = text.unwrap_or_default();
            if let Some(why) = differ(ours.as_ref(), theirs.get(name)) {
                wrong.push(format!("{name}: {why}\n{text}\n"));
            }
        }
        for path in changed.keys() {
            put(&judge.unpacked().join(path), 0o100_644, small.get(path));
        }
    }
    println!("{name}: {mutations} mutations, {judged} units compared");
    assert!(wrong.is_empty(), "{}: {}", wrong.len(), wrong.join("\n"));
}

/// Returns the difference between two readings of a unit, if there is one. A reading is `None` if the unit is refused.
fn differ(ours: Option<&Seen>, theirs: Option<&Seen>) -> Option<String> {
    let (ours, theirs) = match (ours, theirs) {
        (None, None) => return None,
        (Some(_), None) => return Some("only systemd refuses it".to_owned()),
        (None, Some(_)) => return Some("only this program refuses it".to_owned()),
        (Some(ours), Some(theirs)) => (ours, theirs),
    };
    let more: Vec<_> = ours.dependencies.difference(&theirs.all).collect();
    let fewer = theirs.dependencies.difference(&ours.all);
    let is_implied = |name: &str| IMPLIED.iter().any(|end| name.ends_with(end));
    let fewer: Vec<_> = fewer.filter(|it| !is_implied(&it.1)).collect();
    if !more.is_empty() || !fewer.is_empty() {
        return Some(format!("dependencies: we add {more:?}, we lack {fewer:?}"));
    }
    let pairs = ours.commands.iter().zip(&theirs.commands);
    let is_same = pairs
        .clone()
        .all(|(ours, theirs)| same_command(ours, theirs))
        && ours.commands.len() == theirs.commands.len();
    (!is_same).then(|| {
        format!(
            "commands: {:?}, systemd: {:?}",
            ours.commands, theirs.commands
        )
    })
}

/// Returns whether a command line of this program is the same as that of systemd. systemd prints argv[0] in place of
/// the program; the prefix `@` makes argv[0] another name.
fn same_command(ours: &str, theirs: &str) -> bool {
    let split = |line: &str| {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        (first.to_owned(), rest.to_owned())
    };
    let ((program, ours), (name, theirs)) = (split(ours), split(theirs));
    let is_named = program.starts_with('/') && !name.starts_with('/');
    ours == theirs && (program == name || is_named)
}

/// Returns the image without large files that are not units.
fn units_of(image: &Archive) -> Archive {
    let mut small = image.clone();
    small.remove_all(|path| {
        path.starts_with("usr/lib/modules/")
            || path.starts_with("usr/lib/firmware/")
            || path.ends_with(".so")
            || path.contains(".so.")
    });
    small
}

fn change(random: &mut Random, text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split(|&it| it == b'\n').map(<[u8]>::to_vec).collect();
    let at = random.below(lines.len());
    match random.below(7) {
        0 => {
            lines.remove(at);
        }
        1 => {
            let mut text = text.to_vec();
            text.truncate(random.below(text.len()));
            return text;
        }
        2 if !text.is_empty() => {
            let mut text = text.to_vec();
            let at = random.below(text.len());
            text[at] = *random.pick(b"abc=[]#; \n\\%\"/.-AR\t");
            return text;
        }
        3 => {
            let other = lines[random.below(lines.len())].clone();
            lines.insert(at, other);
        }
        _ => lines.insert(at, random.pick(&SETTINGS).as_bytes().to_vec()),
    }
    lines.join(&b'\n')
}

fn read_by_this_program(image: &Archive) -> BTreeMap<String, Option<Seen>> {
    let (inventory, facts) = read_image(image);
    let trace = Trace::new(&inventory, &facts, None);
    let boot = trace.booted.expect("an image with systemd").boot;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seen = |unit: &Unit| Seen {
        dependencies: unit
            .dependencies
            .iter()
            .filter(|(kind, _)| *kind != Dependency::Starts)
            .map(|(kind, name)| (*kind, text(name)))
            .collect(),
        all: BTreeSet::new(),
        commands: unit
            .commands
            .iter()
            .map(|it| {
                let program = it.program.as_deref().map_or("?".to_owned(), text);
                let words = it.arguments.iter().map(|it| text(it));
                std::iter::once(program)
                    .chain(words)
                    .collect::<Vec<_>>()
                    .join(" ")
            })
            .collect(),
    };
    let mut orders: BTreeMap<String, Vec<(Dependency, String)>> = BTreeMap::new();
    for unit in boot.jobs.iter().map(|job| &job.unit) {
        for (kind, other) in &unit.dependencies {
            let reverse = match kind {
                Dependency::Before => Dependency::After,
                Dependency::After => Dependency::Before,
                _ => continue,
            };
            let order = (reverse, text(&unit.name));
            orders.entry(text(other)).or_default().push(order);
        }
    }
    let mut found = BTreeMap::new();
    for unit in boot.jobs.iter().map(|job| &job.unit) {
        let is_compared = KINDS
            .iter()
            .any(|kind| unit.name.ends_with(kind.as_bytes()));
        // A unit without a file is one that a generator writes, or one that does not exist.
        let is_generated = unit.load != Load::NotFound && unit.path.is_empty();
        if !is_compared || is_generated || unit.load == Load::Unread {
            continue;
        }
        let mut seen = seen(unit);
        seen.all = seen.dependencies.clone();
        seen.all
            .extend(orders.remove(&text(&unit.name)).unwrap_or_default());
        found.insert(
            text(&unit.name),
            (unit.load == Load::Loaded).then_some(seen),
        );
    }
    found
}

fn read_by_systemd(judge: &Judge, units: &[&str]) -> Units {
    let root = format!("--root={}", judge.inside("image"));
    let mut arguments = vec!["systemd-analyze", "verify", "--man=no", &root];
    arguments.extend(units);
    let output = judge.run(
        &judge.root,
        Some(("SYSTEMD_LOG_LEVEL", "debug")),
        &arguments,
    );
    let mut found = Units::new();
    let mut unit: Option<(String, Seen)> = None;
    let mut command = false;
    for line in output.lines() {
        let line = line.trim_start();
        if let Some(name) = line
            .strip_prefix("→ Unit ")
            .or_else(|| line.strip_prefix("-> Unit "))
        {
            found.extend(unit.take());
            unit = Some((name.trim_end_matches(':').to_owned(), Seen::default()));
            continue;
        }
        let Some((_, seen)) = &mut unit else {
            continue;
        };
        if let Some(key) = line
            .strip_prefix("→ Exec")
            .or_else(|| line.strip_prefix("-> Exec"))
        {
            command = ["Condition:", "StartPre:", "Start:", "StartPost:"].contains(&key);
        }
        let Some((key, value)) = line.split_once(": ") else {
            continue;
        };
        if key == "Command Line" && command {
            // systemd-analyze prints words with spaces in quotes; this program's command lines have no quotes.
            seen.commands.push(value.replace('"', ""));
        }
        let kind = match key {
            "Requires" | "Requisite" | "BindsTo" => Dependency::Requires,
            "Wants" | "Upholds" | "OnSuccess" | "Triggers" => Dependency::Wants,
            "After" => Dependency::After,
            "Before" => Dependency::Before,
            "Conflicts" => Dependency::Conflicts,
            _ => continue,
        };
        let (name, origin) = value.split_once(' ').unwrap_or((value, ""));
        seen.all.insert((kind, name.to_owned()));
        if origin.contains("origin-file") && key != "Triggers" {
            seen.dependencies.insert((kind, name.to_owned()));
        }
    }
    found.extend(unit);
    found
}
