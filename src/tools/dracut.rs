// SPDX-License-Identifier: MIT OR Apache-2.0
//! dracut: the one run that builds the initramfs, and what its log lines mean.

use std::collections::BTreeSet;

use crate::checks::Omitted;
use crate::kernel::kver::Kver;
use crate::sys::exec::Cmd;
use crate::sys::root::{self, Root};

/// Where dracut's modules are, relative to the root.
pub const MODULES_D: &str = "usr/lib/dracut/modules.d";

/// Where dracut's configuration is; in an image that is not deployed `etc` may be in `usr`.
const CONF_DIRS: [&str; 4] = [
    "usr/lib/dracut/dracut.conf.d",
    "usr/etc/dracut.conf.d",
    "etc/dracut.conf.d",
    "run/initramfs/dracut.conf.d",
];

/// The largest file of configuration that is read (bytes).
const CONF_MAX: u64 = 1 << 20;

/// The log level that dracut is made to print at, whatever a dracut.conf says (one with
/// `stdloglvl=0` would empty the log that we read): 3 and one `-v` give 4, "info".
const STDLOG: &str = "3";

/// What dracut is asked for.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The program: a name, or an absolute path inside the root.
    pub program: &'a str,
    /// Which kernel.
    pub kver: &'a Kver,
    /// Its directory for temporary files, absolute inside the root, on the file system of the modules.
    pub tmpdir: &'a str,
    /// dracut's modules to add, beside `ostree`: those of the base.
    pub inherited: &'a [String],
    /// What the user put after `--`.
    pub extra: &'a [String],
    /// Where the initramfs goes, absolute inside the root.
    pub output: &'a str,
}

/// The command line.
///
/// `DRACUT_NO_XATTR`: copying extended attributes fails in containers, and dracut-ng 104 to 109
/// drops the file then (dracut-ng#1561). `--no-hostonly`: Fedora's configuration and dracut-ng 109
/// say the opposite.
pub fn build(options: &Options) -> Cmd {
    let cmd = Cmd::new(options.program)
        .args([
            "--no-hostonly",
            "--kver",
            options.kver.as_str(),
            "--reproducible",
        ])
        .args(["-v", "--stdlog", STDLOG, "--add", "ostree"]);
    let cmd = match options.inherited {
        [] => cmd,
        modules => cmd.args(["--add", &modules.join(" ")]),
    };
    cmd.args(["--tmpdir", options.tmpdir])
        .args(options.extra)
        .args(["-f", options.output])
        .env("DRACUT_NO_XATTR", "1")
        .env("TMPDIR", options.tmpdir)
}

/// dracut's modules on disk, by name.
///
/// # Errors
/// When the directory cannot be read.
pub fn modules(root: &Root) -> Result<BTreeSet<String>, root::Error> {
    let names = root.list(MODULES_D)?.into_iter();
    let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
    // Two digits for the order come before the name.
    let plain = |name: String| name.get(2..).unwrap_or_default().to_owned();
    Ok(names.map(plain).collect())
}

/// What dracut's configuration leaves out.
///
/// # Errors
/// When a file of it cannot be read.
pub fn omitted(root: &Root) -> Result<Omitted, root::Error> {
    let mut files = vec!["etc/dracut.conf".to_owned()];
    for dir in CONF_DIRS {
        let names = root.list(dir)?.into_iter();
        let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
        let confs = names.filter(|name| name.ends_with(".conf"));
        files.extend(confs.map(|name| format!("{dir}/{name}")));
    }
    let mut omitted = Omitted::default();
    for file in files {
        // Only what leads to a file is read; `/dev/null` switches one off.
        if root.is_file(&file)?
            && let Some(text) = root.read(&file, CONF_MAX)?
        {
            omitted.read_conf(&String::from_utf8_lossy(&text));
        }
    }
    Ok(omitted)
}

/// The module that a line of the log says cannot be added. dracut stops there, before any work.
///
/// 106: `Module 'x' cannot be installed.` (or `found`); 059: `dracut module 'x' cannot be found or
/// installed.`
pub fn refused_module(line: &str) -> Option<&str> {
    let (_, named) = line.split_once("odule '")?;
    let (name, rest) = named.split_once('\'')?;
    rest.starts_with(" cannot be ").then_some(name)
}

/// How far dracut is.
#[derive(Debug, Default)]
pub struct Progress {
    modules: usize,
}

impl Progress {
    /// What a line of the log says that dracut is at, for people; `None` where it says nothing of
    /// that.
    ///
    /// 059 prints `dracut: *** Including module: x ***`, 106 `dracut[I]: …`.
    pub fn read(&mut self, line: &str) -> Option<String> {
        let (_, stage) = line.split_once("*** ")?;
        let stage = stage.strip_suffix(" ***")?;
        let Some(module) = stage.strip_prefix("Including module: ") else {
            return Some(format!("dracut: {stage}"));
        };
        self.modules += 1;
        Some(format!("dracut: module {}, {module}", self.modules))
    }
}

