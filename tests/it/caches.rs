// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result cache: an unchanged tree costs no dracut run, whatever dracut could take is a change, and nothing that lies in
//! the cache is believed.

use std::fs::{FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::bed::Bed;
use crate::image::{self, Fault};
use crate::kernels::{NEW, OLD};
use crate::ran::Ran;

/// What dracut takes for the time of everything that is newer.
const CLOCK: &str = "usr/lib/dracut/dracut-functions.sh";

/// Long before anything here was written.
const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);

/// A directory that builds share.
struct Shared(TempDir);

impl Shared {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The entries, and halves of them.
    fn names(&self) -> Vec<PathBuf> {
        let names = fs_err::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    /// The one entry.
    fn entry(&self) -> PathBuf {
        let [entry] = self.names().try_into().expect("one entry");
        entry
    }

    #[track_caller]
    fn run(&self, bed: &Bed, args: &[&str]) -> Ran {
        let dir = format!("--cache-dir={}", self.path().display());
        let (command, rest) = args.split_first().unwrap();
        let all = [&[*command, "--cache-initramfs", &dir], rest].concat();
        bed.run(&all)
    }

    #[track_caller]
    fn rebuild(&self, bed: &Bed) -> Ran {
        self.run(bed, &["rebuild"])
    }
}

/// The base of a build, the same every time; dracut makes the initramfs of the installed kernel.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.write("stub/kver", OLD.kver);
    bed.dracut_makes(OLD, Fault::None);
    prepare(&bed);
    bed
}

fn prepare(bed: &Bed) {
    bed.write(CLOCK, "");
    set_time(bed, CLOCK, LONG_AGO);
    bed.write("usr/bin/packaged", "one");
    bed.write("etc/conf", "");
    bed.write("srv/elsewhere", "one");
    symlink("packaged", bed.path("usr/bin/link")).unwrap();
    bed.write("var/usrlocal/bin/old", "");
    bed.write("var/opt/old", "");
    bed.write("var/lib/firmware/old", "");
    bed.write("srv/linked", "one");
    for (link, target) in [
        ("usr/local", "../var/usrlocal"),
        ("opt", "var/opt"),
        ("usr/lib/firmware", "/var/lib/firmware"),
        ("etc/linked", "../srv/linked"),
        ("etc/loop", "loop"),
        ("etc/dangling", "/nowhere"),
    ] {
        symlink(target, bed.path(link)).unwrap();
    }
}

fn set_time(bed: &Bed, path: &str, since: Duration) {
    let file = fs_err::File::options()
        .write(true)
        .open(bed.path(path))
        .unwrap();
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + since);
    file.into_file().set_times(times).unwrap();
}

fn dracuts(ran: &Ran) -> usize {
    let order = ran.order().into_iter();
    order.filter(|line| line.starts_with("dracut ")).count()
}

/// dracut ran, or did not, and the report says so.
#[track_caller]
fn is_hit(ran: &Ran, hit: bool) {
    ran.require(
        (dracuts(ran) == 0) == hit,
        &format!("a hit was expected: {hit}"),
    );
    if ran.status == Some(0) {
        let report = ran.report();
        ran.require(report["cache"]["hit"] == hit, "the report says so");
    }
}

#[test]
fn an_unchanged_tree_costs_no_dracut_run() {
    let shared = Shared::new();
    let (one, two) = (bed(), bed());
    let first = shared.rebuild(&one);
    first
        .ends_with(0)
        .complains(&["the cache had no ", "keep "]);
    is_hit(&first, false);
    let second = shared.rebuild(&two);
    second
        .ends_with(0)
        .in_order(&["depmod", "rpm-ostree cleanup", "ostree container commit"])
        .complains(&["depmod, and the initramfs from the cache, "])
        .prints(&["nothing fatal"]);
    is_hit(&second, true);
    let place = format!("usr/lib/modules/{}/initramfs.img", OLD.kver);
    second.require(second.after.mode(&place) == Some(0o600), "0600");
    // The trees are the same, and so is what is said of how they came to be.
    let mut differs = first.after.differs(&second.after);
    differs.dedup();
    second.require(
        differs == ["usr/share/ostree-kernel/report.json"],
        &format!("another tree: {differs:?}"),
    );
    let without_hit = |ran: &Ran| {
        let mut report = ran.report();
        report["cache"]["hit"] = Value::Null;
        report
    };
    assert_eq!(without_hit(&first), without_hit(&second));
}

