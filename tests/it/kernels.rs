// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels as packages. An RPM, the package's entry in the rpmdb and its installed files are made from one description.

use std::path::Path;

use ostree_kernel::package::hex;
use rpm::{BuildConfig, CompressionType, Dependency, FileOptions, PackageBuilder};
use sha2::{Digest, Sha256};

use crate::image;

/// A kernel's configuration, with some of the options that checks read.
const CONFIG: &[u8] = b"CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\nCONFIG_OVERLAY_FS=m\n";

/// One build of a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    pub kver: &'static str,
    pub version: &'static str,
    pub release: &'static str,
    pub arch: &'static str,
    /// The name of the kernel's meta package, for example `kernel-rt`.
    pub name: &'static str,
}

/// The kernel of the base.
pub const OLD: Build = Build {
    kver: "6.1.7-100.fc40.x86_64",
    version: "6.1.7",
    release: "100.fc40",
    arch: "x86_64",
    name: "kernel",
};

/// The kernel that replaces [`OLD`].
pub const NEW: Build = Build {
    kver: "6.9.4-200.fc40.x86_64",
    version: "6.9.4",
    release: "200.fc40",
    ..OLD
};

/// The description of a package.
#[derive(Debug, Clone)]
pub struct Pkg {
    pub name: String,
    pub version: String,
    pub release: String,
    pub arch: String,
    /// Absolute paths and contents.
    pub files: Vec<(String, Vec<u8>)>,
    pub provides: Vec<(String, String)>,
    pub requires: Vec<(String, String)>,
}

impl Build {
    /// Returns the kernel modules (path and content), with paths relative to the kernel's directory.
    pub fn modules(&self) -> Vec<(String, Vec<u8>)> {
        [
            ("kernel/fs/overlayfs", "overlay"),
            ("kernel/drivers/block", "virtio_blk"),
        ]
        .map(|(dir, name)| (format!("{dir}/{name}.ko"), image::module(self.kver, name)))
        .to_vec()
    }

    /// Returns the initramfs that dracut would build for this kernel, with the defect `fault`.
    pub fn initramfs(&self, fault: image::Fault) -> Vec<u8> {
        image::initramfs(self.kver, &self.modules(), fault)
    }

    /// Returns the packages `kernel`, `-core`, `-modules` and `-modules-core`, as in Fedora.
    pub fn packages(&self) -> Vec<Pkg> {
        let kver = self.kver;
        let dir = format!("/usr/lib/modules/{kver}");
        let order: String = self
            .modules()
            .iter()
            .map(|(path, _)| format!("{path}\n"))
            .collect();
        let [overlay, virtio] = self.modules().try_into().unwrap();
        let in_dir = |(path, bytes): (String, Vec<u8>)| (format!("{dir}/{path}"), bytes);
        let uname_r = |sub: &str| (format!("{}{sub}-uname-r", self.name), kver.to_owned());
        let kernel = ("kernel-uname-r".to_owned(), kver.to_owned());
        let core_files = vec![
            (format!("{dir}/vmlinuz"), image::vmlinuz(kver)),
            (format!("{dir}/config"), CONFIG.to_vec()),
            (format!("{dir}/symvers.xz"), b"symvers".to_vec()),
            (format!("{dir}/modules.builtin"), vec![]),
            (format!("{dir}/modules.order"), order.into_bytes()),
        ];
        vec![
            self.package(
                "",
                vec![],
                vec![],
                vec![
                    uname_r("-core"),
                    uname_r("-modules"),
                    uname_r("-modules-core"),
                ],
            ),
            self.package(
                "-core",
                core_files,
                vec![kernel.clone(), uname_r("-core")],
                vec![uname_r("-modules-core")],
            ),
            self.package(
                "-modules",
                vec![in_dir(virtio)],
                vec![uname_r("-modules")],
                vec![kernel.clone(), uname_r("-modules-core")],
            ),
            self.package(
                "-modules-core",
                vec![in_dir(overlay)],
                vec![uname_r("-modules-core")],
                vec![kernel],
            ),
        ]
    }

    fn package(
        &self,
        sub: &str,
        files: Vec<(String, Vec<u8>)>,
        provides: Vec<(String, String)>,
        requires: Vec<(String, String)>,
    ) -> Pkg {
        Pkg {
            name: format!("{}{sub}", self.name),
            version: self.version.into(),
            release: self.release.into(),
            arch: self.arch.into(),
            files,
            provides,
            requires,
        }
    }
}

impl Pkg {
    /// Returns `NAME-VERSION-RELEASE.ARCH`.
    pub fn nevra(&self) -> String {
        let Self {
            name,
            version,
            release,
            arch,
            ..
        } = self;
        format!("{name}-{version}-{release}.{arch}")
    }

    /// Returns the RPM file; equal packages give equal bytes.
    pub fn rpm(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.build().write(&mut bytes).unwrap();
        bytes
    }

    /// Returns the unsigned package as a value of the crate `rpm`.
    pub fn build(&self) -> rpm::Package {
        let config = BuildConfig::v4()
            .compression(CompressionType::None)
            .source_date(1_700_000_000_u32);
        let mut builder = PackageBuilder::new(&self.name, &self.version, "MIT", &self.arch, "test");
        builder.using_config(config).release(self.release.as_str());
        for (path, content) in &self.files {
            let options = FileOptions::new(path.as_str());
            builder
                .with_file_contents(content.as_slice(), options)
                .unwrap();
        }
        for (name, version) in &self.provides {
            builder.provides(Dependency::eq(name, version));
        }
        for (name, version) in &self.requires {
            builder.requires(Dependency::eq(name, version));
        }
        builder.build().unwrap()
    }

    /// Installs the package below `root`: its files, and the two text files from which [`rpmdb`](crate::rpmdb) writes
    /// the rpmdb.
    pub fn install(&self, root: &Path) {
        let header = self.build().metadata.header_bytes().unwrap();
        let Self {
            name,
            version,
            release,
            arch,
            ..
        } = self;
        let digest = hex(&Sha256::digest(header));
        let mut entry = format!("N\t{name}\t0\t{version}\t{release}\t{arch}\t{digest}\n");
        for (kind, caps) in [("P", &self.provides), ("R", &self.requires)] {
            for (cap, version) in caps {
                entry += &format!("{kind}\t{cap}\t=\t{version}\n");
            }
        }
        let line = |(path, content): &(String, Vec<u8>)| {
            format!("{path}\t{}\n", hex(&Sha256::digest(content)))
        };
        let paths: String = self.files.iter().map(line).collect();
        let rpmdb = "/usr/share/rpm";
        let mut files = self.files.clone();
        files.push((format!("{rpmdb}/{name}.pkg"), entry.into_bytes()));
        files.push((format!("{rpmdb}/{name}.files"), paths.into_bytes()));
        for (path, content) in files {
            let path = root.join(path.trim_start_matches('/'));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }
    }
}
