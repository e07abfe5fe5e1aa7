// SPDX-License-Identifier: MIT OR Apache-2.0
//! Functions that make layers and images, good and hostile.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufRead, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use ostree_kernel::oci::{ImageLimits, LayerEntry, NodeKind, TOC_CHECKSUM, TOC_POSITION, list_tar};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// A compression of layers.
#[derive(Debug, Clone, Copy)]
pub enum Packed {
    Gzip,
    Zstd,
    Plain,
}

impl Packed {
    pub fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip => {
                let level = flate2::Compression::fast();
                let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
                out.write_all(bytes).unwrap();
                out.finish().unwrap()
            }
            Self::Zstd => zstd::encode_all(bytes, 1).unwrap(),
            Self::Plain => bytes.to_vec(),
        }
    }
}

/// Returns the digest of the bytes, as `sha256:HEX`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A tar archive that is being written.
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        self.entry(b'0', name.as_bytes(), b"", 0o644, bytes);
        self
    }

    pub fn link(mut self, name: &str, target: &str) -> Self {
        self.entry(b'2', name.as_bytes(), target.as_bytes(), 0o777, b"");
        self
    }

    pub fn hard(mut self, name: &str, target: &str) -> Self {
        self.entry(b'1', name.as_bytes(), target.as_bytes(), 0o644, b"");
        self
    }

    /// Writes a header that states this size, and no data.
    pub fn raw(mut self, kind: u8, name: &str, size: u64) -> Self {
        self.header(kind, name.as_bytes(), b"", 0o644, size);
        self
    }

    pub fn done(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    fn entry(&mut self, kind: u8, name: &[u8], target: &[u8], mode: u32, bytes: &[u8]) {
        if name.len() > 100 || target.len() > 100 {
            let record = |key: &str, value: &[u8]| {
                let rest = key.len() + value.len() + 3;
                let mut length = rest + 1;
                while length != rest + length.to_string().len() {
                    length += 1;
                }
                [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
            };
            let mut records = record("path", name);
            if !target.is_empty() {
                records.extend(record("linkpath", target));
            }
            self.header(b'x', b"pax", b"", 0o644, records.len() as u64);
            self.data(&records);
        }
        let cut = |bytes: &[u8]| bytes[..bytes.len().min(100)].to_vec();
        self.header(kind, &cut(name), &cut(target), mode, bytes.len() as u64);
        self.data(bytes);
    }

    fn header(&mut self, kind: u8, name: &[u8], target: &[u8], mode: u32, size: u64) {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name);
        header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        if size < 1 << 33 {
            header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        } else {
            header[124] = 0x80;
            header[128..136].copy_from_slice(&size.to_be_bytes());
        }
        header[136..148].copy_from_slice(b"00000000000\0");
        header[156] = kind;
        header[157..157 + target.len()].copy_from_slice(target);
        header[257..265].copy_from_slice(if kind == b'S' {
            b"ustar  \0"
        } else {
            b"ustar\x0000"
        });
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }
}

/// Returns a tree as three layers, the lowest first, and their DiffIDs. The lower layers have files that the tree does
/// not have, and upper layers hide these. Some files are hard links to an object in an ostree repository.
pub fn of_tree(root: &Path, packed: Packed) -> (Vec<Vec<u8>>, Vec<String>) {
    let mut base = Tar::new()
        .file("usr/lib/modules/0.1/vmlinuz", b"old")
        .file("usr/lib/modules/0.1/modules.dep", b"")
        .file("boot/loader/entries/a.conf", b"old");
    let mut middle = Tar::new().file("usr/lib/modules/.wh.0.1", b"");
    let mut top = Tar::new().file("boot/loader/.wh..wh..opq", b"");
    let all = WalkDir::new(root).min_depth(1).sort_by_file_name();
    let mut links: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    for (number, entry) in all.into_iter().map(Result::unwrap).enumerate() {
        let name = entry.path().strip_prefix(root).unwrap().as_os_str();
        let name = name.as_bytes();
        let meta = entry.path().symlink_metadata().unwrap();
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            middle.entry(b'5', name, b"", mode, b"");
        } else if meta.is_symlink() {
            let target = fs_err::read_link(entry.path()).unwrap();
            top.entry(b'2', name, target.as_os_str().as_bytes(), mode, b"");
        } else if meta.is_file() {
            let bytes = fs_err::read(entry.path()).unwrap();
            let first = links.entry((meta.dev(), meta.ino()));
            if let Entry::Occupied(first) = &first {
                top.entry(b'1', name, first.get(), mode, b"");
                continue;
            }
            first.or_insert_with(|| name.to_vec());
            match number % 4 {
                0 => base.entry(b'0', name, b"", mode, &bytes),
                1 => {
                    base.entry(b'0', name, b"", 0o600, b"old");
                    middle.entry(b'0', name, b"", mode, &bytes);
                }
                2 => top.entry(b'0', name, b"", mode, &bytes),
                _ => {
                    let object = format!("sysroot/ostree/repo/objects/00/{number}.file");
                    let object = object.as_bytes();
                    base.entry(b'0', object, b"", mode, &bytes);
                    if number % 8 == 3 {
                        base.entry(b'1', name, object, mode, b"");
                    } else {
                        middle.entry(b'1', name, object, mode, b"");
                    }
                    let removed = format!("sysroot/ostree/repo/objects/00/.wh.{number}.file");
                    top.entry(b'0', removed.as_bytes(), b"", 0o644, b"");
                }
            }
        }
    }
    let layers = [base.done(), middle.done(), top.done()];
    let diff_ids = layers.iter().map(|it| digest(it)).collect();
    (layers.iter().map(|it| packed.pack(it)).collect(), diff_ids)
}

