// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small tree and initramfs, which tests change. Without a change, all checks except `initramfs-ostree` answer good
//! or not applicable.

mod elf;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub(super) use elf::{Dynamic, LINKER, ko};

use super::{
    Answer, Baseline, CHECKS, Database, Hmac, ImageFile, Initramfs, KernelFiles, Lists, Omitted,
    OsRelease, Selection, Severity, Subject, TreeFacts, VmlinuzState, Wanted, run,
};
use crate::initramfs::testing::{TestEntry, archive, dir, item, link, pack};
use crate::initramfs::{self, Bodies, Compression, Inventory, Limits, OnDisk, OpenFile};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Aliases, ModuleList, ModulesDep, Softdeps};
use crate::kernel::testing::index;
use crate::kernel::vmlinuz::{Arch, KernelFormat, Release};
use crate::node::Machine;
use crate::package::Nevra;
use crate::package::capability::Capability;
use crate::package::rpmdb::{PackageFile, Record, RpmdbReader, Scope};

pub(super) const K: &str = "6.9.4-200.fc40.x86_64";

/// A tree and an initramfs, and the other facts that checks examine.
pub(super) struct Bench {
    /// Files and links in the initramfs, by path.
    pub(super) inside: BTreeMap<String, TestEntry>,
    /// The tree's files in the directory of [`K`], by path relative to that directory.
    pub(super) disk: BTreeMap<String, Vec<u8>>,
    /// Other files of the tree, by path: their modes and bytes.
    pub(super) sources: BTreeMap<String, (u32, Vec<u8>)>,
    /// Whether there is no tree.
    pub(super) alone: bool,
    /// Whether the initramfs cannot be unpacked.
    pub(super) unreadable: bool,
    /// The baseline with which the checks compare.
    pub(super) base: Option<Baseline>,
    /// The compression of the initramfs; `None` for no compression.
    pub(super) compression: Option<Compression>,
    /// The user's requirements.
    pub(super) wanted: Wanted,
    /// The machine that boots the tree as a deployment.
    pub(super) machine: Option<Machine>,
    /// A change of the tree's facts before the checks run.
    pub(super) change: fn(&mut TreeFacts),
}

/// The tree of a bench, as the reader of an initramfs accesses it.
struct Disk<'b>(&'b Bench);

