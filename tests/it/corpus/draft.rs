// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tree and its image while a case changes them.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::archive::Archive;
use super::products::{Base, Products};
use super::scratch::{Layer, Scratch};
use crate::index;

/// The image of a draft.
enum Image {
    /// A file of the products.
    Product(PathBuf),
    Archive(Archive),
    Bytes(Vec<u8>),
    None,
}

/// A tree and an image that a case changes.
pub struct Draft<'p> {
    pub products: &'p Products,
    pub base: Base,
    /// The release of the kernel that `verify` verifies.
    pub kver: String,
    /// Additional arguments for `verify`.
    pub args: Vec<String>,
    /// The root of the system on which the tree is staged; `None` if the tree is verified by itself.
    pub system: Option<PathBuf>,
    layer: Layer,
    image: Image,
}

impl<'p> Draft<'p> {
    /// Starts with the tree and the image of a base, whose files stay unchanged.
    pub fn new(place: &Scratch, products: &'p Products, base: Base) -> Self {
        let tree = base.has_tree().then(|| products.tree(base));
        let layer = place.layer(tree.as_deref());
        // The products contain only parts of a tree, and some of them no os-release.
        if base.has_tree() && !layer.root().join("usr/lib/os-release").exists() {
            fs_err::write(layer.root().join("usr/lib/os-release"), "ID=debian\n").unwrap();
        }
        Self {
            layer,
            image: Image::Product(products.image(base)),
            kver: products.kver(base).to_owned(),
            args: Vec::new(),
            system: None,
            products,
            base,
        }
    }

    pub fn root(&self) -> PathBuf {
        self.layer.root()
    }

    /// Makes `verify` treat the tree as the staged deployment of the system with this root.
    pub fn staged_on(&mut self, system: &Path) {
        self.system = Some(system.to_owned());
    }

