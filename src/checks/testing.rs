// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small tree and a small initramfs that every check finds good, to be broken by tests.

use std::collections::BTreeMap;
use std::io;

use super::{Answer, CHECKS, Image, ImageFile, Lists, Owner, Severity, Subject, Tree, run};
use crate::initramfs::testing::{Item, archive, dir, item, link};
use crate::initramfs::{self, Bodies, Inventory, Limits, OnDisk, OpenFile};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Aliases, ModuleList, ModulesDep, Softdeps};
use crate::kernel::package::Nevra;
use crate::kernel::vmlinuz::{Arch, Format, Release};

pub(super) const K: &str = "6.9.4-200.fc40.x86_64";

/// A tree and an image, as bytes.
pub(super) struct Bench {
    /// Files and links inside, by path.
    pub(super) inside: BTreeMap<String, Item>,
    /// `usr/lib/modules/K` of the tree.
    pub(super) disk: BTreeMap<String, Vec<u8>>,
    /// Whether there is a tree at all.
    pub(super) alone: bool,
}

/// The disk of a bench, as the reader asks for it.
struct Disk<'b>(&'b BTreeMap<String, Vec<u8>>);

impl OnDisk for Disk<'_> {
    fn open(&mut self, path: &[u8]) -> io::Result<Option<OpenFile>> {
        let path = String::from_utf8(path.to_vec()).map_err(io::Error::other)?;
        let relative = path.strip_prefix(&format!("{K}/")).unwrap_or("elsewhere");
        Ok(self.0.get(relative).map(|bytes| OpenFile {
            size: bytes.len() as u64,
            data: Box::new(io::Cursor::new(bytes.clone())),
        }))
    }
}

const LISTS: [(&str, &str); 5] = [
    (
        "modules.dep",
        "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n\
         kernel/drivers/block/virtio_blk.ko:\nkernel/crypto/gcm.ko:\n",
    ),
    (
        "modules.builtin",
        "kernel/fs/mbcache.ko\nkernel/fs/erofs/erofs.ko\n",
    ),
    (
        "modules.order",
        "kernel/fs/ext4/ext4.ko\nkernel/fs/jbd2/jbd2.ko\nkernel/drivers/block/virtio_blk.ko\n\
         kernel/crypto/gcm.ko\n",
    ),
    (
        "modules.softdep",
        "softdep ext4 pre: crypto-crc32c nothing post: mbcache\n",
    ),
    (
        "modules.alias",
        "alias crypto-gcm gcm\nalias crypto-gcm-* gcm\n",
    ),
];

impl Bench {
    pub(super) fn good() -> Self {
        let mut bench = Self {
            inside: BTreeMap::new(),
            disk: BTreeMap::new(),
            alone: false,
        };
        for (name, text) in LISTS {
            bench.disk.insert(name.into(), text.into());
        }
        let builtin = b"crc32c.alias=crypto-crc32c\0crc32c.license=GPL\0";
        bench
            .disk
            .insert("modules.builtin.modinfo".into(), builtin.to_vec());
        for (path, depends) in [
            ("kernel/fs/ext4/ext4.ko", "jbd2,mbcache"),
            ("kernel/fs/jbd2/jbd2.ko", ""),
            ("kernel/drivers/block/virtio_blk.ko", ""),
            ("kernel/crypto/gcm.ko", ""),
        ] {
            let module = ko(K, depends, 0);
            bench.disk.insert(path.into(), module.clone());
            if !path.contains("gcm") {
                bench.put(&module_path(path), &module);
            }
        }
        let own = LISTS[0].1.replace("kernel/crypto/gcm.ko:\n", "");
        bench.put(&module_path("modules.dep"), own.as_bytes());
        for (name, text) in &LISTS[1..] {
            bench.put(&module_path(name), text.as_bytes());
        }
        bench.put(LINKER, &Dynamic::library("ld-linux-x86-64.so.2", &[]).elf());
        let libc = Dynamic::library("libc.so.6", &["ld-linux-x86-64.so.2"]);
        bench.put("usr/lib64/libc.so.6", &libc.elf());
        bench.link("lib64", "usr/lib64");
        bench.link("bin", "usr/bin");
        bench.put("usr/bin/true", &Dynamic::program(&["libc.so.6"]).elf());
        let systemd = Dynamic::program(&["libc.so.6"]).elf();
        bench.put("usr/lib/systemd/systemd", &systemd);
        bench.link("init", "usr/lib/systemd/systemd");
        bench
    }

