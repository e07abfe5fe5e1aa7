// SPDX-License-Identifier: MIT OR Apache-2.0
//! dracut: the one run that builds the initramfs, and what its log lines mean.

use crate::kernel::kver::Kver;
use crate::sys::exec::Cmd;

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
    Cmd::new(options.program)
        .args([
            "--no-hostonly",
            "--kver",
            options.kver.as_str(),
            "--reproducible",
        ])
        .args(["-v", "--stdlog", STDLOG, "--add", "ostree"])
        .args(["--tmpdir", options.tmpdir])
        .args(options.extra)
        .args(["-f", options.output])
        .env("DRACUT_NO_XATTR", "1")
        .env("TMPDIR", options.tmpdir)
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