    /// Returns a path outside the tree.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.layer.beside().join(name)
    }

    /// Bind-mounts the tree to `place`, too.
    pub fn bind_to(&mut self, place: &Path) {
        self.layer.bind_to(place);
    }

    /// Mounts an empty tmpfs of `size` bytes at `place`.
    pub fn tmpfs(&mut self, place: &Path, size: u64) {
        self.layer.tmpfs(place, size);
    }

    /// Returns the size of vmlinuz plus that of the base's unchanged image.
    pub fn size_on_boot(&self) -> u64 {
        let files = [
            self.path(&self.of_kernel("vmlinuz")),
            self.products.image(self.base),
        ];
        let sizes = files.map(|file| fs_err::metadata(file).unwrap().len());
        sizes.iter().sum()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Returns the directory of the kernel's modules, relative to the root, joined with `path`.
    pub fn of_kernel(&self, path: &str) -> String {
        format!("usr/lib/modules/{}/{path}", self.kver)
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        fs_err::read(self.path(path)).unwrap()
    }

    pub fn text(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).unwrap()
    }

    /// Writes a file of the tree, and creates its parent directories.
    pub fn write(&self, path: &str, data: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, data).unwrap();
    }

    #[track_caller]
    pub fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() && !path.is_symlink() {
            fs_err::remove_dir_all(path).unwrap();
        } else {
            fs_err::remove_file(path).unwrap();
        }
    }

    pub fn rename(&self, from: &str, to: &str) {
        fs_err::rename(self.path(from), self.path(to)).unwrap();
    }

    pub fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// Replaces `from` with `to` in a file; panics if the file does not contain `from`.
    #[track_caller]
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.text(path);
        assert!(text.contains(from), "{path} has no {from:?}");
        self.write(path, text.replace(from, to));
    }

    /// Keeps the lines of a file that `fits` accepts; panics if `fits` accepts all lines.
    #[track_caller]
    pub fn keep_lines(&self, path: &str, fits: impl Fn(&str) -> bool) {
        let text = self.text(path);
        let kept: Vec<_> = text.lines().filter(|line| fits(line)).collect();
        assert!(
            kept.len() < text.lines().count(),
            "nothing to remove from {path}"
        );
        self.write(path, kept.join("\n") + "\n");
    }

    /// Returns the paths of the kernel's modules in the tree, relative to the root.
    pub fn modules(&self) -> Vec<String> {
        let root = self.root();
        let files = WalkDir::new(root.join(self.of_kernel("")))
            .sort_by_file_name()
            .into_iter()
            .map(|entry| entry.unwrap().into_path());
        let modules =
            files.filter(|path| path.file_name().unwrap().to_str().unwrap().contains(".ko"));
        modules
            .map(|path| {
                path.strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    /// Copies the file `from` of the tree of `base` to the path `to` of this tree.
    pub fn take(&self, base: Base, from: &str, to: &str) {
        let bytes = fs_err::read(self.products.tree(base).join(from)).unwrap();
        self.write(to, bytes);
    }

    /// Adds `--against` with the image of `base` to the arguments of `verify`.
    pub fn against(&mut self, base: Base) {
        let image = self.products.image(base);
        self.option("--against", image.to_str().unwrap());
    }

    /// Adds an option with its value to the arguments of `verify`.
    pub fn option(&mut self, name: &str, value: &str) {
        self.args.extend([name.to_owned(), value.to_owned()]);
    }

    /// Returns the archive in the image, so that a case can change it.
    pub fn archive(&mut self) -> &mut Archive {
        if let Image::Product(_) = self.image {
            let archive = Archive::read(self.products.archive(self.base));
            self.image = Image::Archive(archive);
        }
        match &mut self.image {
            Image::Archive(archive) => archive,
            _ => panic!("the image is bytes already"),
        }
    }

    /// Replaces `modules.dep` and its index in the image.
    pub fn put_dep(&mut self, text: &str) {
        let list = self.of_kernel("modules.dep");
        let archive = self.archive();
        archive.replace(&format!("{list}.bin"), index::dep(text));
        archive.replace(&list, text);
    }

    /// Returns the bytes of the image, so that a case can change them.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        let bytes = match &self.image {
            Image::Product(file) => Some(fs_err::read(file).unwrap()),
            Image::Archive(archive) => Some(pack(&archive.to_bytes())),
            Image::Bytes(_) => None,
            Image::None => Some(Vec::new()),
        };
        if let Some(bytes) = bytes {
            self.image = Image::Bytes(bytes);
        }
        match &mut self.image {
            Image::Bytes(bytes) => bytes,
            _ => unreachable!(),
        }
    }

    pub fn set_bytes(&mut self, bytes: Vec<u8>) {
        self.image = Image::Bytes(bytes);
    }

    /// Uses the base's archive with the compression `how`: `gz`, `xz` and others, or `cpio` for the uncompressed
    /// archive.
    pub fn compressed(&mut self, how: &str) {
        let name = self.base.name();
        let file = match how {
            "cpio" => format!("{name}.cpio"),
            how => format!("{name}.cpio.{how}"),
        };
        self.image = Image::Product(self.products.path("images").join(file));
    }

    /// Uses the image of another base.
    pub fn image_of(&mut self, base: Base) {
        self.image = Image::Product(self.products.image(base));
    }

    pub fn no_image(&mut self) {
        self.image = Image::None;
    }

    /// Returns the path to which [`finish`](Self::finish) writes the image.
    pub fn image_path(&self) -> PathBuf {
        if self.base.has_tree() {
            self.path(&self.of_kernel("initramfs.img"))
        } else {
            self.layer.beside().join("image")
        }
    }

    /// Writes the image to [`image_path`](Self::image_path), unless the case has removed the image.
    pub fn finish(&self) {
        let place = self.image_path();
        match &self.image {
            Image::Product(file) => private(&place, &fs_err::read(file).unwrap()),
            Image::Archive(archive) => private(&place, &pack(&archive.to_bytes())),
            Image::Bytes(bytes) => private(&place, bytes),
            Image::None => {}
        }
    }
}

/// Creates a file that no other user may read.
fn private(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    options.options_mut().mode(0o600);
    options.open(path).unwrap().write_all(bytes).unwrap();
}

/// Compresses with zstd as dracut does, but with a faster level.
pub fn pack(archive: &[u8]) -> Vec<u8> {
    zstd::encode_all(archive, -10).unwrap()
}
