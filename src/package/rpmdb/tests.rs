// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests with blobs as rpm writes them, and with malformed blobs.

use super::{FileDigest, PackageFile, Record, Rpmdb, RpmdbError, RpmdbReader, Scope};
use crate::package::hex;

const KVER: &str = "6.9.4-200.fc40.x86_64";

/// Returns the blob of a kernel package, from a header that the `rpm` crate builds.
fn built() -> Vec<u8> {
    let config = rpm::BuildConfig::v4()
        .compression(rpm::CompressionType::None)
        .source_date(1_700_000_000_u32);
    let mut builder = rpm::PackageBuilder::new("kernel-core", "6.9.4", "MIT", "x86_64", "test");
    builder.using_config(config).release("200.fc40").epoch(1);
    builder.build_host("builder");
    for (path, content) in [
        (format!("/lib/modules/{KVER}/vmlinuz"), "MZ"),
        (format!("/usr/lib/modules/{KVER}/modules.order"), ""),
        ("/usr/share/doc/kernel/README".to_owned(), "read me"),
    ] {
        let options = rpm::FileOptions::new(path);
        builder.with_file_contents(content, options).unwrap();
    }
    builder.provides(rpm::Dependency::eq("kernel-uname-r", KVER));
    builder.requires(rpm::Dependency::greater_eq("systemd", "254"));
    let header = builder.build().unwrap().metadata.header_bytes().unwrap();
    header[8..].to_vec()
}

