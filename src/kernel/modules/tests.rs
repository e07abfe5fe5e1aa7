// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the parsers with tables of inputs. The ELF files and the indexes are generated.

use super::*;
use crate::kernel::testing::{INFO, index, module};

fn name(text: &str) -> ModuleName {
    ModuleName::new(text.as_bytes()).unwrap()
}

fn said<T: fmt::Debug>(result: Result<T, ParseError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn names_of_paths() {
    let cases: [(&[u8], Option<&[u8]>); 12] = [
        (b"kernel/fs/ext4/ext4.ko", Some(b"ext4")),
        (b"kernel/drivers/md/dm-mod.ko.xz", Some(b"dm_mod")),
        (b"extra/zfs.ko.zst", Some(b"zfs")),
        (b"a-b/c-d.ko.gz", Some(b"c_d")),
        (b"x.ko", Some(b"x")),
        (b"a.b-c.ko", Some(b"a.b_c")),
        (b"\xff-.ko", Some(b"\xff_")),
        (b"kernel/fs/ext4/ext4.ko.bz2", None),
        (b"kernel/fs/ext4", None),
        (b".ko", None),
        (b"dir.ko/", None),
        (b"", None),
    ];
    for (path, expected) in cases {
        let found = ModuleName::of_path(path);
        let found = found.as_ref().map(ModuleName::as_bytes);
        assert_eq!(found, expected, "{}", path.escape_ascii());
        assert_eq!(ModuleName::is_of_path(path), expected.is_some());
    }
    assert_eq!(name("dm-mod"), name("dm_mod"));
    assert_eq!(name("a\u{7}b").to_string(), "a\\x07b");
    assert_eq!(ModuleName::new(b""), None);
}

#[test]
fn dep() {
    let dep = ModulesDep::parse(
        b"# by hand\n\
          kernel/a-b.ko.xz: kernel/c.ko.xz kernel/d.ko.xz\n\
          \n\
          kernel/c.ko.xz:\n\
          extra/c.ko: \t kernel/d.ko.xz",
    )
    .unwrap();
    assert_eq!(dep.len(), 3);
    assert!(!dep.is_empty());
    let needs = |path: &str| Some(dep.needs(path.as_bytes())?.iter().collect::<Vec<_>>());
    let both: [&[u8]; 2] = [b"kernel/c.ko.xz", b"kernel/d.ko.xz"];
    assert_eq!(needs("kernel/a-b.ko.xz").unwrap(), both);
    assert!(needs("kernel/c.ko.xz").unwrap().is_empty());
    assert_eq!(needs("extra/c.ko").unwrap(), both[1..]);
    assert_eq!(needs("kernel/d.ko.xz"), None);
    assert_eq!(
        dep.path_of(&name("a_b")),
        Some(b"kernel/a-b.ko.xz".as_slice())
    );
    assert_eq!(dep.path_of(&name("c")), Some(b"kernel/c.ko.xz".as_slice()));
    assert_eq!(dep.path_of(&name("d")), None);
    let first = dep.iter().map(|(path, _)| path).min();
    assert_eq!(first, Some(b"extra/c.ko".as_slice()));
    assert!(ModulesDep::parse(b"").unwrap().is_empty());
}

#[test]
fn dep_errors_name_the_line() {
    for (text, expected) in [
        (
            "a.ko:\n\nb.ko",
            "modules.dep, line 3: found \"b.ko\", expected MODULE: MODULE...",
        ),
        (
            "a: b.ko",
            "modules.dep, line 1: found \"a: b.ko\", expected a module's path",
        ),
        (
            "a.ko: b",
            "modules.dep, line 1: found \"a.ko: b\", expected modules' paths after the colon",
        ),
        (
            "a.ko:\na.ko: b.ko",
            "modules.dep, line 2: found \"a.ko: b.ko\", expected one line for each module",
        ),
        (
            "\x07",
            "modules.dep, line 1: found \"\\x07\", expected MODULE: MODULE...",
        ),
    ] {
        assert_eq!(said(ModulesDep::parse(text.as_bytes())), expected);
    }
    let long = [b"a".repeat(MAX_LINE), b".ko:".to_vec()].concat();
    assert!(said(ModulesDep::parse(&long)).ends_with("a line of at most 65536 bytes"));
}

#[test]
fn lists() {
    let list = ModuleList::parse_order(b"kernel/z.ko\nkernel/a-b.ko\n").unwrap();
    assert!(list.contains(&name("a-b")) && list.contains(&name("z")));
    assert!(!list.contains(&name("b")));
    assert_eq!(
        list.paths(),
        [b"kernel/z.ko".to_vec(), b"kernel/a-b.ko".to_vec()]
    );
    assert_eq!(
        said(ModuleList::parse_builtin(b"kernel/z.ko\nkernel/z\n")),
        "modules.builtin, line 2: found \"kernel/z\", expected a module's path"
    );
    assert!(said(ModuleList::parse_order(b"x")).starts_with("modules.order, line 1"));
}

#[test]
fn softdeps() {
    let softdeps = Softdeps::parse(
        b"# Soft dependencies\n\
          softdep cifs pre: nls aead2 post: x-y\n\
          softdep libcrc32c pre: crc32c\n\
          softdep cifs\tpost: z pre: ccm\n\
          softdep lonely\n\
          softdep odd lost pre:kept pre: ",
    )
    .unwrap();
    let cifs = softdeps.get(&name("cifs")).unwrap();
    assert_eq!(cifs.pre, [name("nls"), name("aead2"), name("ccm")]);
    assert_eq!(cifs.post, [name("x_y"), name("z")]);
    assert_eq!(softdeps.get(&name("lonely")), Some(&Softdep::default()));
    assert_eq!(softdeps.get(&name("odd")), Some(&Softdep::default()));
    assert_eq!(softdeps.get(&name("nls")), None);
    assert_eq!(softdeps.iter().count(), 4);
    for text in ["softdep", "softdepcifs pre: x", "alias a b", "softdep \n"] {
        let expected = "expected softdep MODULE pre: MODULE... post: MODULE...";
        assert!(said(Softdeps::parse(text.as_bytes())).ends_with(expected));
    }
}

#[test]
fn aliases() {
    let aliases = Aliases::parse(
        b"# Aliases extracted from modules themselves.\n\
          alias fs-ext4 ext4\n\
          alias pci:v00008086d*sv*sd*bc01sc06i* ahci\n\
          alias fs-ext4 ext4-other\n\
          alias dmi*:svnSome Vendor*:pn* with-spaces\n",
    )
    .unwrap();
    let resolve = |alias: &str| -> Vec<_> {
        let names = aliases.resolve(alias.as_bytes());
        names.into_iter().map(ToString::to_string).collect()
    };
    assert_eq!(resolve("fs_ext4"), ["ext4", "ext4_other"]);
    assert_eq!(resolve("fs-ext4"), ["ext4", "ext4_other"]);
    assert_eq!(resolve("pci:v00008086d00002922sv0sd0bc01sc06i01"), ["ahci"]);
    assert_eq!(resolve("dmi:x:svnSome Vendor Inc:pnThis"), ["with_spaces"]);
    assert!(resolve("pci:v00008086").is_empty());
    assert_eq!(aliases.iter().count(), 4);
    for text in ["alias x", "alias", "alias\t", "options a b"] {
        let expected = "expected alias PATTERN MODULE";
        assert!(
            said(Aliases::parse(text.as_bytes())).ends_with(expected),
            "{text}"
        );
    }
}

#[test]
fn patterns() {
    for (pattern, text, expected) in [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("**", "abc", true),
        ("a*c", "abbc", true),
        ("a*c", "abbcd", false),
        ("a*b*c", "a_b_b_c", true),
        ("*ab", "aab", true),
        ("?", "", false),
        ("a?c", "abc", true),
        ("[0-9]x", "5x", true),
        ("[0-9]x", "ax", false),
        ("*[0-9A-F]", "zzF", true),
        ("[!0-9]", "a", true),
        ("[!0-9]", "5", false),
        ("[^a]", "b", true),
        ("[]a]", "]", true),
        ("[!]a]", "]", false),
        ("[a-]", "a", true),
        ("[z-a]", "m", false),
        ("]", "]", true),
        ("[a-c-]", "b", true),
        ("\\*", "*", true),
        ("\\*", "a", false),
        ("\\\\", "\\", true),
        ("a-b", "a_b", true),
        ("a_b", "a-b", true),
    ] {
        let aliases = Aliases::parse(format!("alias {pattern}_ m").as_bytes()).unwrap();
        let text = format!("{text}-");
        let found = aliases.resolve(text.as_bytes()).len() == 1;
        assert_eq!(found, expected, "{pattern:?} {text:?}");
    }
}

#[test]
fn long_patterns_match_quickly() {
    let pattern = "*a".repeat(2000);
    let aliases = Aliases::parse(format!("alias {pattern}b m").as_bytes()).unwrap();
    assert_eq!(aliases.resolve(&b"a".repeat(4000)).len(), 0);
    let sets = "*[a-b]".repeat(1000);
    let aliases = Aliases::parse(format!("alias {sets}c m").as_bytes()).unwrap();
    assert_eq!(aliases.resolve(&b"a".repeat(4000)).len(), 0);
    let open = format!("alias {} m", "[".repeat(MAX_LINE / 2));
    assert!(said(Aliases::parse(open.as_bytes())).ends_with("brackets closed"));
    assert_eq!(aliases.resolve(&b"[".repeat(MAX_LINE)).len(), 0);
}

#[test]
fn modinfo() {
    for (wide, big) in [(true, false), (true, true), (false, false), (false, true)] {
        let info = Modinfo::of_module(&module(wide, big, INFO)).unwrap();
        assert_eq!(info, Modinfo::parse(INFO));
        assert_eq!(info.kver(), Some(b"6.9.4-200.fc40.x86_64".as_slice()));
        let vermagic = b"6.9.4-200.fc40.x86_64 SMP mod_unload ".as_slice();
        assert_eq!(info.vermagic(), Some(vermagic));
        assert_eq!(info.depends(), [name("dm_mod"), name("jbd2")]);
        assert_eq!(info.softdep().pre, [name("crc32c")]);
        assert_eq!(info.softdep().post, [name("z")]);
        assert!(info.intree());
        assert_eq!(info.name(), Some(name("x_y")));
        assert_eq!(info.all("alias").count(), 2);
        assert_eq!(info.get("noise"), None);
    }
    let none = Modinfo::parse(b"depends=\0");
    assert!(none.depends().is_empty() && !none.intree());
    assert_eq!((none.kver(), none.name()), (None, None));
}

#[test]
fn modinfo_errors() {
    for (file, expected) in [
        (
            b"\xfd7zXZ\0rest".to_vec(),
            "it starts with \"\\xfd7zXZ\\x00re\", expected an uncompressed ELF file",
        ),
        (
            b"\x7fELF\x02\x01".to_vec(),
            "the file has 6 bytes, expected an ELF header at 0x28",
        ),
        (
            {
                let mut file = module(true, false, INFO);
                let at = file.windows(8).position(|w| w == b".modinfo").unwrap();
                file[at] = b'_';
                file
            },
            "it has no section .modinfo",
        ),
        (
            {
                let mut file = module(true, false, INFO);
                file.pop();
                file
            },
            "expected a section header at",
        ),
    ] {
        let said = Modinfo::of_module(&file).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn no_broken_module_panics() {
    for (wide, big) in [(true, false), (false, true)] {
        let whole = module(wide, big, INFO);
        for length in 0..whole.len() {
            assert!(Modinfo::of_module(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = Modinfo::of_module(&broken);
            }
        }
        // Eight bytes of 0xff at every position: among others, each offset, size and count has its largest value once.
        for at in 0..whole.len().saturating_sub(8) {
            let mut broken = whole.clone();
            broken[at..at + 8].fill(0xff);
            let _ = Modinfo::of_module(&broken);
        }
    }
}

const DEP: &str =
    "kernel/fs/a-b.ko.xz: kernel/c.ko.zst extra/d.ko.gz\nkernel/c.ko.zst:\nextra/ab.ko.gz:\n";

#[test]
fn an_index_says_what_its_text_says() {
    let text = ModulesDep::parse(DEP.as_bytes()).unwrap();
    assert_eq!(ModulesDep::parse_index(&index::dep(DEP)), Ok(text));
    assert_eq!(
        ModulesDep::parse_index(&index::dep("")),
        Ok(ModulesDep::default())
    );
    let alias = "alias pci:v1* ahci\nalias pci:v2* ahci\nalias pci:v1d3* dm-mod\nalias x y\n";
    let names = aliased(&index::alias(alias)).unwrap();
    assert_eq!(names, ["ahci", "dm_mod", "y"].map(name).into());
}

#[test]
fn a_damaged_index_is_an_error() {
    let good = index::dep(DEP);
    let parsed = ModulesDep::parse_index(&good).unwrap();
    for length in 0..good.len() {
        assert!(
            ModulesDep::parse_index(&good[..length]).is_err(),
            "{length}"
        );
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut broken = good.clone();
            broken[at] ^= 1 << bit;
            if let Ok(found) = ModulesDep::parse_index(&broken) {
                assert!(found.len() <= parsed.len(), "{at}.{bit}");
            }
        }
    }
    // Every child of a node is the node itself.
    let mut endless = [0xB007_F457_u32, 2 << 16, 0x2000_000C]
        .map(u32::to_be_bytes)
        .concat();
    endless.extend([0, 127]);
    endless.extend(0x2000_000C_u32.to_be_bytes().repeat(128));
    let error = ModulesDep::parse_index(&endless).unwrap_err();
    assert_eq!(
        error.to_string(),
        "modules.dep.bin, byte 12: a part of it is referenced twice"
    );
    let under_another_name = index::dep("kernel/a.ko:\n");
    let at = under_another_name
        .iter()
        .position(|&byte| byte == b'a')
        .unwrap();
    let mut broken = under_another_name;
    broken[at] = b'b';
    let error = ModulesDep::parse_index(&broken).unwrap_err();
    assert_eq!(error.what, "a line under the name of its module");
}

#[test]
fn seeds_are_current() {
    let plain = module(true, false, INFO);
    let mut xz = Vec::new();
    std::io::Read::read_to_end(&mut liblzma::read::XzEncoder::new(&plain[..], 6), &mut xz).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gz, &plain).unwrap();
    // The fuzz target selects the compression by the first byte.
    let modules = [
        ("plain", 0, plain.clone()),
        ("narrow-big-endian", 0, module(false, true, INFO)),
        ("xz", 1, xz),
        ("zstd", 2, zstd::encode_all(&plain[..], 19).unwrap()),
        ("gzip", 3, gz.finish().unwrap()),
    ];
    let modules = modules.map(|(name, packed, file)| (name, [vec![packed], file].concat()));
    crate::kernel::testing::seeds("module", &modules);
    let dep = b"kernel/a-b.ko.xz: kernel/c.ko.zst extra/d.ko.gz\n\nkernel/c.ko.zst:\n# c\n";
    let softdep = b"# Soft\nsoftdep cifs pre: nls aead2 post: x-y\nsoftdep cifs\tpost: z\n";
    let alias = b"alias fs-ext4 ext4\nalias pci:v*[a-f0-9]?d[!x]* ahci\nalias dmi*:sv a b:* c-d\n";
    let builtin = b"ext4.alias=fs-ext4\0ext4.license=GPL\0virtio.alias=virtio:d[0-9]v*\0";
    let lists = [
        ("dep", dep.to_vec()),
        (
            "order",
            b"kernel/a-b.ko\nkernel/c.ko\nkernel/c.ko\n".to_vec(),
        ),
        ("softdep", softdep.to_vec()),
        ("alias", alias.to_vec()),
        ("dep.bin", index::dep(DEP)),
        (
            "alias.bin",
            index::alias(std::str::from_utf8(alias).unwrap()),
        ),
        ("builtin.modinfo", builtin.to_vec()),
    ];
    crate::kernel::testing::seeds("lists", &lists);
}
