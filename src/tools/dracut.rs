// SPDX-License-Identifier: MIT OR Apache-2.0
//! dracut: the command line that builds the initramfs, its configuration, and the meaning of its log lines.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::path::Path;

use crate::checks::{DracutConf, Omitted, Setups};
use crate::kernel::kver::Kver;
use crate::sys::exec::Cmd;
use crate::sys::root::{self, Root};

pub use self::arguments::{ArgumentNames, KnownOptions};

mod arguments;

/// The directory of dracut's modules, relative to the root.
pub const MODULES_D: &str = "usr/lib/dracut/modules.d";

/// The directories of dracut's drop-ins, in descending precedence. In an image that is not deployed, `/etc` can be
/// `/usr/etc`.
const CONF_DIRS: [&str; 4] = [
    "etc/dracut.conf.d",
    "usr/etc/dracut.conf.d",
    "run/initramfs/dracut.conf.d",
    "usr/lib/dracut/dracut.conf.d",
];

/// Upper bound of a configuration file, and of a script of dracut (bytes).
const CONF_MAX: u64 = 1 << 20;

/// The log level of dracut. It overrides dracut.conf and the user's arguments, because `stdloglvl=0` would empty the
/// log that is parsed. Level 3 and one `-v` result in level 4 (info).
const STDLOG: &str = "3";

/// The parts of dracut's command line that vary.
#[derive(Debug, Clone)]
pub struct DracutRequest<'a> {
    /// The program: a name, or an absolute path inside the root.
    pub program: &'a str,
    /// The kernel.
    pub kver: &'a Kver,
    /// The directory for temporary files, on the file system of the modules: an absolute path inside the root.
    pub tmpdir: &'a str,
    /// The base's dracut modules to add, besides `ostree`.
    pub inherited: &'a [String],
    /// The user's arguments.
    pub extra: &'a [String],
    /// The initramfs: an absolute path inside the root.
    pub output: &'a str,
}

/// Returns the command line. dracut 049 to 112 have all of its options, and merge several `--add`.
///
/// `DRACUT_NO_XATTR` is set because copying extended attributes fails in containers, and dracut-ng 104 to 109 then
/// omits the file (dracut-ng#1561). `--no-hostonly` is given because Fedora's configuration and dracut-ng 109 default
/// to `--hostonly`.
pub fn build(options: &DracutRequest) -> Cmd {
    let cmd = Cmd::new(options.program)
        .args([
            "--no-hostonly",
            "--kver",
            options.kver.as_str(),
            "--reproducible",
        ])
        .args(["-v", "--add", "ostree"]);
    let cmd = match options.inherited {
        [] => cmd,
        modules => cmd.args(["--add", &modules.join(" ")]),
    };
    cmd.args(["--tmpdir", options.tmpdir])
        .args(options.extra)
        .args(["--stdlog", STDLOG, "-f", options.output])
        .env("DRACUT_NO_XATTR", "1")
        .env("TMPDIR", options.tmpdir)
}

/// The programs for compression that an error message suggests, if the image has them.
pub const COMPRESSORS: [&str; 6] = ["zstd", "xz", "gzip", "lz4", "bzip2", "lzop"];

/// Returns the programs for the compression `name`, of which dracut needs one. For most compressions, it is the program
/// of that name.
pub fn programs_of(name: &str) -> Vec<&str> {
    match name {
        "gzip" => vec!["pigz", "gzip"],
        "bzip2" => vec!["lbzip2", "bzip2"],
        "lzo" => vec!["lzop"],
        name => vec![name],
    }
}

/// Reads the options that dracut's script accepts. `None` if the script is missing or too large, or has another form.
///
/// # Errors
/// When the script cannot be read.
pub fn known_options(root: &Root, script: &Path) -> Result<Option<KnownOptions>, root::Error> {
    if root.stat(script)?.is_none_or(|it| it.size > CONF_MAX) {
        return Ok(None);
    }
    let script = root.read(script, CONF_MAX)?.unwrap_or_default();
    Ok(KnownOptions::of_script(&String::from_utf8_lossy(&script)))
}

/// Returns the names of dracut's modules on disk.
///
/// # Errors
/// When the directory cannot be read.
pub fn modules(root: &Root) -> Result<BTreeSet<String>, root::Error> {
    let names = root.list(MODULES_D)?.into_iter();
    let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
    // The name follows two digits, which determine the order.
    let plain = |name: String| name.get(2..).unwrap_or_default().to_owned();
    Ok(names.map(plain).collect())
}

