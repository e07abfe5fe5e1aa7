// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares how this program and the real kmod apply modprobe's configuration: `verify --require-driver` accepts
//! exactly the drivers that `modprobe -b -n -v` would load.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{image, index};

const K: &str = "6.12.0-1.test.x86_64";

/// Drivers with their dependencies, as in `modules.dep`. No real module has these names: modprobe skips modules that
/// the machine has loaded.
const DRIVERS: [(&str, &[&str]); 6] = [
    ("zz_a", &[]),
    ("zz_b", &["zz_a"]),
    ("zz_c", &["zz_b", "zz_a"]),
    ("zz_d", &[]),
    ("zz_e", &["zz_d", "zz_a"]),
    ("zz_f", &["zz_e", "zz_d", "zz_a"]),
];

/// The content of `modules.alias`: an alias of zz_d.
const ALIASES: &str = "alias crypto-zz zz_d\n";
/// The name of a built-in module.
const BUILTIN: &str = "zz_builtin";

fn path(name: &str) -> String {
    format!("kernel/zz/{name}.ko")
}

/// A tree, and an initramfs with the same files for modprobe.
struct Case {
    dir: TempDir,
}

impl Case {
    /// Creates a case with these files of modprobe's configuration and this `modules.softdep`.
    fn new(files: &[(&str, &str)], softdep: &str) -> Self {
        let dir = TempDir::with_prefix("ostree-kernel-modprobe-").unwrap();
        let root = dir.path();
        let modules = format!("usr/lib/modules/{K}");
        let mut items: Vec<(String, u32, Vec<u8>)> = Vec::new();
        let mut put = |path: String, bytes: Vec<u8>| {
            let file = root.join(&path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, &bytes).unwrap();
            items.push((path, 0o100_644, bytes));
        };
        let mut dep = String::new();
        for (name, needs) in DRIVERS {
            let needs: Vec<_> = needs.iter().map(|need| path(need)).collect();
            let line = format!("{}: {}", path(name), needs.join(" "));
            dep += &format!("{}\n", line.trim_end());
            put(format!("{modules}/{}", path(name)), image::module(K, name));
        }
        let builtin = format!("alias {BUILTIN} {BUILTIN}\n");
        for (name, bytes) in [
            ("modules.dep", dep.clone().into_bytes()),
            ("modules.dep.bin", index::dep(&dep)),
            ("modules.alias", ALIASES.into()),
            (
                "modules.alias.bin",
                index::alias(&ALIASES.replace('-', "_")),
            ),
            ("modules.softdep", softdep.into()),
            ("modules.builtin", format!("{}\n", path(BUILTIN)).into()),
            ("modules.builtin.bin", index::alias(&builtin)),
        ] {
            put(format!("{modules}/{name}"), bytes);
        }
        for (path, text) in files {
            put((*path).to_owned(), text.as_bytes().to_vec());
        }
        let initramfs = image::archive(&items);
        fs_err::write(root.join(&modules).join("initramfs.img"), initramfs).unwrap();
        fs_err::write(root.join(&modules).join("vmlinuz"), image::vmlinuz(K)).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        Self { dir }
    }

    /// Returns the drivers that modprobe would load with all their dependencies.
    fn by_kmod(&self, modprobe: &Path) -> BTreeSet<String> {
        let root = self.dir.path();
        let loads = |name: &str, needs: &[&str]| {
            let mut command = command(modprobe);
            command
                .arg("-d")
                .arg(root)
                .args(["-S", K, "-b", "-n", "-v"]);
            for dir in ["etc/modprobe.d", "usr/lib/modprobe.d"] {
                command.arg("-C").arg(root.join(dir));
            }
            let output = command.arg(name).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let loaded = |name: &str| {
                said.lines().any(|line| {
                    let inserts =
                        line.starts_with("insmod ") && line.contains(&format!("/{name}.ko"));
                    // The command of an `install` line can load the driver itself.
                    inserts
                        || line.starts_with("install ")
                            && line.contains(&format!("modprobe -i {name}"))
                })
            };
            output.status.success() && loaded(name) && needs.iter().all(|need| loaded(need))
        };
        let drivers = DRIVERS.iter().filter(|(name, needs)| loads(name, needs));
        drivers.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Returns the drivers that `verify` finds loadable.
    fn by_verify(&self) -> BTreeSet<String> {
        let mut command = command(Path::new(env!("CARGO_BIN_EXE_ostree-kernel")));
        command
            .args(["--format", "json", "--root"])
            .arg(self.dir.path());
        command.args(["verify", "--only", "initramfs-root-drivers", "--kver", K]);
        for (name, _) in DRIVERS {
            command.args(["--require-driver", name]);
        }
        let output = command.output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let findings = report["findings"].as_array().expect("a report");
        let is_found = |name: &str| {
            let option = format!("--require-driver {name}");
            findings
                .iter()
                .any(|it| it["expected"].as_str().unwrap().contains(&option))
        };
        let drivers = DRIVERS.iter().filter(|(name, _)| !is_found(name));
        drivers.map(|(name, _)| (*name).to_owned()).collect()
    }
}

fn command(program: &Path) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the judge, and the program under test"
    )]
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}

