// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests in `with_both` run twice: with `openat2` and with the walk. The directory `outside` is next to the root, and
//! no test may change it.

use std::ffi::OsStr;
use std::io::{self, Cursor, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::umask;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;

/// A temporary directory with the root `tree` and, next to it, the directory `outside` with the file `secret`.
struct Bed {
    dir: TempDir,
    root: Root,
}

impl Bed {
    fn new(resolver: PathResolver) -> Self {
        let dir = TempDir::new().unwrap();
        let tree = dir.path().join("tree");
        fs_err::create_dir(&tree).unwrap();
        let outside = dir.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("secret"), "secret").unwrap();
        let root = Root::open_with(&tree, |_| resolver).unwrap();
        Self { dir, root }
    }

    /// Returns the host's path of a file in the tree.
    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("tree").join(path)
    }

    fn dir(&self, path: &str) -> &Self {
        fs_err::create_dir_all(self.at(path)).unwrap();
        self
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        self.dir(Path::new(path).parent().unwrap().to_str().unwrap());
        fs_err::write(self.at(path), text).unwrap();
        self
    }

    fn link(&self, target: impl AsRef<Path>, path: &str) -> &Self {
        self.dir(Path::new(path).parent().unwrap().to_str().unwrap());
        symlink(target, self.at(path)).unwrap();
        self
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn text(&self, path: &str) -> Option<String> {
        let bytes = self.root.read(path, 1000).unwrap()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    fn names(&self, path: &str) -> Vec<String> {
        let list = self.root.list(path).unwrap();
        list.iter()
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect()
    }
}

fn with_both(test: impl Fn(&Bed)) {
    for resolver in [PathResolver::Openat2, PathResolver::Walk] {
        let bed = Bed::new(resolver);
        test(&bed);
        let secret = fs_err::read_to_string(bed.outside().join("secret")).unwrap();
        assert_eq!(secret, "secret", "{resolver:?}");
        assert_eq!(
            fs_err::read_dir(bed.outside()).unwrap().count(),
            1,
            "{resolver:?} touched what lies outside"
        );
    }
}

fn said<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn this_kernel_has_openat2() {
    // Without `openat2`, the tests below could not test both implementations.
    let bed = Bed::new(PathResolver::Walk);
    assert_eq!(
        PathResolver::probe(bed.root.dir().unwrap().0),
        PathResolver::Openat2
    );
}

#[test]
fn links_resolve_inside() {
    with_both(|bed| {
        bed.file("etc/name", "inside")
            .link("/etc", "usr/lib/modules")
            .link("../../../../../../etc", "usr/lib/up")
            .link("/../../etc/name", "usr/lib/file")
            .link("a/../../etc/./name", "usr/dots")
            .dir("usr/a")
            .link("etc/", "slash");
        for path in [
            "usr/lib/modules/name",
            "/usr/lib/modules/name",
            "///usr/./lib/modules//name",
            "usr/lib/up/name",
            "usr/lib/file",
            "usr/dots",
            "slash/name",
            "../../etc/name",
            "/../etc/name",
        ] {
            assert_eq!(bed.text(path).as_deref(), Some("inside"), "{path}");
        }
    });
}

#[test]
fn links_that_lead_out_find_nothing() {
    with_both(|bed| {
        let outside = bed.outside();
        bed.link(outside.join("secret"), "absolute")
            .link("../outside/secret", "relative")
            .link(&outside, "dir")
            .link("../../../../../../../../proc/self/root", "magic");
        for path in ["absolute", "relative", "dir/secret", "../outside/secret"] {
            assert_eq!(bed.root.stat(path).unwrap(), None, "{path}");
            assert_eq!(bed.text(path), None, "{path}");
        }
        assert!(bed.root.list("dir").unwrap().is_empty());
        assert!(bed.root.walk("dir").unwrap().is_empty());
        assert!(bed.root.list("magic").unwrap().is_empty());
    });
}

#[test]
fn loops_of_links_are_errors() {
    with_both(|bed| {
        bed.link("b", "a").link("a", "b").link("self/x", "self");
        for path in ["a", "a/x", "self", "self/y"] {
            let error = bed.root.stat(path).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::ELOOP), "{path}");
            assert!(said(bed.root.read(path, 10)).contains("ymbolic link"));
        }
        assert_eq!(
            bed.root.lstat("a").unwrap().unwrap().kind,
            FileType::Symlink
        );
    });
}