/// A value of a tag. The first field of `Numbers` is the type.
enum Value<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    Numbers(u32, &'a [u32]),
    /// 64-bit numbers.
    Longs(&'a [u64]),
}

fn blob(tags: &[(u32, Value)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in tags {
        let (kind, size) = match value {
            Value::Text(_) => (6, 1),
            Value::Texts(_) => (8, 1),
            Value::Numbers(kind, _) => (*kind, [1, 1, 1, 2, 4][*kind as usize]),
            Value::Longs(_) => (5, 8),
        };
        while data.len() % size != 0 {
            data.push(0);
        }
        let at = data.len() as u32;
        let count = match value {
            Value::Text(text) => {
                data.extend([text.as_bytes(), b"\0"].concat());
                1
            }
            Value::Texts(texts) => {
                let each = texts.iter().map(|text| [text.as_bytes(), b"\0"].concat());
                data.extend(each.flatten());
                texts.len()
            }
            Value::Longs(numbers) => {
                data.extend(numbers.iter().flat_map(|it| it.to_be_bytes()));
                numbers.len()
            }
            Value::Numbers(_, numbers) => {
                let each = numbers.iter().map(|number| number.to_be_bytes());
                data.extend(each.flat_map(|bytes| bytes[4 - size..].to_vec()));
                numbers.len()
            }
        };
        for word in [*tag, kind, at, count as u32] {
            index.extend(word.to_be_bytes());
        }
    }
    let counts = [tags.len() as u32, data.len() as u32];
    let counts: Vec<u8> = counts.iter().flat_map(|it| it.to_be_bytes()).collect();
    [counts, index, data].concat()
}

/// Returns the blob of a package with files in the directory `dir`. Each file is a name, a state and flags.
fn with_files(name: &str, dir: &str, files: &[(&str, u32, u32)]) -> Vec<u8> {
    let names: Vec<_> = files.iter().map(|it| it.0).collect();
    let states: Vec<_> = files.iter().map(|it| it.1).collect();
    let flags: Vec<_> = files.iter().map(|it| it.2).collect();
    let modes = vec![0o100_644; files.len()];
    let digests = vec!["00"; files.len()];
    let zeros = vec![0; files.len()];
    blob(&[
        (1000, Value::Text(name)),
        (1029, Value::Numbers(1, &states)),
        (1030, Value::Numbers(3, &modes)),
        (1035, Value::Texts(&digests)),
        (1037, Value::Numbers(4, &flags)),
        (1116, Value::Numbers(4, &zeros)),
        (1117, Value::Texts(&names)),
        (1118, Value::Texts(&[dir])),
        (5011, Value::Numbers(4, &[8])),
    ])
}

/// Returns the blob of a package with one file: its color, state, flags and digest.
fn with_elf(path: (&str, &str), color: u32, state: u32, flags: u32, digest: &str) -> Vec<u8> {
    blob(&[
        (1000, Value::Text("systemd")),
        (1001, Value::Text("257")),
        (1002, Value::Text("1")),
        (1022, Value::Text("x86_64")),
        (1028, Value::Numbers(4, &[9])),
        (1029, Value::Numbers(1, &[state])),
        (1030, Value::Numbers(3, &[0o100_755])),
        (1035, Value::Texts(&[digest])),
        (1037, Value::Numbers(4, &[flags])),
        (1116, Value::Numbers(4, &[0])),
        (1117, Value::Texts(&[path.1])),
        (1118, Value::Texts(&[path.0])),
        (1140, Value::Numbers(4, &[color])),
        (5011, Value::Numbers(4, &[8])),
    ])
}

#[test]
fn programs_of_packages_out_of_scope() {
    let sha256 = "ab".repeat(32);
    let systemd = ("/usr/lib/systemd/", "systemd");
    let good = with_elf(systemd, 2, 0, 0, &sha256);
    let rpmdb = read(std::slice::from_ref(&good), Scope::Kernels);
    assert!(rpmdb.packages().is_empty());
    let [elf] = rpmdb.elves_at("usr/lib/systemd/systemd") else {
        panic!("{rpmdb:?}");
    };
    assert_eq!((elf.size, elf.sha256), (9, [0xab; 32]));
    assert!(elf.build_id.is_empty());
    assert_eq!(&*elf.package, "systemd-257-1.x86_64");
    assert!(rpmdb.elves_at("usr/lib/systemd/systemc").is_empty());
    // Packages that use the old directories.
    let old = with_elf(("/sbin/", "udevd"), 1, 0, 0, &sha256);
    let rpmdb = read(&[old, good.clone(), good], Scope::All);
    assert_eq!(rpmdb.elves_at("usr/sbin/udevd").len(), 1);
    assert_eq!(rpmdb.elves_at("usr/lib/systemd/systemd").len(), 2);
    for bad in [
        with_elf(systemd, 0, 0, 0, &sha256),
        with_elf(systemd, 2, 4, 0, &sha256),
        with_elf(systemd, 2, 0, super::GHOST, &sha256),
        with_elf(systemd, 2, 0, 0, "abcd"),
        with_elf(systemd, 2, 0, 0, &"x".repeat(64)),
    ] {
        let rpmdb = read(&[bad], Scope::Kernels);
        assert!(rpmdb.elves_at("usr/lib/systemd/systemd").is_empty());
    }
}

/// As a package of rpm's format 6 with a link for the build-id.
#[test]
fn build_ids_and_long_sizes() {
    let sha256 = "ab".repeat(32);
    let flags = [0, 0];
    let digests = [sha256.as_str(), ""];
    let mut tags = vec![
        (1000, Value::Text("kmod")),
        (1035, Value::Texts(&digests)),
        (1036, Value::Texts(&["", "../../../../usr/bin/kmod"])),
        (1037, Value::Numbers(4, &flags)),
        (1116, Value::Numbers(4, &[0, 1])),
        (1117, Value::Texts(&["kmod", "cdef01"])),
        (1118, Value::Texts(&["/usr/bin/", "/usr/lib/.build-id/ab/"])),
        (1140, Value::Numbers(4, &[2, 0])),
    ];
    tags.push((5008, Value::Longs(&[5 << 32, 24])));
    tags.push((5011, Value::Numbers(4, &[8])));
    let rpmdb = read(&[blob(&tags)], Scope::Kernels);
    let [elf] = rpmdb.elves_at("usr/bin/kmod") else {
        panic!("{rpmdb:?}");
    };
    assert_eq!(elf.size, 5 << 32);
    assert_eq!(&*elf.build_id, [0xab, 0xcd, 0xef, 0x01]);
}

#[test]
fn the_paths_of_programs_have_a_limit() {
    let dir = "d".repeat(4000);
    let count = 5000;
    let names = vec!["n"; count];
    let digests = vec!["00"; count].into_iter().map(|it| it.repeat(32));
    let digests: Vec<_> = digests.collect();
    let digests: Vec<_> = digests.iter().map(String::as_str).collect();
    let (zeros, ones) = (vec![0; count], vec![1; count]);
    let many = blob(&[
        (1000, Value::Text("many")),
        (1028, Value::Numbers(4, &ones)),
        (1035, Value::Texts(&digests)),
        (1037, Value::Numbers(4, &zeros)),
        (1116, Value::Numbers(4, &zeros)),
        (1117, Value::Texts(&names)),
        (1118, Value::Texts(&[&dir])),
        (1140, Value::Numbers(4, &ones)),
        (5011, Value::Numbers(4, &[8])),
    ]);
    // The package is kept without its programs.
    let rpmdb = read(&[many], Scope::All);
    assert!(!rpmdb.has_elves() && rpmdb.packages().len() == 1);
}

fn read(blobs: &[Vec<u8>], scope: Scope) -> Rpmdb {
    let mut reading = RpmdbReader::new(scope);
    for blob in blobs {
        reading.take(blob).unwrap();
    }
    reading.finish()
}

#[test]
fn a_package_is_what_the_builder_was_told() {
    let record = Record::parse(&built()).unwrap();
    assert_eq!(
        record.nevra.to_string(),
        "kernel-core-1:6.9.4-200.fc40.x86_64"
    );
    let has = |caps: &[super::Capability], text: &str| caps.iter().any(|it| it.to_string() == text);
    assert!(has(&record.provides, &format!("kernel-uname-r = {KVER}")));
    assert!(has(&record.requires, "systemd >= 254"));
    let build = record.build.as_deref().unwrap();
    assert_eq!(build, "builder 1700000000");
    let own = record
        .requires
        .iter()
        .filter(|it| it.name.contains("rpmlib"));
    assert_eq!(own.count(), 0);
    // The file in /lib is stored as one in usr/lib; the documentation is not stored.
    let paths: Vec<_> = record.files.keys().cloned().collect();
    let dir = format!("usr/lib/modules/{KVER}");
    assert_eq!(
        paths,
        [format!("{dir}/modules.order"), format!("{dir}/vmlinuz")]
    );
    let file = &record.files[&format!("{dir}/vmlinuz")];
    let sha256 = <sha2::Sha256 as sha2::Digest>::digest("MZ");
    let expected = FileDigest {
        algorithm: FileDigest::SHA256,
        hex: hex(&sha256),
    };
    assert_eq!(file.digest, Some(expected));
    assert!(file.is_file() && !file.is_dir() && !file.is_ghost);
    assert_eq!(record.kernels().collect::<Vec<_>>(), [KVER]);
    assert!(record.has_files && record.modules().next().is_none());
}

#[test]
fn tags_that_rpm_adds_at_installation_are_read() {
    let digest = "a".repeat(64);
    let record = Record::parse(&blob(&[
        (273, Value::Text(&digest)),
        (1000, Value::Text("kernel-core")),
    ]));
    assert_eq!(record.unwrap().header_sha256, Some(digest));
    // A key has neither architecture nor files.
    let key = Record::parse(&blob(&[
        (1000, Value::Text("gpg-pubkey")),
        (1001, Value::Text("a15b79cc")),
        (1002, Value::Text("63d04c2c")),
    ]));
    let key = key.unwrap();
    assert_eq!(key.nevra.to_string(), "gpg-pubkey-a15b79cc-63d04c2c.(none)");
    assert!(!key.is_of_a_kernel() && !key.has_files);
}

#[test]
fn owners_of_a_path() {
    let core = with_files("core", "/lib/modules/K/", &[("vmlinuz", 0, 0)]);
    let twin = with_files("twin", "/usr/lib/modules/K/", &[("vmlinuz", 0, 0)]);
    let ghost = with_files("ghost", "/boot/", &[("vmlinuz-K", 0, 1 << 6)]);
    let stable = with_files("stable", "/lib/modules/kabi-rhel90/", &[("list", 0, 0)]);
    let dir = with_files("dir", "/usr/lib/", &[("modules", 0, 0), ("x", 0, 0)]);
    let away: Vec<_> = [1, 2, 4].map(|state| ("vmlinuz", state, 0)).to_vec();
    let away = with_files("away", "/lib/modules/K/", &away);
    let bash = with_files("bash", "/usr/bin/", &[("bash", 0, 0)]);
    let all = [core, twin, ghost, stable, dir, away, bash];
    let rpmdb = read(&all, Scope::All);
    assert_eq!(rpmdb.packages().len(), 7);
    let owners = |path: &str| -> Vec<_> {
        let owners = rpmdb.owners_of(path);
        owners.map(|(it, _)| it.nevra.name.clone()).collect()
    };
    assert_eq!(owners("usr/lib/modules/K/vmlinuz"), ["core", "twin"]);
    assert_eq!(owners("usr/lib/modules"), ["dir"]);
    assert_eq!(owners("usr/lib/modules/K"), [""; 0]);
    assert_eq!(owners("usr/bin/bash"), [""; 0]);
    let (_, file) = rpmdb.owners_of("boot/vmlinuz-K").next().unwrap();
    assert!(file.is_ghost);
    assert!(rpmdb.owns_in("usr/lib/modules/kabi-rhel90"));
    assert!(rpmdb.owns_in("usr/lib/modules/K"));
    assert!(!rpmdb.owns_in("usr/lib/modules/kabi"));
    assert!(!rpmdb.owns_in("usr/lib/modules/keys"));
    assert!(rpmdb.package("core").is_some());
    let kernels = read(&all, Scope::Kernels);
    let names = kernels.packages().iter().map(|it| it.nevra.name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["core", "dir", "ghost", "stable", "twin"]
    );
}

#[test]
fn old_headers_contain_complete_paths() {
    let record = Record::parse(&blob(&[
        (1000, Value::Text("kernel")),
        (1027, Value::Texts(&["/boot/vmlinuz", "/usr/bin/x"])),
        (1030, Value::Numbers(3, &[0o100_755, 0o100_755])),
        (1035, Value::Texts(&["d41d8cd9", ""])),
    ]));
    let md5 = FileDigest {
        algorithm: 1,
        hex: "d41d8cd9".into(),
    };
    let file = PackageFile {
        mode: 0o100_755,
        digest: Some(md5),
        is_ghost: false,
        target: String::new(),
    };
    let files = record.unwrap().files.into_iter();
    assert_eq!(
        files.collect::<Vec<_>>(),
        [("boot/vmlinuz".to_owned(), file)]
    );
}

#[test]
fn wrong_numbers_in_a_blob_are_rejected() {
    let whole = built();
    for cut in 0..whole.len() {
        assert!(Record::parse(&whole[..cut]).is_err(), "cut at {cut}");
    }
    assert!(Record::parse(&[&whole[..], b"\0"].concat()).is_err());
    for (at, what) in [(0, "entries"), (4, "bytes")] {
        let mut lying = whole.clone();
        lying[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let error = Record::parse(&lying).unwrap_err();
        assert!(matches!(error, RpmdbError::Framing(_)), "{what}: {error}");
    }
    let dir: &[&str] = &["/boot/"];
    let error = |tags: &[(u32, Value)]| Record::parse(&blob(tags)).unwrap_err().to_string();
    for (tags, expected) in [
        (
            vec![(1000, Value::Numbers(4, &[1]))],
            "tag 1000 is not text",
        ),
        (vec![(1003, Value::Text("1"))], "tag 1003 is not a number"),
        (
            vec![
                (1116, Value::Numbers(4, &[7])),
                (1117, Value::Texts(&["x"])),
                (1118, Value::Texts(dir)),
            ],
            "tag 1116 names no directory",
        ),
        (
            vec![(1117, Value::Texts(&["x"])), (1118, Value::Texts(dir))],
            "tag 1116 ends early",
        ),
    ] {
        assert!(error(&tags).contains(expected), "{}", error(&tags));
    }
    let long = "x".repeat(5000);
    let error = error(&[
        (1116, Value::Numbers(4, &[0])),
        (1117, Value::Texts(&[&long])),
        (1118, Value::Texts(dir)),
    ]);
    assert!(error.contains("too long"), "{error}");
}

#[test]
fn the_kept_paths_have_a_limit() {
    // One long directory and many short names: the paths would have several hundred times the size of the blob.
    let dir = format!("/boot/{}/", "d".repeat(4000));
    let names = vec!["x1"; 70_000];
    let zeros = vec![0; 70_000];
    let blob = blob(&[
        (1116, Value::Numbers(4, &zeros)),
        (1117, Value::Texts(&names)),
        (1118, Value::Texts(&[&dir])),
    ]);
    let error = Record::parse(&blob).unwrap_err();
    assert!(matches!(error, RpmdbError::TooMuch(_)), "{error}");
    let small = Record::parse(&with_files("x", "/usr/", &[])).unwrap();
    let mut reading = RpmdbReader::new(Scope::Kernels);
    let mut all = (0..=100_000).map(|_| reading.add(small.clone()));
    assert!(all.any(|it| it.is_err()), "packages are counted");
}

#[test]
fn seeds_are_current() {
    let seeds = [
        ("whole", built()),
        (
            "files",
            with_files("f", "/boot/", &[("vmlinuz", 0, 1 << 6)]),
        ),
        ("empty", blob(&[])),
        (
            "program",
            with_elf(("/usr/bin/", "kmod"), 2, 0, 0, &"ab".repeat(32)),
        ),
    ];
    crate::kernel::testing::seeds("rpmdb", &seeds);
}
