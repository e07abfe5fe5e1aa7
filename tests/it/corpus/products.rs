// SPDX-License-Identifier: MIT OR Apache-2.0
//! The products of `bed corpus`: the real images and their trees.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::privilege::{is_root_of_the_machine, say};

/// A real image and its tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Base {
    /// dracut 106, the old kernel, as in the bed's base image.
    TrixieOld,
    /// dracut 106, the new kernel.
    TrixieNew,
    /// dracut 106 with `--omit`, in the tree of `TrixieNew`; most cases change this image.
    TrixieSlim,
    /// The image of `TrixieSlim`, in a tree with all files that the image contains.
    TrixieWhole,
    /// dracut 106; modules neither compressed nor signed.
    TrixiePlain,
    /// dracut 106 and bootc's setup of the root, on a base without ostree.
    TrixieBootc,
    /// dracut 059, the old kernel, as in the bed's base image.
    BookwormOld,
    /// dracut 059, the new kernel, with `omit_dracutmodules`.
    BookwormOmit,
    /// The image of `BookwormOmit`, in a tree with all files that the image contains.
    BookwormWhole,
    /// dracut 059 with its squash module, in the tree of `BookwormOmit`.
    BookwormSquash,
    /// Debian's newest dracut.
    Sid,
    /// The image of `Sid`, in a tree with all files that the image contains.
    SidWhole,
    /// Debian's newest dracut, with its squash-squashfs module.
    SidSquash,
    /// Debian's newest dracut, with its squash-erofs module.
    SidErofs,
    /// Debian's initramfs-tools; it has no tree.
    InitramfsTools,
}

impl Base {
    /// Returns the name of the image in the files of the products; several bases can share an image.
    pub fn name(self) -> &'static str {
        match self {
            Self::TrixieOld => "trixie-old",
            Self::TrixieNew => "trixie-new",
            Self::TrixieSlim | Self::TrixieWhole => "trixie-slim",
            Self::TrixiePlain => "trixie-plain",
            Self::TrixieBootc => "trixie-bootc",
            Self::BookwormOld => "bookworm-old",
            Self::BookwormOmit | Self::BookwormWhole => "bookworm-omit",
            Self::BookwormSquash => "bookworm-squash",
            Self::Sid | Self::SidWhole => "sid",
            Self::SidSquash => "sid-squash",
            Self::SidErofs => "sid-erofs",
            Self::InitramfsTools => "initramfs-tools",
        }
    }

    /// Returns the file name of the image.
    pub fn image(self) -> String {
        let name = self.name();
        match self {
            Self::TrixieOld | Self::BookwormOld | Self::InitramfsTools => format!("{name}.img"),
            Self::TrixieNew | Self::TrixieSlim | Self::TrixieWhole => format!("{name}.cpio.zst"),
            _ => format!("{name}.cpio"),
        }
    }

    /// Returns whether there is a tree for the image.
    pub fn has_tree(self) -> bool {
        self != Self::InitramfsTools
    }
}

/// The directory of products.
pub struct Products {
    dir: PathBuf,
    /// The kernel releases of the old and the new kernel.
    pub old: String,
    pub new: String,
    archives: Mutex<HashMap<Base, Arc<Vec<u8>>>>,
}

impl Products {
    /// Brings the products of `make corpus` up to date and returns them; `None` if they were never made, or without
    /// root.
    pub fn made() -> Option<Self> {
        let dir = of_the_bed("corpus")?;
        let kver = |name: &str| {
            let text = fs_err::read_to_string(dir.join(name)).unwrap();
            text.trim().to_owned()
        };
        Some(Self {
            old: kver("old.kver"),
            new: kver("new.kver"),
            archives: Mutex::default(),
            dir,
        })
    }

    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.dir.join(path)
    }

    pub fn image(&self, base: Base) -> PathBuf {
        self.path("images").join(base.image())
    }

    pub fn tree(&self, base: Base) -> PathBuf {
        let base = match base {
            Base::TrixieSlim => Base::TrixieNew,
            Base::BookwormSquash => Base::BookwormOmit,
            Base::SidSquash | Base::SidErofs => Base::Sid,
            base => base,
        };
        let whole = match base {
            Base::TrixieWhole => "trixie-new-whole",
            Base::BookwormWhole => "bookworm-omit-whole",
            Base::SidWhole => "sid-whole",
            base => base.name(),
        };
        self.path("trees").join(whole)
    }

    /// Returns whether the image exists. It does not if the packages of Debian sid could not be downloaded.
    pub fn has(&self, base: Base) -> bool {
        self.image(base).exists()
    }

    pub fn kver(&self, base: Base) -> &str {
        match base {
            Base::TrixieOld | Base::BookwormOld => &self.old,
            _ => &self.new,
        }
    }

    /// Returns the uncompressed archive in the image of a base.
    pub fn archive(&self, base: Base) -> Arc<Vec<u8>> {
        let mut archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        let archive = archives.entry(base).or_insert_with(|| {
            let plain = self.path(format!("images/{}.cpio", base.name()));
            if plain.exists() {
                return Arc::new(fs_err::read(plain).unwrap());
            }
            let packed = fs_err::File::open(self.image(base)).unwrap();
            let mut bytes = Vec::new();
            let mut decoder = zstd::Decoder::new(packed.into_file()).unwrap();
            std::io::copy(&mut decoder, &mut bytes).unwrap();
            Arc::new(bytes)
        });
        archive.clone()
    }
}

/// Runs `tests/container/bed VERB`, which brings products up to date and prints their directory, and returns the
/// directory. Returns `None` if the products were never made, or if this process is not root of the machine: the bed
/// needs root, and downloads packages.
pub fn of_the_bed(verb: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beds = std::env::var_os("BED_DIR").map_or_else(|| here.join("target/bed"), PathBuf::from);
    if !is_root_of_the_machine() || !beds.join(verb).is_dir() {
        say("ignored: needs root, and the images that `make corpus` makes");
        return None;
    }
    let bed = here.join("tests/container/bed");
    #[expect(clippy::disallowed_methods, reason = "the test bed's own program")]
    let mut command = Command::new(&bed);
    let made = command.arg(verb).stdin(Stdio::null());
    let made = made.stderr(Stdio::inherit()).output().unwrap();
    assert!(
        made.status.success(),
        "{} {verb}: {}",
        bed.display(),
        made.status
    );
    Some(PathBuf::from(
        String::from_utf8(made.stdout).unwrap().trim(),
    ))
}