#[test]
fn as_many_links_as_the_kernel_follows() {
    with_both(|bed| {
        bed.file("f", "x").link("f", "l0");
        for n in 1..=40 {
            bed.link(format!("l{}", n - 1), &format!("l{n}"));
        }
        assert_eq!(bed.text("l39").as_deref(), Some("x"));
        assert_eq!(
            bed.root.stat("l40").unwrap_err().errno(),
            Some(Errno::ELOOP)
        );
    });
}

#[test]
fn stat_and_lstat() {
    with_both(|bed| {
        bed.file("d/f", "four").link("f", "d/l").link("gone", "d/x");
        let file = bed.root.stat("d/l").unwrap().unwrap();
        assert_eq!((file.kind, file.size, file.nlink), (FileType::File, 4, 1));
        let host = fs_err::metadata(bed.at("d/f")).unwrap();
        assert_eq!((file.dev, file.ino), (host.dev(), host.ino()));
        assert_eq!((file.uid, file.gid), (host.uid(), host.gid()));
        assert_eq!(file.mode, host.mode() & 0o7777);
        for absent in ["d/x", "gone", "gone/f", "d/f/f", "d/l/f", ""] {
            let found = bed.root.stat(absent).unwrap().map(|m| m.kind);
            let expected = absent.is_empty().then_some(FileType::Dir);
            assert_eq!(found, expected, "{absent:?}");
        }
        for (path, kind) in [
            ("d/l", FileType::Symlink),
            ("d/x", FileType::Symlink),
            ("d", FileType::Dir),
            ("/", FileType::Dir),
            ("d/..", FileType::Dir),
        ] {
            let found = bed.root.lstat(path).unwrap().unwrap().kind;
            assert_eq!(found, kind, "{path}");
        }
        assert_eq!(bed.root.lstat("d/f/f").unwrap(), None);
        assert!(bed.root.is_file("d/l").unwrap() && !bed.root.is_file("d").unwrap());
        assert!(bed.root.is_dir("d").unwrap() && !bed.root.is_dir("d/x").unwrap());
    });
}

#[test]
fn reading_links() {
    with_both(|bed| {
        bed.link("/etc/../x/", "l").file("f", "");
        let target = bed.root.read_link("l").unwrap();
        assert_eq!(target.unwrap().as_os_str().as_bytes(), b"/etc/../x/");
        for path in ["f", "gone", "f/x", "/"] {
            assert_eq!(bed.root.read_link(path).unwrap(), None, "{path}");
        }
    });
}

#[test]
fn only_regular_files_are_opened() {
    with_both(|bed| {
        bed.dir("d").link("fifo", "l");
        mkfifo(&bed.at("fifo"), Mode::S_IRWXU).unwrap();
        let _listener = UnixListener::bind(bed.at("socket")).unwrap();
        for (path, is) in [
            ("fifo", "a fifo"),
            ("l", "a fifo"),
            ("socket", "a socket"),
            ("d", "a directory"),
            ("/", "a directory"),
        ] {
            let seen = Path::new("/").join(path);
            let root = bed.root.path().display();
            assert_eq!(
                said(bed.root.read(path, 10)),
                format!(
                    "reading {} in {root}: it is {is}, not a regular file",
                    seen.display()
                )
            );
        }
        for path in ["fifo", "l", "socket", "d", "gone"] {
            assert!(bed.root.append_to(path).is_err(), "{path}");
        }
        assert!(bed.root.open_file("gone").unwrap().is_none());
    });
}

#[test]
fn the_limit_is_exact() {
    with_both(|bed| {
        bed.file("f", "12345");
        assert_eq!(bed.root.read("f", 5).unwrap().unwrap(), b"12345");
        let error = bed.root.read("f", 4).unwrap_err();
        assert!(matches!(error.cause(), Cause::TooLarge { limit: 4 }));
        assert!(bed.root.read("f", u64::MAX).unwrap().is_some());
        assert!(said(bed.root.read("f", 0)).ends_with("larger than the limit of 0 bytes"));
    });
}