/// What a line of the log means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Something that was meant to be in the initramfs is not.
    Loss,
    /// It looks bad and is not, or it is plain progress.
    Nothing,
}

/// Phrases of lines that look like a loss and are not: the log facility, and links that dangle in
/// every image.
const HARMLESS: [&str; 2] = ["No '/dev/log' or 'logger' included", "/etc/mtab"];

/// Phrases of lines that mean a loss, dracut's exit status 0 notwithstanding.
/// Sources: layering-examples#57, rpm-ostree#4451, dracut-ng#1561, anaconda#6876.
const LOSS: [&str; 8] = [
    "dracut-install: ERROR: installing",
    "FAILED:",
    "Failed to copy xattr",
    "cp: setting attribute",
    "installkernel failed",
    "modules.dep is missing",
    "No space left on device",
    "doesn't support initramfs, skipping generation",
];

/// Judges one line of dracut's log.
pub fn meaning(line: &str) -> Meaning {
    // /root is a link into /var, which is empty in an image; the initramfs makes its own.
    let is_about_root = line.trim_end().ends_with(" /root") || line.contains("'/root'");
    let is_harmless = is_about_root || HARMLESS.iter().any(|phrase| line.contains(phrase));
    if !is_harmless && LOSS.iter().any(|phrase| line.contains(phrase)) {
        Meaning::Loss
    } else {
        Meaning::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_cannot_be_added_are_named() {
        for (line, expected) in [
            (
                "dracut[E]: Module 'nvmf' cannot be installed.",
                Some("nvmf"),
            ),
            ("dracut[E]: Module 'nvmf' cannot be found.", Some("nvmf")),
            (
                "dracut: dracut module 'nvmf' cannot be found or installed.",
                Some("nvmf"),
            ),
            (
                "dracut[E]: Module 'nvmf' depends on module 'network', which can't be installed",
                None,
            ),
            ("dracut[I]: *** Including module: nvmf ***", None),
        ] {
            assert_eq!(refused_module(line), expected, "{line}");
        }
    }

    #[test]
    fn progress_is_read_off_the_log() {
        let mut progress = Progress::default();
        for (line, expected) in [
            (
                "dracut[I]: *** Including module: systemd ***",
                Some("dracut: module 1, systemd"),
            ),
            ("dracut[I]: Module 'x' will not be installed", None),
            (
                "dracut: *** Including module: ostree ***",
                Some("dracut: module 2, ostree"),
            ),
            (
                "dracut[I]: *** Creating image file '/x' ***",
                Some("dracut: Creating image file '/x'"),
            ),
        ] {
            assert_eq!(progress.read(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn each_line_means_what_it_means() {
        let losses = [
            "dracut-install: ERROR: installing 'mount.nfs'",
            "dracut[E]: FAILED: /usr/lib/dracut/dracut-install -D /var/tmp/dracut.x/initramfs -a nonesuch",
            "dracut: FAILED:  /usr/lib/dracut/dracut-install -D /var/tmp/dracut.x/initramfs -a nonesuch",
            "cp: setting attribute 'security.selinux' for 'x': Operation not supported",
            "dracut[E]: FAILED: /usr/lib/dracut/dracut-install -D /var/tmp/x/initramfs -a bash logger systemctl",
            "dracut[E]: installkernel failed in module kernel-modules",
            "dracut[E]: /lib/modules/6.9//modules.dep is missing. Did you run depmod?",
            "cp: error writing '/var/tmp/x': No space left on device",
            "dracut[W]: This kernel doesn't support initramfs, skipping generation",
        ];
        let nothings = [
            "dracut[I]: *** Including module: ostree ***",
            "dracut[I]: dracut module 'mksh' will not be installed, because command 'mksh' could not be found!",
            "dracut[E]: No '/dev/log' or 'logger' included for syslog logging",
            "dracut-install: ERROR: installing '/root'",
            // Stock Fedora 40 prints it, and boots (dracut-ng#329).
            "dracut[E]: Module 'systemd-pcrphase' depends on 'tpm2-tss', which can't be installed",
            "dracut[E]: FAILED: /usr/lib/dracut/dracut-install -D /var/tmp/dracut.x/initramfs -H /root",
            "dracut[I]: Turning off host-only mode: '/run' is not mounted!",
        ];
        for line in losses {
            assert_eq!(meaning(line), Meaning::Loss, "{line}");
        }
        for line in nothings {
            assert_eq!(meaning(line), Meaning::Nothing, "{line}");
        }
    }
}