#[test]
fn replace_takes_it_too_and_finds_its_work_done() {
    let shared = Shared::new();
    let bed = || {
        let bed = Bed::new();
        prepare(&bed);
        bed
    };
    let (one, two) = (bed(), bed());
    let replace = |bed: &Bed| shared.run(bed, &["replace", &bed.source()]);
    is_hit(replace(&one).ends_with(0), false);
    let second = replace(&two);
    is_hit(second.ends_with(0), true);
    assert_eq!(second.report()["kernel"]["after"]["kver"], NEW.kver);
    replace(&two)
        .ends_with(0)
        .untouched()
        .prints(&["nothing was changed"]);
    // Nobody has asked for the cache, so it plays no part.
    let third = bed();
    let dir = format!("--cache-dir={}", shared.path().display());
    let ran = third.run(&["replace", &dir, &third.source()]);
    ran.ends_with(0);
    ran.require(dracuts(&ran) == 1, "dracut ran");
    assert_eq!(ran.report().get("cache"), None);
}

#[test]
fn whatever_dracut_could_take_is_a_change() {
    type Change = fn(&Bed);
    let changes: [(&str, Change); 22] = [
        ("a program is added", |bed| bed.program("usr/bin/new", "")),
        ("a library is added", |bed| {
            bed.write("usr/lib64/libnew.so.1", "")
        }),
        ("a conf file is added", |bed| {
            bed.write("etc/dracut.conf.d/x.conf", "");
        }),
        ("a conf file for one boot is added", |bed| {
            bed.write("run/initramfs/dracut.conf.d/x.conf", "");
        }),
        ("an unpackaged udev rule is added", |bed| {
            bed.write("usr/lib/udev/rules.d/99-x.rules", "");
        }),
        ("a module is changed", |bed| {
            let module = format!(
                "usr/lib/modules/{}/kernel/drivers/block/virtio_blk.ko",
                OLD.kver
            );
            bed.write(&module, image::module(OLD.kver, "virtio_blk_x"));
        }),
        ("a module is added", |bed| {
            bed.write(&format!("usr/lib/modules/{}/extra/x.ko", OLD.kver), "");
        }),
        ("firmware is added, behind a link", |bed| {
            bed.write("var/lib/firmware/new", "");
        }),
        ("what a link leads to is changed", |bed| {
            bed.write("srv/linked", "two");
        }),
        ("a packaged file is changed", |bed| {
            bed.write("usr/bin/packaged", "1");
        }),
        (
            "a packaged file is changed, and has its size and time",
            |bed| {
                let time = fs_err::metadata(bed.path("usr/bin/packaged")).unwrap();
                let time = time
                    .modified()
                    .unwrap()
                    .duration_since(SystemTime::UNIX_EPOCH);
                bed.write("usr/bin/packaged", "two");
                set_time(bed, "usr/bin/packaged", time.unwrap());
            },
        ),
        ("a mode is changed", |bed| {
            let mode = Permissions::from_mode(0o755);
            fs_err::set_permissions(bed.path("usr/bin/packaged"), mode).unwrap();
        }),
        ("an owner is changed", |bed| {
            chown(bed.path("etc/conf"), Some(7), Some(7)).unwrap();
        }),
        ("a time is changed", |bed| {
            set_time(bed, "etc/conf", LONG_AGO - Duration::from_secs(1));
        }),
        ("a link has another target", |bed| {
            bed.remove("usr/bin/link");
            symlink("busybox", bed.path("usr/bin/link")).unwrap();
        }),
        ("a file becomes a link", |bed| {
            bed.remove("etc/conf");
            symlink("/dev/null", bed.path("etc/conf")).unwrap();
        }),
        ("a file is removed", |bed| bed.remove("etc/conf")),
        ("an empty directory is added", |bed| {
            fs_err::create_dir_all(bed.path("etc/multipath")).unwrap();
        }),
        ("a program is added in /var, where a link leads", |bed| {
            bed.program("var/usrlocal/bin/new", "");
        }),
        ("a file is added in /var, where another link leads", |bed| {
            bed.write("var/opt/new", "");
        }),
        ("a package is added that has no files", |bed| {
            let mut package = NEW.packages().remove(0);
            package.name = "another".into();
            package.requires.clear();
            package.install(&bed.root());
        }),
        ("dracut is another one", |bed| {
            bed.program(
                "usr/bin/dracut",
                "#!/bin/sh\n. /stub/lib.sh\ncp /stub/initramfs.img \"${13}\"\n",
            );
        }),
    ];
    let shared = Shared::new();
    shared.rebuild(&bed()).ends_with(0);
    let [prime] = shared.names().try_into().unwrap();
    for (what, change) in changes {
        let bed = bed();
        change(&bed);
        let ran = shared.rebuild(&bed);
        ran.require(dracuts(&ran) == 1, what);
        for name in shared.names().into_iter().filter(|name| *name != prime) {
            fs_err::remove_file(name).unwrap();
        }
    }
    is_hit(&shared.rebuild(&bed()), true);
}