#[test]
fn names_are_bytes_and_sorted() {
    with_both(|bed| {
        let odd = OsStr::from_bytes(b"\xff\n");
        fs_err::write(bed.at("").join(odd), "").unwrap();
        bed.dir("b").file("a", "").link("gone", "c");
        let list = bed.root.list("/").unwrap();
        let expected = [
            (OsString::from("a"), FileType::File),
            ("b".into(), FileType::Dir),
            ("c".into(), FileType::Symlink),
            (odd.into(), FileType::File),
        ];
        assert_eq!(list, expected);
        assert!(bed.root.is_file(odd).unwrap());
        assert!(bed.root.list("gone").unwrap().is_empty());
        assert!(said(bed.root.list("a")).contains("not a directory"));
    });
}

#[test]
fn walking() {
    with_both(|bed| {
        bed.file("usr/b/two", "22")
            .file("usr/a/one", "1")
            .file("usr/a.x", "")
            .link("/usr", "usr/b/loop")
            .link("usr", "lib");
        let walk = bed.root.walk("lib").unwrap();
        let seen: Vec<_> = walk
            .iter()
            .map(|w| (w.path.to_str().unwrap(), w.meta.kind))
            .collect();
        let expected = [
            ("a", FileType::Dir),
            ("a/one", FileType::File),
            ("a.x", FileType::File),
            ("b", FileType::Dir),
            ("b/loop", FileType::Symlink),
            ("b/two", FileType::File),
        ];
        assert_eq!(seen, expected);
        assert!(bed.root.walk("gone").unwrap().is_empty());
        let files = bed.root.files("lib").unwrap();
        let expected = ["a/one", "a.x", "b/loop", "b/two"].map(PathBuf::from);
        assert_eq!(files, expected);
        assert!(bed.root.files("gone").unwrap().is_empty());
    });
}

#[test]
fn files_of_an_opened_directory() {
    with_both(|bed| {
        bed.file("usr/d/x", "1")
            .link("/etc/y", "usr/d/absolute")
            .link("gone", "usr/d/dangling")
            .link("usr/d", "d")
            .file("etc/y", "inside");
        bed.dir("usr/d/dir");
        mkfifo(&bed.at("usr/d/fifo"), Mode::S_IRWXU).unwrap();
        let place = bed.root.open_directory("d").unwrap().unwrap();
        let read = |name: &str| {
            let file = place.open_file(name.as_ref()).unwrap();
            file.map(|(file, meta)| {
                let text = io::read_to_string(file).unwrap();
                assert_eq!(meta.size, text.len() as u64);
                text
            })
        };
        assert_eq!(read("x").as_deref(), Some("1"));
        assert_eq!(read("absolute").as_deref(), Some("inside"));
        assert_eq!((read("dangling"), read("gone")), (None, None));
        for (name, kind) in [("dir", "a directory"), ("fifo", "a fifo")] {
            let error = said(place.open_file(name.as_ref()));
            assert!(error.contains(kind), "{error}");
        }
        assert!(bed.root.open_directory("gone").unwrap().is_none());
        assert!(bed.root.open_directory("usr/d/x").unwrap().is_none());
    });
}

#[test]
fn too_deep_is_an_error() {
    with_both(|bed| {
        let deep = "d/".repeat(MAX_DEPTH + 2);
        bed.dir(&deep);
        let limit = "nested deeper than 128 levels";
        assert!(said(bed.root.walk("/")).ends_with(limit));
        assert!(said(bed.root.remove_tree("d")).ends_with(limit));
        assert!(bed.root.is_dir(&deep).unwrap());
        bed.root.remove_tree(&deep[..8]).unwrap();
        assert_eq!(bed.root.walk("/").unwrap().len(), 3);
    });
}

