// SPDX-License-Identifier: MIT OR Apache-2.0
//! The place in which a worker changes trees: in memory, over the products, which are read-only.
//!
//! Its mounts are in a namespace of the worker's thread, and vanish with it.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::privilege::need_root;

/// A worker's directory.
pub struct Scratch(TempDir);

/// A tree that can be changed.
pub struct Layer {
    dir: PathBuf,
    /// The mounts, in the order in which they were made.
    mounts: Vec<PathBuf>,
}

impl Scratch {
    /// Creates the directory for the calling thread.
    pub fn new() -> Self {
        const NONE: Option<&str> = None;
        let dir = TempDir::with_prefix("ostree-kernel-corpus-").unwrap();
        need_root();
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(NONE, "/", NONE, private, NONE).unwrap();
        mount(
            Some("tmpfs"),
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            NONE,
        )
        .unwrap();
        Self(dir)
    }

    /// Returns a copy of `tree`, or an empty tree.
    pub fn layer(&self, tree: Option<&Path>) -> Layer {
        let dir = self.0.path().join("layer");
        for name in ["upper", "work", "root"] {
            fs_err::create_dir_all(dir.join(name)).unwrap();
        }
        if let Some(tree) = tree {
            let show = |path: &Path| path.to_str().unwrap().to_owned();
            let options = format!(
                "lowerdir={},upperdir={},workdir={},redirect_dir=on",
                show(tree),
                show(&dir.join("upper")),
                show(&dir.join("work"))
            );
            let overlay = Some("overlay");
            let root = dir.join("root");
            mount(
                overlay,
                &root,
                overlay,
                MsFlags::empty(),
                Some(options.as_str()),
            )
            .unwrap();
        }
        Layer {
            mounts: tree.map(|_| dir.join("root")).into_iter().collect(),
            dir,
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

impl Layer {
    /// Returns the tree.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Binds the tree to another directory, too.
    pub fn bind_to(&mut self, place: &Path) {
        const NONE: Option<&str> = None;
        fs_err::create_dir_all(place).unwrap();
        let root = self.root();
        mount(Some(&root), place, NONE, MsFlags::MS_BIND, NONE).unwrap();
        self.mounts.push(place.to_owned());
    }

    /// Mounts an empty file system of this size (bytes).
    pub fn tmpfs(&mut self, place: &Path, size: u64) {
        let options = format!("size={size}");
        let tmpfs = Some("tmpfs");
        mount(
            tmpfs,
            place,
            tmpfs,
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .unwrap();
        self.mounts.push(place.to_owned());
    }

    /// Returns a directory next to the tree.
    pub fn beside(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        for place in self.mounts.iter().rev() {
            let _ = umount2(place, MntFlags::MNT_DETACH);
        }
        let _ = fs_err::remove_dir_all(&self.dir);
    }
}