#[test]
fn what_dracut_is_asked_for_is_in_the_key() {
    let shared = Shared::new();
    shared.rebuild(&bed()).ends_with(0);
    let include = |path| ["rebuild", "--", "--include", path, "/x"];
    for args in [
        &["rebuild", "--", "--add", "multipath"][..],
        &include("/srv/elsewhere"),
        &include("srv"),
    ] {
        is_hit(shared.run(&bed(), args).ends_with(0), false);
        is_hit(shared.run(&bed(), args).ends_with(0), true);
    }
    // What an argument names counts, wherever it lies.
    for path in ["/srv/elsewhere", "srv"] {
        let changed = bed();
        changed.write("srv/elsewhere", "two");
        is_hit(shared.run(&changed, &include(path)).ends_with(0), false);
    }
    for (args, says) in [
        (["--include", "/usr/../srv", "/x"], "has a `..` in it"),
        (
            ["--add", "multipath", "--hostonly"],
            "dracut looks at this machine",
        ),
    ] {
        let ran = shared.run(&bed(), &[&["rebuild", "--"][..], &args].concat());
        ran.ends_with(0)
            .complains(&["no initramfs is taken from the cache or kept there", says]);
        ran.require(dracuts(&ran) == 1, "not cached");
        assert_eq!(ran.report().get("cache"), None);
    }
    // So does the environment.
    let dir = format!("--cache-dir={}", shared.path().display());
    let with = |name: &str, value: &str| {
        let bed = bed();
        let root = bed.root().display().to_string();
        let args = ["--root", &root, "rebuild", "--cache-initramfs", &dir];
        bed.run_exactly(&args.map(str::to_owned), |command| {
            command.env(name, value);
        })
    };
    is_hit(with("SOURCE_DATE_EPOCH", "1").ends_with(0), false);
    is_hit(with("SOURCE_DATE_EPOCH", "2").ends_with(0), false);
    is_hit(with("SOURCE_DATE_EPOCH", "1").ends_with(0), true);
    is_hit(with("NOT_PASSED_ON", "1").ends_with(0), true);
}