#[test]
fn modes_are_exact_under_any_umask() {
    // Gives this thread its own umask, since other tests run in parallel.
    unshare(CloneFlags::CLONE_FS).unwrap();
    with_both(|bed| {
        for mask in [0o077, 0o022, 0] {
            let before = umask(Mode::from_bits_truncate(mask));
            let dir = format!("m{mask:o}");
            let made = bed.root.create_dir_all(format!("{dir}/sub"), 0o755);
            let mut results = vec![made];
            for mode in [0o600, 0o644, 0o4755] {
                let name = |verb| format!("{dir}/{verb}{mode:o}");
                results.push(bed.root.create_file(name("c"), mode).map(drop));
                results.push(bed.root.write(name("w"), b"x", mode));
                let copied = bed.root.copy_in(&mut Cursor::new("x"), name("i"), mode, 9);
                results.push(copied.map(drop));
            }
            umask(before);
            results.into_iter().for_each(|done| done.unwrap());
            for walked in bed.root.walk(&dir).unwrap() {
                let name = walked.path.to_str().unwrap();
                let wanted = if walked.meta.kind == FileType::Dir {
                    0o755
                } else {
                    u32::from_str_radix(&name[1..], 8).unwrap()
                };
                assert_eq!(walked.meta.mode, wanted, "{name} under {mask:o}");
            }
        }
    });
}

#[test]
fn set_mode_follows_inside() {
    with_both(|bed| {
        bed.file("f", "").link("/f", "l").dir("d");
        bed.root.set_mode("l", 0o640).unwrap();
        bed.root.set_mode("d", 0o1777).unwrap();
        assert_eq!(bed.root.stat("f").unwrap().unwrap().mode, 0o640);
        assert_eq!(bed.root.stat("d").unwrap().unwrap().mode, 0o1777);
        let secret = bed.outside().join("secret");
        let before = fs_err::metadata(&secret).unwrap().permissions().mode();
        bed.link(&secret, "out");
        assert!(said(bed.root.set_mode("out", 0o777)).contains("No such file"));
        let after = fs_err::metadata(&secret).unwrap().permissions().mode();
        assert_eq!(before, after);
    });
}

#[test]
fn write_replaces_a_link_and_nothing_else() {
    with_both(|bed| {
        bed.link(bed.outside().join("secret"), "l").file("f", "old");
        bed.root.write("l", b"new", 0o600).unwrap();
        bed.root.write("f", b"new", 0o644).unwrap();
        for path in ["l", "f"] {
            assert_eq!(bed.root.lstat(path).unwrap().unwrap().kind, FileType::File);
            assert_eq!(bed.text(path).as_deref(), Some("new"));
        }
        assert_eq!(bed.names("/"), ["f", "l"]);
    });
}

#[test]
fn a_failed_write_leaves_no_trace() {
    with_both(|bed| {
        bed.file("d/f", "");
        assert!(said(bed.root.write("d", b"x", 0o600)).contains("directory"));
        assert!(bed.root.write("gone/f", b"x", 0o600).is_err());
        assert!(bed.root.write("/", b"x", 0o600).is_err());
        assert!(said(bed.root.write("d/..", b"x", 0o600)).ends_with("end in a name"));
        assert_eq!(bed.names("/"), ["d"]);
        let error = bed
            .root
            .copy_in(&mut Cursor::new("12345"), "c", 0o600, 4)
            .unwrap_err();
        assert!(matches!(error.cause(), Cause::TooLarge { limit: 4 }));
        assert_eq!(bed.names("/"), ["d"]);
    });
}

#[test]
fn create_refuses_what_is_there() {
    with_both(|bed| {
        bed.file("f", "old")
            .link(bed.outside().join("new"), "out")
            .link("f", "l");
        for path in ["f", "out", "l"] {
            let error = bed.root.create_file(path, 0o600).unwrap_err();
            assert_eq!(error.errno(), Some(Errno::EEXIST), "{path}");
            let copied = bed.root.copy_in(&mut Cursor::new("x"), path, 0o600, 9);
            assert_eq!(copied.unwrap_err().errno(), Some(Errno::EEXIST), "{path}");
            assert!(bed.root.symlink("f", path).is_err(), "{path}");
        }
        assert_eq!(bed.text("f").as_deref(), Some("old"));
    });
}

