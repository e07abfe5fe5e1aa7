// SPDX-License-Identifier: MIT OR Apache-2.0
//! The directory in which a worker thread changes trees. Changes are in memory, on an overlay over the tree of the
//! products, which stays unchanged.
//!
//! The mounts are in a mount namespace of the thread, and vanish when the thread ends.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::privilege::need_root;

/// A worker's directory, a tmpfs.
pub struct Scratch(TempDir);

/// A tree that can be changed.
pub struct Layer {
    dir: PathBuf,
    /// The mounts, in the order in which they were made.
    mounts: Vec<PathBuf>,
}

impl Scratch {
    /// Creates a mount namespace for the calling thread, and the directory.
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

    /// Returns a tree that can be changed: at first it is equal to `tree`, or empty without one.
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
    /// Returns the root of the tree.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Bind-mounts the tree to `place`, too.
    pub fn bind_to(&mut self, place: &Path) {
        const NONE: Option<&str> = None;
        fs_err::create_dir_all(place).unwrap();
        let root = self.root();
        mount(Some(&root), place, NONE, MsFlags::MS_BIND, NONE).unwrap();
        self.mounts.push(place.to_owned());
    }

    /// Mounts an empty tmpfs of `size` bytes at `place`.
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

    /// Returns the directory that contains the root of the tree, for files next to the tree.
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