impl OnDisk for Disk<'_> {
    fn open(&mut self, path: &[u8]) -> io::Result<Option<OpenFile>> {
        let path = String::from_utf8(path.to_vec()).map_err(io::Error::other)?;
        let module = path
            .strip_prefix("usr/lib/modules/")
            .and_then(|it| it.strip_prefix(K));
        let module = module.and_then(|it| self.0.disk.get(it.trim_start_matches('/')));
        let source = self
            .0
            .sources
            .get(&path)
            .map(|(mode, bytes)| (*mode, bytes));
        let found = module.map(|bytes| (0o644, bytes)).or(source);
        Ok(found.map(|(mode, bytes)| OpenFile {
            size: bytes.len() as u64,
            mode,
            data: Box::new(io::Cursor::new(bytes.clone())),
        }))
    }

    fn dracut_files(&mut self) -> io::Result<Vec<(Vec<u8>, u64)>> {
        let sources = self.0.sources.iter();
        let sources = sources.filter(|(path, _)| path.starts_with("usr/lib/dracut/"));
        let sized = sources.map(|(path, (_, bytes))| (path.clone().into(), bytes.len() as u64));
        Ok(sized.collect())
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

/// The units that every boot requires, with their texts.
pub(super) const UNITS: [(&str, &str); 9] = [
    (
        "initrd.target",
        "[Unit]\nRequires=basic.target\nWants=initrd-root-fs.target initrd-parse-etc.service\n",
    ),
    (
        "basic.target",
        "[Unit]\nWants=systemd-udevd.service systemd-udev-trigger.service\n",
    ),
    (
        "systemd-udevd.service",
        "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/lib/systemd/systemd-udevd\n",
    ),
    (
        "systemd-udev-trigger.service",
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=-udevadm trigger\n",
    ),
    ("initrd-root-fs.target", "[Unit]\nDefaultDependencies=no\n"),
    (
        "initrd-parse-etc.service",
        "[Unit]\nDefaultDependencies=no\nRequires=initrd-root-fs.target\nAfter=initrd-root-fs.target\n\
         [Service]\nType=oneshot\nExecStart=/usr/bin/true\n\
         ExecStart=systemctl --no-block start initrd-cleanup.service\n",
    ),
    (
        "initrd-cleanup.service",
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n\
         ExecStart=systemctl --no-block isolate initrd-switch-root.target\n",
    ),
    (
        "initrd-switch-root.target",
        "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\nWants=initrd-switch-root.service\n",
    ),
    (
        "initrd-switch-root.service",
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n\
         ExecStart=systemctl --no-block switch-root\n",
    ),
];

/// The programs that [`UNITS`], systemd itself and the kernel execute.
const PROGRAMS: [&str; 6] = [
    "usr/sbin/modprobe",
    "usr/bin/mount",
    "usr/bin/systemctl",
    "usr/bin/udevadm",
    "usr/lib/systemd/systemd-udevd",
    "usr/lib/systemd/system-generators/systemd-fstab-generator",
];

/// The rules of udev that every boot requires.
const RULES: [(&str, &str); 3] = [
    (
        "60-persistent-storage",
        "ACTION==\"remove\", GOTO=\"end\"\nKERNEL!=\"sd*|vd*\", GOTO=\"end\"\nIMPORT{builtin}=\"blkid\"\n\
         ENV{ID_FS_UUID_ENC}==\"?*\", SYMLINK+=\"disk/by-uuid/$env{ID_FS_UUID_ENC}\"\n\
         ENV{ID_FS_LABEL_ENC}==\"?*\", SYMLINK+=\"disk/by-label/$env{ID_FS_LABEL_ENC}\"\nLABEL=\"end\"\n",
    ),
    (
        "80-drivers",
        "ACTION!=\"add\", GOTO=\"end\"\nENV{MODALIAS}==\"?*\", RUN{builtin}+=\"kmod load\"\nLABEL=\"end\"\n",
    ),
    ("99-systemd", "SUBSYSTEM==\"block\", TAG+=\"systemd\"\n"),
];

impl Bench {
    /// Returns the good bench with this change of its tree's facts.
    pub(super) fn changed(change: fn(&mut TreeFacts)) -> Self {
        Self {
            change,
            ..Self::good()
        }
    }

    pub(super) fn good() -> Self {
        let mut bench = Self {
            inside: BTreeMap::new(),
            disk: BTreeMap::new(),
            sources: BTreeMap::new(),
            alone: false,
            unreadable: false,
            base: None,
            compression: None,
            wanted: Wanted::default(),
            machine: None,
            change: |_| (),
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
        bench.put_dep(&LISTS[0].1.replace("kernel/crypto/gcm.ko:\n", ""));
        bench.put(&module_path("modules.alias.bin"), &index::alias(LISTS[4].1));
        for (name, text) in &LISTS[1..] {
            bench.put(&module_path(name), text.as_bytes());
        }
        bench.put(LINKER, &Dynamic::library("ld-linux-x86-64.so.2", &[]).elf());
        let libc = Dynamic::library("libc.so.6", &["ld-linux-x86-64.so.2"]);
        bench.put("usr/lib64/libc.so.6", &libc.elf());
        bench.link("lib64", "usr/lib64");
        for dir in ["bin", "sbin", "lib"] {
            bench.link(dir, &format!("usr/{dir}"));
        }
        bench.put("usr/bin/true", &Dynamic::program(&["libc.so.6"]).elf());
        let systemd = Dynamic::program(&["libc.so.6"]).elf();
        bench.put("usr/lib/systemd/systemd", &systemd);
        bench.link("init", "usr/lib/systemd/systemd");
        for path in PROGRAMS {
            bench.link(path, "/usr/bin/true");
        }
        for (rules, text) in RULES {
            let path = format!("usr/lib/udev/rules.d/{rules}.rules");
            bench.put(&path, text.as_bytes());
        }
        for (unit, text) in UNITS {
            bench.put(&format!("usr/lib/systemd/system/{unit}"), text.as_bytes());
        }
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

    /// Removes a module from the initramfs and from the included `modules.dep`.
    pub(super) fn remove_module(&mut self, path: &str) {
        self.inside.remove(&module_path(path)).unwrap();
        let list = module_path("modules.dep");
        let text = String::from_utf8(self.inside[&list].data.clone()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with(path));
        let lines: String = lines.map(|line| line.replace(path, "") + "\n").collect();
        self.put_dep(&lines);
    }

    /// Writes the included `modules.dep` with its index.
    pub(super) fn put_dep(&mut self, text: &str) {
        self.put(&module_path("modules.dep"), text.as_bytes());
        self.put(&module_path("modules.dep.bin"), &index::dep(text));
    }

    /// Returns the baseline of the bench's initramfs.
    pub(super) fn baseline(&self) -> Baseline {
        match self.image() {
            Initramfs::Read { inventory, .. } => Baseline::of(&inventory, 1 << 20),
            _ => panic!("no image"),
        }
    }

    fn image(&self) -> Initramfs {
        if self.unreadable {
            return Initramfs::Unreadable("no archive".into());
        }
        let mut items: Vec<TestEntry> = Vec::new();
        let mut dirs = std::collections::BTreeSet::new();
        for path in self.inside.keys() {
            for (at, _) in path.match_indices('/') {
                dirs.insert(&path[..at]);
            }
        }
        items.extend(dirs.into_iter().map(dir));
        items.extend(self.inside.values().cloned());
        let bytes = archive(&items);
        let bytes = self
            .compression
            .map_or(bytes.clone(), |it| pack(it, &bytes));
        let limits = Limits::default();
        let mut inventory = Inventory::new(&limits);
        let mut disk = Disk(self);
        let mut bodies = Bodies::new((!self.alone).then_some(&mut disk));
        let segments =
            initramfs::read(bytes.as_slice(), &limits, &mut inventory.with(&mut bodies)).unwrap();
        Initramfs::Read {
            facts: Box::new(bodies.take_facts()),
            inventory: Box::new(inventory),
            segments,
        }
    }

    fn tree(&self) -> TreeFacts {
        let text = |name: &str| self.disk.get(name).map(Vec::as_slice);
        let modules = self.disk.keys().filter(|path| path.ends_with(".ko"));
        TreeFacts {
            kernels: vec![K.into()],
            stale_dirs: vec![],
            lacking: super::AllLacking::default(),
            release: Ok(Release {
                kver: K.into(),
                arch: Arch::X86_64,
                format: KernelFormat::BzImage,
            }),
            rpmdb: rpmdb(vec![core()]),
            shadows: vec![],
            vmlinuz_link: None,
            initramfs: Some(ImageFile {
                path: format!("usr/lib/modules/{K}/initramfs.img"),
                is_file: true,
                mode: 0o600,
                size: 1 << 20,
            }),
            beside_initramfs: 10 << 20,
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
            config: Ok(Some(
                "CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n".to_owned(),
            )),
            packings: BTreeMap::new(),
            hmac: Hmac::Missing,
            signed: Ok(true),
            kernel_files: KernelFiles {
                signer: None,
                vmlinuz: VmlinuzState::Packaged,
                modules: vec![],
                unread: None,
            },
            signers: super::SignerFacts::default(),
            kmods: vec![],
            userland: Default::default(),
            omitted: Omitted::default(),
            conf: super::DracutConf::default(),
            items: Default::default(),
            setups: super::Setups::default(),
            root_filesystems: Default::default(),
            kernel_arguments: Vec::new(),
            parameters: Default::default(),
            symbols: Default::default(),
            altered: None,
            files: BTreeMap::new(),
            dracut_modules: ["base", "ostree"].map(str::to_owned).into(),
            os_release: OsRelease::new("usr/lib/os-release", Ok("ID=fedora\n".into())),
            dracut_version: None,
            under_links: Default::default(),
            has_sources: !self.sources.is_empty(),
            units: ["a.service".to_owned()].into(),
            firmware_of: BTreeMap::new(),
        }
    }

    /// Returns the answer of a check.
    pub(super) fn answer(&self, check: &str) -> Answer {
        self.answer_with(check, self.change)
    }

    fn answer_with(&self, check: &str, change: impl FnOnce(&mut TreeFacts)) -> Answer {
        let kver = Kver::new(K).unwrap();
        let (mut tree, image) = (self.tree(), self.image());
        change(&mut tree);
        let mut subject = Subject::new(
            &kver,
            (!self.alone).then_some(&tree),
            &image,
            self.base.as_ref(),
            &self.wanted,
        );
        subject.machine = self.machine.as_ref();
        let mut answers = run(&subject, &Selection::default()).into_iter();
        answers.find(|(it, _)| it.name == check).unwrap().1
    }

    /// Returns the findings of a check, as `SEVERITY PATH: FOUND; EXPECTED`.
    pub(super) fn findings(&self, check: &str) -> Vec<String> {
        self.findings_with(check, self.change)
    }

    /// Returns the remedy that `verify` prints for the first finding of a check; empty without findings.
    pub(super) fn remedy(&self, check: &str) -> String {
        match self.answer_with(check, self.change) {
            Answer::Found(found) => found[0].remedy.after(super::Situation::Verified),
            _ => String::new(),
        }
    }

    /// Returns the findings of a check for a tree with `change` instead of the bench's own change.
    pub(super) fn findings_with(
        &self,
        check: &str,
        change: impl FnOnce(&mut TreeFacts),
    ) -> Vec<String> {
        let entry = CHECKS.iter().find(|it| it.name == check).unwrap();
        let severity = |milder: Option<Severity>| milder.unwrap_or(entry.severity).as_str();
        match self.answer_with(check, change) {
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

/// Returns the package kernel-core, which owns the `vmlinuz` of [`K`].
pub(super) fn core() -> Record {
    owner("kernel-core", K, &[("kernel-uname-r", K)])
}

/// Returns a package that owns the `vmlinuz` of a kernel.
pub(super) fn owner(name: &str, kver: &str, provides: &[(&str, &str)]) -> Record {
    let provides = provides.iter();
    let vmlinuz = PackageFile {
        mode: 0o100_755,
        digest: None,
        is_ghost: false,
        target: String::new(),
    };
    Record {
        nevra: Nevra {
            name: name.into(),
            epoch: 0,
            version: "6.9.4".into(),
            release: "200.fc40".into(),
            arch: "x86_64".into(),
        },
        provides: provides
            .map(|(name, version)| Capability::equal(*name, *version))
            .collect(),
        requires: vec![],
        header_sha256: None,
        build: None,
        has_files: true,
        files: [(format!("usr/lib/modules/{kver}/vmlinuz"), vmlinuz)].into(),
    }
}

/// Returns an rpmdb with these packages.
pub(super) fn rpmdb(records: Vec<Record>) -> Database {
    let mut reading = RpmdbReader::new(Scope::Kernels);
    for record in records {
        reading.add(record).unwrap();
    }
    Database::Read(Arc::new(reading.finish()))
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

/// Returns the path in the initramfs of a file in the directory of [`K`].
pub(super) fn module_path(path: &str) -> String {
    format!("usr/lib/modules/{K}/{path}")
}