/// Returns the path of the machine's modprobe; if there is none, prints that a test is ignored.
fn modprobe() -> Option<PathBuf> {
    let places = ["/usr/sbin/modprobe", "/sbin/modprobe"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    if found.is_none() {
        crate::privilege::say("ignored: no modprobe on this machine (kmod)");
    }
    found
}

const ETC: &str = "etc/modprobe.d/a.conf";

#[test]
fn blocked_drivers_agree_with_modprobe() {
    let Some(modprobe) = modprobe() else { return };
    for (name, text, softdep, blocked) in [
        ("nothing", "", "", &[][..]),
        ("a driver", "install zz_f /bin/false\n", "", &["zz_f"]),
        (
            "a dependency",
            "install zz_e /bin/false\n",
            "",
            &["zz_e", "zz_f"],
        ),
        (
            "a dependency of all",
            "install zz-a /bin/true\n",
            "",
            &["zz_a", "zz_b", "zz_c", "zz_e", "zz_f"],
        ),
        (
            "a pattern",
            "install zz_[ef] /bin/false\n",
            "",
            &["zz_e", "zz_f"],
        ),
        (
            "a blacklisted dependency",
            "blacklist zz_e\n",
            "",
            &["zz_e"],
        ),
        (
            "a softdep that resolves",
            "install zz_f /bin/false\n",
            "softdep zz_f pre: zz_b\n",
            &[],
        ),
        (
            "one after it",
            "install zz_f /bin/false\n",
            "softdep zz_f post: crypto-zz\n",
            &[],
        ),
        (
            "one of a dependency",
            "install zz_e /bin/false\n",
            "softdep zz_e pre: zz_c\n",
            &[],
        ),
        (
            "one that does not",
            "install zz_f /bin/false\n",
            "softdep zz_f pre: nowhere\n",
            &["zz_f"],
        ),
        (
            "one that is built in",
            "install zz_f /bin/false\n",
            "softdep zz_f pre: zz_builtin\n",
            &[],
        ),
        (
            "one by an alias line",
            "install zz_f /bin/false\nalias here zz_a\nsoftdep zz_f pre: here\n",
            "",
            &[],
        ),
        (
            "only its first line",
            "install zz_f /bin/false\n",
            "softdep zz_f pre: nowhere\nsoftdep zz_f pre: zz_b\n",
            &["zz_f"],
        ),
        (
            "a blocked softdep",
            "install zz_b /bin/false\n",
            "softdep zz_f pre: zz_b\n",
            &["zz_b", "zz_c"],
        ),
        ("an alias in its place", "alias zz-f zz_b\n", "", &["zz_f"]),
        ("an alias to nothing", "alias zz_d off\n", "", &["zz_d"]),
        ("no command", "install zz_f\n", "", &[]),
        ("a comment", "#install zz_f /bin/false\n", "", &[]),
        (
            "the first command",
            "install zz_f /sbin/modprobe -i zz_f\ninstall zz_f /bin/false\n",
            "",
            &[],
        ),
        (
            "over two lines",
            "install \\\nzz_f /bin/false\n",
            "",
            &["zz_f"],
        ),
    ] {
        let case = Case::new(&[(ETC, text)], softdep);
        let all = DRIVERS.iter().map(|(name, _)| (*name).to_owned());
        let expected: BTreeSet<_> = all.filter(|it| !blocked.contains(&it.as_str())).collect();
        assert_eq!(case.by_kmod(&modprobe), expected, "modprobe, {name}");
        assert_eq!(case.by_verify(), expected, "verify, {name}");
    }
}

#[test]
fn blocked_drivers_agree_with_modprobe_on_random_configurations() {
    const CASES: u32 = 60;
    let Some(modprobe) = modprobe() else { return };
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % end as u64) as usize
    };
    let mut blocked = 0;
    for number in 0..CASES {
        let mut files = BTreeMap::<&str, String>::new();
        let mut softdep = String::new();
        for _ in 0..=below(6) {
            let driver = DRIVERS[below(6)].0;
            let names = ["crypto-zz", "nowhere", BUILTIN, "zz_a", "zz-d", "zz_f"];
            let other = names[below(6)];
            let line = match below(5) {
                0 => format!("blacklist {driver}"),
                1 => format!("install {driver} /bin/{}", ["true", "false"][below(2)]),
                2 => format!("softdep {driver} {} {other}", ["pre:", "post:"][below(2)]),
                3 => format!("install {}* /bin/false", &driver[..3 + below(2)]),
                _ => format!("alias {} {driver}", names[below(3)]),
            };
            let place = below(4);
            let file = [
                "etc/modprobe.d/b.conf",
                "usr/lib/modprobe.d/b.conf",
                "usr/lib/modprobe.d/z.conf",
            ];
            match file.get(place) {
                Some(file) => writeln!(files.entry(file).or_default(), "{line}").unwrap(),
                None if line.starts_with("softdep") => writeln!(softdep, "{line}").unwrap(),
                None => {}
            }
        }
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let case = Case::new(&files, &softdep);
        let expected = case.by_kmod(&modprobe);
        assert_eq!(
            case.by_verify(),
            expected,
            "case {number}: {files:?} {softdep:?}"
        );
        blocked += DRIVERS.len() - expected.len();
    }
    assert!(blocked > 30, "only {blocked} drivers were blocked");
}