    pub(super) fn put(&mut self, path: &str, data: &[u8]) {
        let mode = if data.starts_with(b"\x7fELF") || data.starts_with(b"#!") {
            0o100_755
        } else {
            0o100_644
        };
        self.inside.insert(path.into(), item(path, mode, data));
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.inside.insert(path.into(), link(path, target));
    }

    /// Removes a module from the image, and from `modules.dep` inside.
    pub(super) fn remove_module(&mut self, path: &str) {
        self.inside.remove(&module_path(path)).unwrap();
        let list = module_path("modules.dep");
        let text = String::from_utf8(self.inside[&list].data.clone()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with(path));
        let lines: String = lines.map(|line| line.replace(path, "") + "\n").collect();
        self.put(&list, lines.as_bytes());
    }

    fn image(&self) -> Image {
        let mut items: Vec<Item> = Vec::new();
        let mut dirs = std::collections::BTreeSet::new();
        for path in self.inside.keys() {
            for (at, _) in path.match_indices('/') {
                dirs.insert(&path[..at]);
            }
        }
        items.extend(dirs.into_iter().map(dir));
        items.extend(self.inside.values().cloned());
        let bytes = archive(&items);
        let limits = Limits::default();
        let mut inventory = Inventory::new(&limits);
        let mut disk = Disk(&self.disk);
        let mut bodies = Bodies::new((!self.alone).then_some(&mut disk));
        let segments =
            initramfs::read(bytes.as_slice(), &limits, &mut inventory.with(&mut bodies)).unwrap();
        Image::Read {
            facts: bodies.facts(),
            inventory: Box::new(inventory),
            segments,
        }
    }

    fn tree(&self) -> Tree {
        let text = |name: &str| self.disk.get(name).map(Vec::as_slice);
        let nevra = |name: &str| Nevra {
            name: name.into(),
            epoch: 0,
            version: "6.9.4".into(),
            release: "200.fc40".into(),
            arch: "x86_64".into(),
        };
        let modules = self.disk.keys().filter(|path| path.ends_with(".ko"));
        Tree {
            kernels: vec![K.into()],
            stale_dirs: vec![],
            release: Ok(Release {
                kver: K.into(),
                arch: Arch::X86_64,
                format: Format::BzImage,
            }),
            owner: Owner::Packages(vec![(nevra("kernel-core"), vec![K.into()])]),
            ukis: vec![],
            initramfs: Some(ImageFile {
                path: format!("usr/lib/modules/{K}/initramfs.img"),
                is_file: true,
                mode: 0o600,
                size: 1 << 20,
            }),
            legacy: vec![],
            leftovers: vec![],
            modules: modules.map(|path| path.clone().into_bytes()).collect(),
            lists: Lists {
                dep: text("modules.dep")
                    .map(ModulesDep::parse)
                    .transpose()
                    .map_err(said),
                builtin: text("modules.builtin")
                    .map(ModuleList::parse_builtin)
                    .transpose()
                    .map_err(said),
                order: text("modules.order")
                    .map(ModuleList::parse_order)
                    .transpose()
                    .map_err(said),
                softdep: text("modules.softdep")
                    .map(Softdeps::parse)
                    .transpose()
                    .map_err(said),
                alias: text("modules.alias")
                    .map(Aliases::parse)
                    .transpose()
                    .map_err(said),
                builtin_alias: Ok(text("modules.builtin.modinfo").map(Aliases::parse_builtin)),
            },
        }
    }

    /// The answer of one check.
    pub(super) fn answer(&self, check: &str) -> Answer {
        let kver = Kver::new(K).unwrap();
        let (tree, image) = (self.tree(), self.image());
        let subject = Subject {
            kver: &kver,
            tree: (!self.alone).then_some(&tree),
            image: &image,
        };
        let mut answers = run(&subject).into_iter();
        answers.find(|(it, _)| it.name == check).unwrap().1
    }