#[test]
fn directories_reached_through_links_stay_inside() {
    with_both(|bed| {
        bed.dir("etc")
            .link("/etc", "usr/lib")
            .link(bed.outside(), "out");
        bed.root.write("usr/lib/w", b"w", 0o600).unwrap();
        let mut file = bed.root.create_file("usr/lib/c", 0o600).unwrap();
        file.write_all(b"c").unwrap();
        bed.root.create_dir_all("usr/lib/sub/dir", 0o700).unwrap();
        bed.root.symlink("/w", "usr/lib/l").unwrap();
        assert_eq!(bed.names("etc"), ["c", "l", "sub", "w"]);
        bed.root.rename("usr/lib/w", "usr/lib/sub/w").unwrap();
        assert_eq!(bed.text("etc/sub/w").as_deref(), Some("w"));
        bed.root.sync_file("usr/lib/c").unwrap();
        bed.root.sync_dir("usr/lib").unwrap();

        for path in ["out/x", "../outside/x"] {
            assert!(bed.root.write(path, b"x", 0o600).is_err(), "{path}");
            assert!(bed.root.create_file(path, 0o600).is_err(), "{path}");
            assert!(bed.root.rename("etc/c", path).is_err(), "{path}");
            assert!(bed.root.symlink("x", path).is_err(), "{path}");
        }
        assert!(bed.root.create_dir_all("out/x", 0o700).is_err());
        assert!(!bed.root.remove_file("out/secret").unwrap());
        assert!(!bed.root.remove_tree("out/secret").unwrap());
        assert!(bed.root.remove_contents("out", true).unwrap().is_empty());
    });
}

#[test]
fn renaming_does_not_follow() {
    with_both(|bed| {
        let secret = bed.outside().join("secret");
        bed.file("f", "f").link(&secret, "l").link(&secret, "m");
        bed.root.rename("f", "l").unwrap();
        assert_eq!(bed.text("l").as_deref(), Some("f"));
        bed.root.rename("m", "n").unwrap();
        assert_eq!(bed.root.read_link("n").unwrap(), Some(secret));
        assert!(said(bed.root.rename("gone", "x")).contains("No such file"));
    });
}

#[test]
fn removing_does_not_follow() {
    with_both(|bed| {
        let outside = bed.outside();
        bed.file("d/e/f", "")
            .link(&outside, "d/out")
            .link("../../outside", "d/up")
            .link("/keep", "d/in")
            .file("keep/k", "")
            .link("keep", "l")
            .link("/keep", "tree");
        mkfifo(&bed.at("d/fifo"), Mode::S_IRWXU).unwrap();
        assert!(bed.root.remove_file("l").unwrap());
        assert!(!bed.root.remove_file("l").unwrap());
        assert!(!bed.root.remove_file("gone/x").unwrap());
        assert!(bed.root.remove_file("keep").is_err());
        assert!(bed.root.remove_tree("d").unwrap());
        assert!(!bed.root.remove_tree("d").unwrap());
        assert!(bed.root.remove_tree("tree").unwrap());
        assert!(bed.root.remove_tree("/").is_err());
        assert_eq!(bed.names("/"), ["keep"]);
        assert_eq!(bed.names("keep"), ["k"]);
    });
}

#[test]
fn emptying_keeps_the_directory() {
    with_both(|bed| {
        bed.file("var/tmp/a/b", "").file("var/tmp/.c", "");
        bed.link("tmp", "var/l");
        assert!(bed.root.remove_contents("var/l", true).unwrap().is_empty());
        assert!(bed.root.is_dir("var/tmp").unwrap());
        assert!(bed.names("var/tmp").is_empty());
        assert!(bed.root.remove_contents("gone", false).unwrap().is_empty());
        bed.file("f", "");
        assert!(bed.root.remove_contents("f", true).is_err());
    });
}

