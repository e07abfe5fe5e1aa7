// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands that a boot must run to reach the real root, and the units that these commands need.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::command::UnitCommand;
use super::context::Work;
use super::transaction::{Boot, Reach};
use crate::initramfs::{Facts, Inventory};

/// A command that a boot must run.
#[derive(Debug)]
pub struct Goal {
    is_command: fn(&UnitCommand) -> bool,
    /// The unit that runs the command, by its name in systemd, ostree or bootc.
    pub unit: &'static str,
    /// The command's name and purpose, as a part of a message.
    pub what: &'static str,
}

impl Goal {
    const fn new(
        is_command: fn(&UnitCommand) -> bool,
        unit: &'static str,
        what: &'static str,
    ) -> Self {
        Self {
            is_command,
            unit,
            what,
        }
    }
}

const SWITCH_ROOT: Goal = Goal::new(
    UnitCommand::switches_root,
    "initrd-switch-root.service",
    "the switch to the real root (systemctl switch-root)",
);

const UDEVD: Goal = Goal::new(
    |it| it.is_program(b"systemd-udevd"),
    "systemd-udevd.service",
    "systemd-udevd, which loads drivers and names disks",
);

const TRIGGER: Goal = Goal::new(
    |it| it.is_program(b"udevadm") && it.has_argument(b"trigger"),
    "systemd-udev-trigger.service",
    "udevadm trigger, which announces the existing devices to udev",
);

const OSTREE: Goal = Goal::new(
    |it| it.is_program(b"ostree-prepare-root"),
    "ostree-prepare-root.service",
    "ostree-prepare-root, which mounts the deployment",
);

const BOOTC: Goal = Goal::new(
    |it| it.has_path(b"bootc/initramfs-setup"),
    "bootc-root-setup.service",
    "bootc-root-setup, which mounts the root",
);

/// The program that sets up the root of a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootSetup {
    /// ostree-prepare-root.
    #[default]
    Ostree,
    /// bootc's initramfs-setup, for its composefs backend.
    Bootc,
}

impl RootSetup {
    /// Returns the program that the initramfs contains: ostree's if it contains both, `None` if it contains neither.
    pub fn of(inventory: &Inventory) -> Option<Self> {
        let mut setups = [Self::Ostree, Self::Bootc].into_iter();
        setups.find(|it| inventory.resolve(it.program().as_bytes()).is_ok())
    }

    /// Returns the path of the program in the initramfs. bootc builds its program from `crates/initramfs`.
    pub fn program(self) -> &'static str {
        match self {
            Self::Ostree => "usr/lib/ostree/ostree-prepare-root",
            Self::Bootc => "usr/lib/bootc/initramfs-setup",
        }
    }

    /// Returns the name of the unit that runs the program.
    pub fn unit(self) -> &'static str {
        self.goal().unit
    }

    fn goal(self) -> &'static Goal {
        match self {
            Self::Ostree => &OSTREE,
            Self::Bootc => &BOOTC,
        }
    }
}

/// The units that a boot starts, and those of them that the goals need.
#[derive(Debug)]
pub struct Booted {
    /// The jobs of the boot.
    pub boot: Boot,
    /// The jobs that lead to the goals, and all jobs that these jobs require.
    pub needed: BTreeSet<usize>,
    /// The goals that are not reached, each with the jobs that lead to it and all jobs that these jobs require. `None`
    /// if no job leads to the goal.
    pub unmet: Vec<(&'static Goal, Option<BTreeSet<usize>>)>,
}

/// Returns the kind of work that a command does.
fn work(command: &UnitCommand) -> Work {
    let is_one = |goals: &[Goal]| goals.iter().any(|goal| (goal.is_command)(command));
    if is_one(&[OSTREE, BOOTC]) {
        Work::Mounts
    } else if is_one(&[SWITCH_ROOT, UDEVD, TRIGGER]) {
        Work::Privileged
    } else {
        Work::Any
    }
}

impl Booted {
    /// Returns whether the command is that of any goal, also of one that this boot does not have.
    pub fn is_goal(command: &UnitCommand) -> bool {
        work(command) != Work::Any
    }

    /// Follows the units of an initramfs; `None` if `/init` neither is nor executes systemd. The goals are the commands
    /// of every boot and, if `setup` is given, the command that runs this program.
    pub fn new(inventory: &Inventory, facts: &Facts, setup: Option<RootSetup>) -> Option<Self> {
        if !is_systemd(inventory) {
            return None;
        }
        let boot = Boot::new(inventory, facts, &work);
        let goals = [&SWITCH_ROOT, &UDEVD, &TRIGGER]
            .into_iter()
            .chain(setup.map(RootSetup::goal));
        let mut needed = BTreeSet::new();
        let mut unmet = Vec::new();
        for goal in goals {
            match boot.reach(&goal.is_command) {
                Reach::Runs(path) => needed.extend(boot.with_required(&path)),
                Reach::Broken(path) => {
                    let jobs = boot.with_required(&path);
                    needed.extend(&jobs);
                    unmet.push((goal, Some(jobs)));
                }
                Reach::Never => unmet.push((goal, None)),
            }
        }
        Some(Self {
            boot,
            needed,
            unmet,
        })
    }
}

/// Returns whether `/init` leads to systemd, or is a script with a line that replaces the script by systemd (`exec
/// …/lib/systemd/systemd`).
pub fn is_systemd(inventory: &Inventory) -> bool {
    const SYSTEMD: &[u8] = b"lib/systemd/systemd";
    let Ok((path, node)) = inventory.resolve(b"init") else {
        return false;
    };
    let content = inventory.content(node).filter(|it| !it.is_elf());
    let script = content.and_then(|it| it.data.as_deref());
    let mut lines = script.unwrap_or_default().split(|&byte| byte == b'\n');
    let execs = |line: &[u8]| {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|it| !it.is_empty());
        words.next() == Some(b"exec") && words.next().is_some_and(|it| it.ends_with(SYSTEMD))
    };
    path.ends_with(SYSTEMD) || lines.any(execs)
}