    /// The findings of one check, as `SEVERITY PATH: FOUND; EXPECTED`.
    pub(super) fn findings(&self, check: &str) -> Vec<String> {
        let entry = CHECKS.iter().find(|it| it.name == check).unwrap();
        let severity = |milder: Option<Severity>| milder.unwrap_or(entry.severity).as_str();
        match self.answer(check) {
            Answer::Good => vec![],
            Answer::Found(findings) => findings
                .iter()
                .map(|f| {
                    format!(
                        "{} {}: {}; {}",
                        severity(f.milder),
                        f.path,
                        f.found,
                        f.expected
                    )
                })
                .collect(),
            other => panic!("{check}: {other:?}"),
        }
    }
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

/// The dynamic linker of the bench.
pub(super) const LINKER: &str = "usr/lib64/ld-linux-x86-64.so.2";

/// A dynamic ELF file to write.
#[derive(Default)]
pub(super) struct Dynamic {
    machine: u16,
    interpreter: Option<&'static str>,
    entries: Vec<(u64, String)>,
}

impl Dynamic {
    pub(super) fn program(needed: &[&str]) -> Self {
        Self {
            machine: 62,
            interpreter: Some("/lib64/ld-linux-x86-64.so.2"),
            entries: needed.iter().map(|name| (1, (*name).to_owned())).collect(),
        }
    }

    pub(super) fn library(soname: &str, needed: &[&str]) -> Self {
        let mut library = Self::program(needed);
        library.interpreter = None;
        library.entries.push((14, soname.to_owned()));
        library
    }

    pub(super) fn machine(mut self, number: u16) -> Self {
        self.machine = number;
        self
    }

    pub(super) fn rpath(mut self, path: &str) -> Self {
        self.entries.push((15, path.to_owned()));
        self
    }

    pub(super) fn runpath(mut self, path: &str) -> Self {
        self.entries.push((29, path.to_owned()));
        self
    }

    /// One segment at address 0x10000, with interpreter, strings and dynamic section.
    pub(super) fn elf(&self) -> Vec<u8> {
        const BASE: u64 = 0x10000;
        let mut strings = vec![0];
        let mut dynamic = Vec::new();
        for (tag, text) in &self.entries {
            dynamic.push((*tag, strings.len() as u64));
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
        }
        let interp = self.interpreter.unwrap_or_default().as_bytes();
        let interp_at = 64 + 3 * 56;
        let strings_at = interp_at + interp.len() as u64 + 1;
        let dynamic_at = strings_at + strings.len() as u64;
        dynamic.extend([(5, BASE + strings_at), (0, 0)]);
        let size = dynamic_at + 16 * dynamic.len() as u64;
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        for (at, value) in [(16, 3_u16), (18, self.machine), (54, 56), (56, 3)] {
            elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        elf[32] = 64;
        let interp_kind = if interp.is_empty() { 4 } else { 3 };
        for (kind, at, length) in [
            (1_u32, 0, size),
            (interp_kind, interp_at, interp.len() as u64 + 1),
            (2, dynamic_at, 16 * dynamic.len() as u64),
        ] {
            elf.extend_from_slice(&kind.to_le_bytes());
            elf.extend_from_slice(&0_u32.to_le_bytes());
            for value in [at, BASE + at, BASE + at, length, length, 8] {
                elf.extend_from_slice(&value.to_le_bytes());
            }
        }
        elf.extend_from_slice(interp);
        elf.push(0);
        elf.extend_from_slice(&strings);
        for (tag, value) in dynamic {
            elf.extend_from_slice(&tag.to_le_bytes());
            elf.extend_from_slice(&value.to_le_bytes());
        }
        elf
    }
}

/// Where a module is inside.
pub(super) fn module_path(path: &str) -> String {
    format!("usr/lib/modules/{K}/{path}")
}

/// An ELF file with a section `.modinfo`, `padding` bytes longer than it needs to be.
pub(super) fn ko(kver: &str, depends: &str, padding: usize) -> Vec<u8> {
    let modinfo = format!("license=GPL\0depends={depends}\0vermagic={kver} SMP mod_unload \0");
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(64, 0);
    let info_at = elf.len() as u64;
    elf.extend_from_slice(modinfo.as_bytes());
    let names_at = elf.len() as u64;
    elf.extend_from_slice(names);
    elf.resize(elf.len().next_multiple_of(8) + padding, 0);
    let headers_at = elf.len() as u64;
    elf[0x28..0x30].copy_from_slice(&headers_at.to_le_bytes());
    for (at, value) in [(0x10, 1_u16), (0x12, 62), (0x3a, 64), (0x3c, 3), (0x3e, 2)] {
        elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    for (name, kind, offset, size) in [
        (0_u32, 0_u32, 0, 0),
        (1, 1, info_at, modinfo.len() as u64),
        (10, 3, names_at, names.len() as u64),
    ] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&offset.to_le_bytes());
        header[32..40].copy_from_slice(&size.to_le_bytes());
        elf.extend_from_slice(&header);
    }
    elf
}