#[test]
fn devices_and_mounts() {
    with_both(|bed| {
        bed.dir("a").file("b/f", "").link("b", "l");
        assert!(bed.root.same_filesystem("a", "l").unwrap());
        assert!(bed.root.same_filesystem("a", "gone").is_err());
        for path in ["a", "b/f", "l", "gone", "a/.."] {
            assert!(!bed.root.is_mount_point(path).unwrap(), "{path}");
        }
        assert!(bed.root.is_mount_point("/").unwrap());
    });
    for resolver in [PathResolver::Openat2, PathResolver::Walk] {
        let host = Root::open_with(Path::new("/"), |_| resolver).unwrap();
        assert!(host.is_host());
        assert!(host.is_mount_point("/proc").unwrap());
        assert!(!host.is_mount_point("/proc/self").unwrap());
        assert!(!host.same_filesystem("/proc", "/").unwrap());
    }
}

#[test]
fn remove_tree_keeps_mounts() {
    // Creates a mount namespace for this thread alone. Not every user can create one.
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        return;
    }
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).unwrap();
    with_both(|bed| {
        let bind = |from: PathBuf, to: &str| {
            mount(Some(&from), &bed.at(to), none, MsFlags::MS_BIND, none).unwrap();
        };
        bed.file("d/file", "").file("d/x/gone", "").file("d/y", "");
        bed.dir("d/x/bind").dir("d/tmpfs").dir("e/bind/on");
        bind(bed.outside(), "d/x/bind");
        bind(bed.outside().join("secret"), "d/file");
        mount(
            none,
            &bed.at("d/tmpfs"),
            Some("tmpfs"),
            MsFlags::empty(),
            none,
        )
        .unwrap();
        bed.file("d/tmpfs/kept", "");
        bind(bed.at("e/bind"), "e/bind");

        for path in ["d/x/bind", "d/file", "d/tmpfs", "e/bind"] {
            assert!(bed.root.is_mount_point(path).unwrap(), "{path}");
        }
        assert!(!bed.root.is_mount_point("d/x").unwrap());
        let refusal = said(bed.root.remove_tree("d/x"));
        assert!(refusal.starts_with("removing /d/x/bind in "), "{refusal}");
        assert!(refusal.ends_with("it is a mount point"));
        assert!(said(bed.root.remove_contents("e", false)).contains("/e/bind"));
        let kept = bed.root.remove_contents("d", true).unwrap();
        let expected = ["file", "tmpfs", "x/bind"].map(PathBuf::from);
        assert_eq!(kept, expected);
        assert_eq!(bed.names("d"), ["file", "tmpfs", "x"]);
        assert_eq!(bed.names("d/tmpfs"), ["kept"]);
        for path in ["d/x/bind", "d/file", "d/tmpfs", "e/bind"] {
            umount(&bed.at(path)).unwrap();
        }
        assert!(bed.root.remove_tree("d").unwrap());
        assert!(bed.root.is_dir("e/bind/on").unwrap());
    });
}

#[test]
fn error_texts() {
    with_both(|bed| {
        let root = bed.root.path().display().to_string();
        bed.file("d/f", "");
        assert_eq!(
            said(bed.root.create_file("d/f", 0o600)),
            format!("creating /d/f in {root}: File exists")
        );
        let host = Root::open(Path::new("/")).unwrap();
        assert_eq!(
            said(host.sync_dir("gone-from-here")),
            "syncing /gone-from-here: No such file or directory"
        );
        assert_eq!(bed.root.host_path("/a/b"), bed.root.path().join("a/b"));
        let gone = bed.at("gone");
        assert_eq!(
            said(Root::open(&gone)),
            format!(
                "opening the root {}: No such file or directory",
                gone.display()
            )
        );
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            said(Root::open(Path::new("gone-from-here"))),
            format!(
                "opening the root {}: No such file or directory",
                here.join("gone-from-here").display()
            )
        );
        assert!(said(bed.root.stat("a\0b")).contains("Invalid argument"));
    });
}

#[test]
fn special_files_are_told_apart() {
    let host = Root::open(Path::new("/")).unwrap();
    let device = fs_err::metadata("/dev/null").unwrap().file_type();
    assert!(device.is_char_device());
    let null = host.stat("/dev/null").unwrap().unwrap();
    assert_eq!(null.kind, FileType::CharDevice);
    assert!(said(host.read("/dev/null", 1)).contains("a character device"));
}