/// Reads dracut's configuration: `/etc/dracut.conf` and the drop-ins.
///
/// # Errors
/// When a file cannot be read.
pub fn conf(root: &Root) -> Result<DracutConf, root::Error> {
    let mut conf = DracutConf::default();
    for (_, text) in configuration(root)? {
        conf.add(&text);
    }
    Ok(conf)
}

/// Returns the path and the text of each configuration file, in the order in which dracut reads them. If two drop-ins
/// have the same name, only that in the first directory of `CONF_DIRS` is read.
fn configuration(root: &Root) -> Result<Vec<(String, String)>, root::Error> {
    let mut files = BTreeMap::new();
    for dir in CONF_DIRS {
        let names = root.list(dir)?.into_iter();
        let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
        for name in names.filter(|name| name.ends_with(".conf")) {
            let path = format!("{dir}/{name}");
            files.entry(name).or_insert(path);
        }
    }
    let mut found = Vec::new();
    for file in iter::once("etc/dracut.conf".to_owned()).chain(files.into_values()) {
        // dracut reads only regular files and links to them; a link to `/dev/null` disables a drop-in.
        if root.is_file(&file)?
            && let Some(text) = root.read(&file, CONF_MAX)?
        {
            found.push((file, String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(found)
}

/// Returns the configuration files that request the kernel module `driver`.
///
/// # Errors
/// When a file cannot be read.
pub fn asking_for_driver(root: &Root, driver: &str) -> Result<Vec<String>, root::Error> {
    let asks = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or_default();
        let name = name.trim().trim_end_matches('+');
        let mut words = value.split(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        ["add_drivers", "force_drivers"].contains(&name) && words.any(|word| word == driver)
    };
    let files = configuration(root)?.into_iter();
    let files = files.filter(|(_, text)| text.lines().any(asks));
    Ok(files.map(|(file, _)| file).collect())
}

/// Returns the kernel module that a line of dracut-install reports as missing: neither a file nor built in.
/// dracut-install stops there, and dracut prints `FAILED: … -m MODULE…` next.
pub fn absent_module(line: &str) -> Option<&str> {
    let (_, named) = line.split_once("Failed to find module '")?;
    named.split_once('\'').map(|(name, _)| name)
}

/// Returns the modules in a line `FAILED: …dracut-install … -m MODULE…`.
pub fn failed_modules(line: &str) -> Vec<&str> {
    let words = line.split_once("FAILED:").map(|(_, command)| command);
    let mut words = words.unwrap_or_default().split_whitespace();
    words.by_ref().find(|word| *word == "-m");
    words.collect()
}

/// Returns the dracut modules and drivers that dracut's configuration omits.
///
/// # Errors
/// As [`conf`].
pub fn omitted(root: &Root) -> Result<Omitted, root::Error> {
    Ok(conf(root)?.omitted)
}

/// Reads the script `module-setup.sh` of each dracut module.
///
/// # Errors
/// When a script cannot be read.
pub fn setups(root: &Root) -> Result<Setups, root::Error> {
    let mut setups = Setups::default();
    for (name, _) in root.list(MODULES_D)? {
        let name = name.to_string_lossy();
        let script = format!("{MODULES_D}/{name}/module-setup.sh");
        if root.is_file(&script)?
            && let Some(text) = root.read(&script, CONF_MAX)?
        {
            let module = name.get(2..).unwrap_or_default();
            setups.add(module, &String::from_utf8_lossy(&text));
        }
    }
    Ok(setups)
}

/// Returns the dracut module that a line of the log reports as unavailable. dracut stops at this point, before it
/// builds anything.
///
/// dracut 106 prints `Module 'x' cannot be installed.` or `Module 'x' cannot be found.`, dracut 059 `dracut module 'x'
/// cannot be found or installed.`
pub fn refused_module(line: &str) -> Option<&str> {
    let (_, named) = line.split_once("odule '")?;
    let (name, rest) = named.split_once('\'')?;
    rest.starts_with(" cannot be ").then_some(name)
}

/// The progress of a dracut run, according to its log.
#[derive(Debug, Default)]
pub struct Progress {
    modules: usize,
    /// Whether dracut includes its module `fips`.
    pub has_fips: bool,
}

impl Progress {
    /// Reads a line of the log. If the line announces an activity, returns the text for the live line on the terminal.
    ///
    /// dracut 059 prints `dracut: *** Including module: x ***`, dracut 106 `dracut[I]: *** Including module: x ***`.
    pub fn read(&mut self, line: &str) -> Option<String> {
        let (_, stage) = line.split_once("*** ")?;
        let stage = stage.strip_suffix(" ***")?;
        let Some(module) = stage.strip_prefix("Including module: ") else {
            return Some(format!("dracut: {stage}"));
        };
        self.modules += 1;
        self.has_fips |= module == "fips";
        Some(format!("dracut: module {}, {module}", self.modules))
    }
}

/// Facts from the logs of dracut and depmod that the initramfs itself does not show.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// dracut modules of the base that can no longer be added.
    pub refused: Vec<String>,
    /// Log lines about the use of a compressor other than the configured one.
    pub compression: Vec<String>,
    /// Whether the initramfs contains dracut's module `fips`, which reads `.vmlinuz.hmac`.
    pub has_fips: bool,
    /// Warnings about requested drivers that neither the kernel nor the base's initramfs has.
    pub absent: Vec<String>,
    /// Lines of depmod about files that it cannot read.
    pub depmod: Vec<String>,
}

/// The meaning of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The initramfs lacks something that was requested.
    Loss,
    /// The kernel does not support an initramfs, so dracut creates none.
    NoInitramfs,
    /// The initramfs is complete, but compressed differently than requested.
    OtherCompression,
    /// Progress, or a harmless message.
    Nothing,
}

/// Phrases of harmless lines that also contain a phrase of [`LOSS`]: lines about `/dev/log`, about a link that dangles
/// in every image, and about libraries. The check `initramfs-init` reports a missing library that a program needs.
const HARMLESS: [&str; 3] = [
    "No '/dev/log' or 'logger' included",
    "/etc/mtab",
    "ERROR: could not locate dependency",
];

/// Phrases of lines that report a loss, although dracut exits with 0. Sources: layering-examples#57, rpm-ostree#4451,
/// dracut-ng#1561, anaconda#6876.
const LOSS: [&str; 7] = [
    "dracut-install: ERROR: ",
    "FAILED:",
    "Failed to copy xattr",
    "cp: setting attribute",
    "installkernel failed",
    "modules.dep is missing",
    "No space left on device",
];

/// Endings of lines that report an `--include` that failed.
const NOT_INCLUDED: [&str; 2] = [
    " doesn't exist",
    " is neither a directory nor a regular file",
];

/// A part of the line that dracut 103 and later print, at any log level, if the kernel does not support an initramfs.
const NO_INITRAMFS: &str = "doesn't support initramfs, skipping generation";

/// Phrases that dracut prints if the requested compressor is missing, or if the kernel cannot decompress its format:
/// dracut then uses its default. dracut 055 to 102 print the second phrase, for zstd.
const OTHER_COMPRESSION: [&str; 2] = ["falling back to default", "Kernel has no zstd support"];

/// Returns the meaning of one line.
pub fn meaning(line: &str) -> Meaning {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| line.contains(phrase));
    // dracut cannot copy /root, which is a link into /var and dangles in an image. This is harmless: the initramfs has
    // a directory /root of its own.
    let is_about_root = line.trim_end().ends_with(" /root") || line.contains("'/root'");
    if line.contains(NO_INITRAMFS) {
        Meaning::NoInitramfs
    } else if has(&OTHER_COMPRESSION) {
        Meaning::OtherCompression
    } else if (has(&LOSS) || is_not_included(line)) && !has(&HARMLESS) && !is_about_root {
        Meaning::Loss
    } else {
        Meaning::Nothing
    }
}

/// Returns whether a line reports that an `--include` failed. dracut 060 and later print their log level in the line.
fn is_not_included(line: &str) -> bool {
    let is_error = line.starts_with("dracut[E]: /") || line.starts_with("dracut: /");
    is_error
        && NOT_INCLUDED
            .iter()
            .any(|end| line.trim_end().ends_with(end))
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
    fn dracuts_lines_are_classified() {
        let losses = [
            "dracut-install: ERROR: installing 'mount.nfs'",
            "dracut[E]: FAILED: /usr/lib/dracut/dracut-install -D /var/tmp/dracut.x/initramfs -a nonesuch",
            "dracut: FAILED:  /usr/lib/dracut/dracut-install -D /var/tmp/dracut.x/initramfs -a nonesuch",
            "cp: setting attribute 'security.selinux' for 'x': Operation not supported",
            "dracut[E]: FAILED: /usr/lib/dracut/dracut-install -D /var/tmp/x/initramfs -a bash logger systemctl",
            "dracut[E]: installkernel failed in module kernel-modules",
            "dracut[E]: /lib/modules/6.9//modules.dep is missing. Did you run depmod?",
            "cp: error writing '/var/tmp/x': No space left on device",
            "dracut-install: ERROR: 'cp --reflink=auto --sparse=auto --preserve=mode,xattr,timestamps -fL /usr/bin/kmod /var/tmp/x/initramfs/usr/bin/kmod' failed with 1",
            "dracut-install: ERROR: failed to install '/usr/lib64/libx.so.1' for '/usr/bin/x'",
            "dracut-install: Failed to copy xattr security.ima: Operation not supported",
            "dracut[E]: /etc/mine.conf doesn't exist",
            "dracut: /etc/mine.conf doesn't exist",
            "dracut[E]: /dev/null is neither a directory nor a regular file",
        ];
        let nothings = [
            "dracut[I]: *** Including module: ostree ***",
            "dracut[I]: dracut module 'mksh' will not be installed, because command 'mksh' could not be found!",
            "dracut[E]: No '/dev/log' or 'logger' included for syslog logging",
            "dracut-install: ERROR: installing '/root'",
            // dracut of Fedora 40 prints this line for an image that boots (dracut-ng#329).
            "dracut[E]: Module 'systemd-pcrphase' depends on 'tpm2-tss', which can't be installed",
            "dracut[E]: FAILED: /usr/lib/dracut/dracut-install -D /var/tmp/dracut.x/initramfs -H /root",
            "dracut[I]: Turning off host-only mode: '/run' is not mounted!",
            "dracut: Turning off host-only mode: '/run' is not mounted!",
            // A container cannot create device nodes; the segment that is appended to the initramfs contains them.
            "mknod: /var/tmp/dracut.x/initramfs/dev/null: Operation not permitted",
            "mknod: '/var/tmp/dracut.x/initramfs/dev/random': Operation not permitted",
            "dracut: Cannot create /dev/random",
            "dracut: To create an initramfs with fips support, dracut has to run as root",
            "dracut: dracut module 'mksh' will not be installed, because command 'mksh' could not be found!",
            "dracut[I]: Module 'nvmf' will not be installed, because kernel module 'nvme' is not available!",
            "dracut: dracut module 'systemd-pcrphase' depends on 'tpm2-tss', which can't be installed",
            "dracut[E]: Module 'bluetooth' depends on module 'dbus', which can't be installed",
            "dracut[I]: Skipping program /bin/x using in udev rule 99.rules as it cannot be found",
            "dracut-install: WARNING: could not locate dlopen dependency for idn feature requested by 'libsystemd-shared-262.so'",
            "dracut-install: ERROR: could not locate dependency libelf.so.1 requested by 'libbpf.so.1'",
            "dracut-install: Missing firmware xhci.mem for kernel module xhci_pci_renesas",
            "dracut: touch /var/log/dracut.log failed.",
            "dracut[E]: '/var/log/dracut.log' is not a writable file",
            "dracut[W]: Disabling early microcode, because kernel does not support it. CONFIG_MICROCODE!=y",
            "dracut[W]: Could not fsfreeze /usr/lib/modules",
            "dracut[W]: No compression tool available. Initramfs image is going to be big.",
            "dracut[I]: Using auto-determined compression method 'zstd'",
            "dracut: cpio does not support '--reproducible'. Resulting image will not be reproducible.",
            "findmnt: can't read /proc/mounts: No such file or directory",
            "dracut[I]: a module of somebody's: the key doesn't exist",
            "dracut[E]: ldconfig exited ungracefully",
        ];
        let compressions = [
            "dracut[E]: Cannot execute compression command 'lzop -9', falling back to default",
            "dracut: Cannot execute compression command 'lzo', falling back to default",
            "dracut[E]: The target kernel does not support 'lzma', falling back to default",
            "dracut: Kernel has no zstd support compiled in.",
        ];
        for line in compressions {
            assert_eq!(meaning(line), Meaning::OtherCompression, "{line}");
        }
        let none = "This kernel doesn't support initramfs, skipping generation";
        assert_eq!(meaning(none), Meaning::NoInitramfs);
        for line in losses {
            assert_eq!(meaning(line), Meaning::Loss, "{line}");
        }
        for line in nothings {
            assert_eq!(meaning(line), Meaning::Nothing, "{line}");
        }
    }
}