#[test]
fn what_dracut_cannot_take_is_no_change() {
    let shared = Shared::new();
    shared.rebuild(&bed()).ends_with(0);
    type Change = fn(&Bed);
    let changes: [(&str, Change); 5] = [
        ("logs", |bed| bed.write("var/log/dnf.log", "now")),
        ("what the engine mounts", |bed| {
            bed.write("etc/hosts", "10.0.0.7 0123456789ab");
            bed.write("etc/hostname", "0123456789ab");
            bed.write("etc/resolv.conf", "nameserver 10.0.0.1");
        }),
        ("times that dracut does not keep", |bed| {
            set_time(bed, "etc/conf", LONG_AGO * 3);
        }),
        ("the times of installations", |bed| {
            bed.write("usr/share/rpm/rpmdb.sqlite", "now");
            bed.remove("usr/share/rpm/rpmdb.sqlite");
        }),
        ("a file that nobody names", |bed| {
            bed.write("srv/elsewhere", "two");
        }),
    ];
    for (what, change) in changes {
        let bed = bed();
        change(&bed);
        let ran = shared.rebuild(&bed);
        ran.ends_with(0).require(dracuts(&ran) == 0, what);
    }
}

#[test]
fn an_initramfs_with_what_the_key_does_not_cover_is_not_kept() {
    let shared = Shared::new();
    let hosts = ("etc/hosts".to_owned(), 0o100_644, b"10.0.0.7 x".to_vec());
    let image = [OLD.initramfs(Fault::None), image::archive(&[hosts])].concat();
    for _ in 0..2 {
        let bed = bed();
        bed.write("etc/hosts", "10.0.0.7 x");
        bed.write("stub/initramfs.img", &image);
        let ran = shared.rebuild(&bed);
        ran.ends_with(0)
            .complains(&["not kept: it holds /etc/hosts, which the key does not cover"]);
        is_hit(&ran, false);
        assert_eq!(shared.names(), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn what_dracut_said_is_said_again() {
    let shared = Shared::new();
    let ran = [&["rebuild", "--prove"][..], &["rebuild"]].map(|args| {
        let bed = bed();
        for module in ["00base", "90multipath", "95nvmf", "98ostree"] {
            fs_err::create_dir_all(bed.path(&format!("usr/lib/dracut/modules.d/{module}")))
                .unwrap();
        }
        bed.behave("dracut", "refuses-nvmf other-compression");
        let ran = shared.run(&bed, args);
        ran.ends_with(0).complains(&[
            "warning: the base's initramfs has dracut's module nvmf, which cannot be added now",
            "warning: dracut did not compress as it was asked to: dracut[E]: Cannot execute",
        ]);
        ran
    });
    is_hit(&ran[1], true);
    let report = ran.each_ref().map(Ran::report);
    assert_eq!(report[0]["warnings"].as_array().unwrap().len(), 2);
    assert_eq!(report[0]["warnings"], report[1]["warnings"]);
    assert_eq!(report[0]["commands"].as_array().unwrap().len(), 7);
    // Of the three dracut runs of the first build one had refused; the second build says how the one went that counts.
    assert_eq!(report[1]["commands"].as_array().unwrap().len(), 4);
}

/// An entry as this program would have written it.
fn forged(key: &str, image: &[u8]) -> Vec<u8> {
    let head = serde_json::json!({
        "key": key, "sha256": hex::encode(Sha256::digest(image)),
        "notes": {"refused": [], "compression": []},
    });
    let head = head.to_string();
    let digest = hex::encode(Sha256::digest(&head));
    [digest.as_bytes(), b"\n", head.as_bytes(), b"\n", image].concat()
}

#[test]
fn a_bad_entry_is_rebuilt() {
    type Damage = fn(&Path, &[u8]);
    let table: [(&str, Damage); 11] = [
        ("truncated", |entry, bytes| {
            fs_err::write(entry, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("longer", |entry, bytes| {
            fs_err::write(entry, [bytes, b"x"].concat()).unwrap();
        }),
        ("empty", |entry, _| fs_err::write(entry, "").unwrap()),
        ("without an image", |entry, bytes| {
            let head = bytes.split(|&byte| byte == b'\n').take(2);
            fs_err::write(entry, head.collect::<Vec<_>>().join(&b'\n')).unwrap();
        }),
        ("another image", |entry, bytes| {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            fs_err::write(entry, bytes).unwrap();
        }),
        ("another head", |entry, bytes| {
            let bytes = bytes.to_vec();
            let at = bytes.windows(7).position(|some| some == b"refused");
            let mut bytes = bytes;
            bytes[at.unwrap()] = b'R';
            fs_err::write(entry, bytes).unwrap();
        }),
        ("of another key", |entry, bytes| {
            let image = bytes.splitn(3, |&byte| byte == b'\n').nth(2).unwrap();
            fs_err::write(entry, forged(&"0".repeat(64), image)).unwrap();
        }),
        ("a link", |entry, bytes| {
            let elsewhere = entry.with_file_name("elsewhere");
            fs_err::write(&elsewhere, bytes).unwrap();
            fs_err::remove_file(entry).unwrap();
            symlink("/etc/passwd", entry).unwrap();
        }),
        ("a fifo", |entry, _| {
            fs_err::remove_file(entry).unwrap();
            mkfifo(entry, Mode::S_IRWXU).unwrap();
        }),
        ("a directory", |entry, _| {
            fs_err::remove_file(entry).unwrap();
            fs_err::create_dir_all(entry.join("x/y")).unwrap();
        }),
        ("huge", |entry, _| {
            let file = fs_err::File::create(entry).unwrap();
            file.set_len(1 << 40).unwrap();
        }),
    ];
    for (what, damage) in table {
        let shared = Shared::new();
        shared.rebuild(&bed()).ends_with(0);
        let entry = shared.entry();
        let bytes = fs_err::read(&entry).unwrap();
        damage(&entry, &bytes);
        let ran = shared.rebuild(&bed());
        ran.ends_with(0).require(dracuts(&ran) == 1, what);
        is_hit(&ran, false);
        let is_said = ran.stderr.contains("in the cache is damaged, and goes");
        // A link that leads nowhere inside is no entry at all.
        ran.require(is_said || what == "a link", what);
        assert_eq!(fs_err::read(&entry).unwrap(), bytes, "{what}");
        is_hit(&shared.rebuild(&bed()), true);
    }
}

#[test]
fn an_entry_that_would_not_boot_is_rebuilt() {
    let shared = Shared::new();
    shared.rebuild(&bed()).ends_with(0);
    let entry = shared.entry();
    let good = fs_err::read(&entry).unwrap();
    let key = entry.file_stem().unwrap().to_str().unwrap();
    for fault in [Fault::NoOstree, Fault::Wrapper, Fault::Truncated] {
        fs_err::write(&entry, forged(key, &OLD.initramfs(fault))).unwrap();
        let ran = shared.rebuild(&bed());
        ran.ends_with(0)
            .complains(&["the initramfs from the cache is not fit to boot (initramfs-"]);
        is_hit(&ran, false);
        assert_eq!(fs_err::read(&entry).unwrap(), good);
    }
    fs_err::write(&entry, forged(key, &NEW.initramfs(Fault::None))).unwrap();
    let ran = shared.rebuild(&bed());
    is_hit(ran.ends_with(0), false);
    // What dracut makes is not fit either: then nothing is committed, and nothing kept.
    let shared = Shared::new();
    let bed = bed();
    bed.dracut_makes(OLD, Fault::NoOstree);
    shared.rebuild(&bed).ends_with(4);
    assert!(shared.names().is_empty());
}

#[test]
fn two_builds_at_once_both_succeed() {
    let shared = Shared::new();
    let beds = [bed(), bed()];
    thread::scope(|scope| {
        for bed in &beds {
            bed.behave("dracut", "waits");
            scope.spawn(|| is_hit(shared.rebuild(bed).ends_with(0), false));
        }
        beds.iter().for_each(|bed| bed.wait_for("dracut "));
        beds.iter().for_each(|bed| bed.write("stub/go-on", ""));
    });
    shared.entry();
    is_hit(&shared.rebuild(&bed()), true);
}

#[test]
fn prove_builds_anyway_and_compares() {
    let shared = Shared::new();
    let prove = |bed: &Bed| shared.run(bed, &["rebuild", "--prove"]);
    let first = prove(&bed());
    is_hit(first.ends_with(0), false);
    first.require(dracuts(&first) == 2, "built twice");
    let same = prove(&bed());
    same.ends_with(0)
        .complains(&["built again, and every byte is the same"]);
    same.require(dracuts(&same) == 1, "built once");
    same.require(same.report()["cache"]["hit"] == true, "a hit");
    // What dracut makes has changed, and the key has not.
    let changed = bed();
    changed.dracut_makes(OLD, Fault::Wrapper);
    let ran = prove(&changed);
    ran.ends_with(1).complains(&[
        "from the cache is not what dracut makes now: it went from there, and nothing was committed",
        "--- the cached initramfs\n+++ the new build",
        "  ~ usr/bin/systemctl",
    ]);
    ran.changes(&[&format!("~usr/lib/modules/{}/modules.dep", OLD.kver)]);
    assert!(shared.names().is_empty());
}

#[test]
fn replace_proves_what_is_done_already() {
    let bed = Bed::new();
    let source = bed.source();
    bed.run(&["replace", &source]).ends_with(0);
    let ran = bed.run(&["replace", "--prove", &source]);
    ran.ends_with(0)
        .complains(&["built again, and every byte is the same"]);
    ran.require(dracuts(&ran) == 2, "built twice");
}

#[test]
fn the_last_sixteen_stay_and_what_is_of_others() {
    let shared = Shared::new();
    let old = |name: String, age: u64| {
        let path = shared.path().join(name);
        let file = fs_err::File::create(&path).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age);
        file.into_file()
            .set_times(FileTimes::new().set_modified(time))
            .unwrap();
        path
    };
    let entries: Vec<_> = (1..=20)
        .map(|age| old(format!("{age:064x}.initramfs"), age))
        .collect();
    let kept = [
        old("0".repeat(64), 1_000_000),
        old(format!("{}.json", "0".repeat(64)), 1_000_000),
        old("my.initramfs".into(), 1_000_000),
        old(format!("{}.0.part", "0".repeat(64)), 60),
    ];
    let killed = old(format!("{}.1.part", "0".repeat(64)), 100_000);
    shared.rebuild(&bed()).ends_with(0);
    assert!(kept.iter().all(|path| path.exists()));
    assert!(!killed.exists());
    let left: Vec<_> = entries.iter().map(|path| path.exists()).collect();
    // With the new one they are sixteen.
    assert_eq!(left, [[true; 15].as_slice(), &[false; 5]].concat());
    // One that is taken is as good as new.
    let names = shared.names();
    let is_ours = |path: &&PathBuf| !entries.contains(path) && !kept.contains(path);
    let entry = names.iter().find(is_ours).unwrap();
    let file = fs_err::File::options().write(true).open(entry).unwrap();
    let times = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    file.into_file().set_times(times).unwrap();
    is_hit(&shared.rebuild(&bed()), true);
    let modified = fs_err::metadata(entry).unwrap().modified().unwrap();
    assert!(modified > SystemTime::UNIX_EPOCH);
}

#[test]
fn a_cache_that_cannot_be_used_is_said_and_no_more() {
    let bed = bed();
    let file = bed.beside("x").join("file");
    fs_err::write(&file, "").unwrap();
    let dir = format!("--cache-dir={}/dir", file.display());
    let ran = bed.run(&["rebuild", "--cache-initramfs", &dir]);
    ran.ends_with(0)
        .complains(&["warning: no initramfs is taken from a cache or kept there: "]);
    assert_eq!(ran.report().get("cache"), None);

    let bed = self::bed();
    let disk = bed.small_disk("mnt", 4096);
    let dir = format!("--cache-dir={}", bed.path("mnt").display());
    let ran = bed.run(&["rebuild", "--cache-initramfs", &dir]);
    ran.ends_with(0).complains(&[
        "warning: the initramfs is not in the cache for the next build: ",
        "No space left on device",
    ]);
    let left = fs_err::read_dir(bed.path("mnt")).unwrap().count();
    assert_eq!(left, 0, "half an entry stays");
    drop(disk);
}