/// Returns a layer as zstd:chunked: the blob and its annotations. Files are split into chunks of `chunk` bytes.
pub fn chunked(tar: &[u8], chunk: usize) -> (Vec<u8>, Value) {
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let (mut blob, mut entries, mut done) = (Vec::new(), Vec::new(), 0);
    let mut visit = |entry: &LayerEntry, _: &mut dyn BufRead| {
        let at = entry.data as usize;
        let name = String::from_utf8(entry.path.clone()).unwrap();
        let kind = match entry.kind {
            NodeKind::File => "reg",
            NodeKind::Dir => "dir",
            NodeKind::Symlink => "symlink",
            NodeKind::HardLink => "hardlink",
            _ => panic!("{name}"),
        };
        let target = String::from_utf8(entry.target.clone()).unwrap();
        let mut first =
            json!({"type": kind, "name": name, "linkName": target, "mode": entry.meta.mode});
        if entry.kind != NodeKind::File {
            entries.push(first);
            return Ok(());
        }
        let bytes = &tar[at..at + entry.meta.size as usize];
        blob.extend(frame(&tar[done..at]));
        let start = blob.len();
        let mut chunks = Vec::new();
        for (number, part) in bytes.chunks(chunk).enumerate() {
            let is_zeros = number > 0 && part.iter().all(|byte| *byte == 0);
            chunks.push(json!({
                "type": "chunk", "name": name, "offset": blob.len(), "chunkOffset": number * chunk,
                "chunkSize": part.len(), "chunkType": if is_zeros { "zeros" } else { "" },
            }));
            blob.extend(frame(part));
        }
        done = at + bytes.len();
        for (key, value) in [
            ("size", json!(bytes.len())),
            ("digest", json!(digest(bytes))),
            ("offset", json!(start)),
            ("endOffset", json!(blob.len())),
        ] {
            first[key] = value;
        }
        if !chunks.is_empty() {
            first["chunkSize"] = chunks.remove(0)["chunkSize"].clone();
        }
        entries.push(first);
        entries.extend(chunks);
        Ok(())
    };
    list_tar(
        std::io::Cursor::new(tar),
        &ImageLimits::default(),
        &mut visit,
    )
    .unwrap();
    blob.extend(frame(&tar[done..]));
    let table = json!({"version": 1, "entries": entries}).to_string();
    let packed = frame(table.as_bytes());
    let position = format!("{}:{}:{}:1", blob.len() + 8, packed.len(), table.len());
    let annotations = json!({TOC_CHECKSUM: digest(&packed), TOC_POSITION: position});
    blob.extend([0x50, 0x2a, 0x4d, 0x18]);
    blob.extend((packed.len() as u32).to_le_bytes());
    blob.extend(packed);
    (blob, annotations)
}

/// Returns the config and the manifest of an image.
pub fn documents(layers: &[Vec<u8>], diff_ids: &[String]) -> (Vec<u8>, Vec<u8>) {
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = config.to_string().into_bytes();
    let layers: Vec<_> = layers
        .iter()
        .map(|it| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(it), "size": it.len()}))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(&config), "size": config.len()},
        "layers": layers,
    });
    (config, manifest.to_string().into_bytes())
}

/// Writes an OCI layout with one image, which has the name `stable`.
pub fn layout(dir: &Path, layers: &[Vec<u8>], diff_ids: &[String]) {
    let (config, manifest) = documents(layers, diff_ids);
    let blobs = dir.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    for blob in layers.iter().chain([&config, &manifest]) {
        fs_err::write(blobs.join(&digest(blob)["sha256:".len()..]), blob).unwrap();
    }
    let index = json!({"schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(&manifest), "size": manifest.len(),
        "annotations": {"org.opencontainers.image.ref.name": "stable"},
    }]});
    fs_err::write(dir.join("index.json"), index.to_string()).unwrap();
    fs_err::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Writes the directory that `skopeo copy … dir:` makes.
pub fn skopeo_dir(dir: &Path, layers: &[Vec<u8>], diff_ids: &[String]) {
    let (config, manifest) = documents(layers, diff_ids);
    fs_err::create_dir_all(dir).unwrap();
    for blob in layers.iter().chain([&config]) {
        fs_err::write(dir.join(&digest(blob)["sha256:".len()..]), blob).unwrap();
    }
    fs_err::write(dir.join("manifest.json"), manifest).unwrap();
}

/// Packs the OCI layout in `dir` into the tar archive `file`.
pub fn oci_archive(dir: &Path, file: &Path) {
    let mut tar = Tar::new();
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(dir).unwrap().as_os_str();
        if entry.file_type().is_file() {
            let bytes = fs_err::read(entry.path()).unwrap();
            tar.entry(b'0', name.as_bytes(), b"", 0o644, &bytes);
        }
    }
    fs_err::write(file, tar.done()).unwrap();
}

/// Writes an archive as `podman save` does. The manifest names the first layer by a link to the layer's file, as
/// archives of older versions do.
pub fn docker_archive(file: &Path, (layers, diff_ids): &(Vec<Vec<u8>>, Vec<String>)) {
    let (config, _) = documents(layers, diff_ids);
    let mut tar = Tar::new();
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let name = format!("{number}.tar");
        tar = tar.file(&name, layer);
        tar = tar.link(&format!("{number}/layer.tar"), &format!("../{name}"));
        names.push(if number == 0 {
            format!("{number}/layer.tar")
        } else {
            name
        });
    }
    tar = tar.file("config.json", &config);
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["localhost/a:b"], "Layers": names}]);
    tar = tar.file("manifest.json", manifest.to_string().as_bytes());
    fs_err::write(file, tar.done()).unwrap();
}
