// SPDX-License-Identifier: MIT OR Apache-2.0
//! Container images: layers, tables of contents, and the documents around them.

use std::io::{BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ostree_kernel::oci::{
    BlobDigest, Challenge, CredentialFile, Descriptor, Docker, ImageConfig, ImageLimits,
    ImageReference, LayerEntry, LayerTree, NodeId, NodeKind, OciError, Registries, TOC_CHECKSUM,
    TOC_POSITION, TocPlace, decoder, parse, read_tar,
};

use crate::memory::within;
use crate::trickle::Trickle;

/// Upper bound of the memory in bytes for the buffers of the readers and for names.
const MEMORY: usize = 32 << 20;

fn limits() -> ImageLimits {
    ImageLimits {
        decoded_bytes: 4 << 20,
        window: 1 << 20,
        entries: 4096,
        name_bytes: 1 << 20,
        toc_bytes: 1 << 20,
        ..ImageLimits::default()
    }
}

/// Reads two layers, and merges them: the first two bytes are the length of the upper layer, which follows; the rest is
/// the lower layer.
pub fn layer(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (upper, lower) = rest.split_at(length);
    let fast = within(MEMORY, || merged([upper, lower], false));
    let slow = merged([upper, lower], true);
    assert_eq!(fast, slow, "one byte at a time");
}

/// Returns the visible paths of the merged layers; `None` if the layers cannot be read.
fn merged(layers: [&[u8]; 2], one_by_one: bool) -> Option<Vec<Vec<u8>>> {
    let limits = limits();
    let mut tree = LayerTree::new(&limits);
    let decoded = Arc::new(AtomicU64::new(0));
    for (number, layer) in layers.into_iter().enumerate() {
        tree.begin(number).ok()?;
        let input: Box<dyn Read + Send> = if one_by_one {
            Box::new(Trickle::new(layer))
        } else {
            Box::new(layer)
        };
        let (_, mut input) = decoder(input, &limits, &decoded).ok()?;
        let mut visit = |entry: &LayerEntry, body: &mut dyn BufRead| {
            assert_path(&entry.path);
            let placed = tree.add(entry)?;
            if let Some(inode) = placed.inode {
                let mut data = Vec::new();
                body.read_to_end(&mut data).map_err(OciError::of_io)?;
                assert_eq!(data.len() as u64, tree.inode(inode).meta.size);
            }
            Ok(())
        };
        read_tar(&mut input, &limits, &mut visit).ok()?;
    }
    tree.finish().ok()?;
    let mut paths = Vec::new();
    walk(&tree, LayerTree::ROOT, &mut Vec::new(), &mut paths);
    Some(paths)
}

fn walk(tree: &LayerTree, dir: NodeId, path: &mut Vec<u8>, paths: &mut Vec<Vec<u8>>) {
    for (name, node) in tree.children(dir) {
        assert!(!name.is_empty() && !name.contains(&b'/') && name != b"..");
        assert_eq!(tree.child(dir, name), Some(node));
        let inode = tree.inode_of(node).expect("a visible name has an inode");
        assert_ne!(tree.inode(inode).kind, NodeKind::HardLink);
        assert!(tree.inode(inode).names > 0);
        let length = path.len();
        path.push(b'/');
        path.extend(name);
        paths.push(path.clone());
        if tree.inode(inode).kind == NodeKind::Dir {
            walk(tree, node, path, paths);
        }
        path.truncate(length);
    }
}

fn assert_path(path: &[u8]) {
    let mut parts = path.split(|&byte| byte == b'/');
    let is_inside = parts.all(|part| !part.is_empty() && part != b".." && !part.contains(&0));
    assert!(is_inside || path.is_empty(), "{}", path.escape_ascii());
}

/// Reads the bytes as the decompressed table of contents of a zstd:chunked layer.
pub fn toc(bytes: &[u8]) {
    const START: u64 = 1000;
    let packed = zstd::encode_all(bytes, 1).expect("memory");
    let mut layer = Descriptor::new(BlobDigest::of(b""), START + packed.len() as u64);
    let position = format!("{START}:{}:{}:1", packed.len(), bytes.len());
    let annotations = [
        (TOC_CHECKSUM.to_owned(), BlobDigest::of(&packed).to_string()),
        (TOC_POSITION.to_owned(), position),
    ];
    layer.annotations = Some(annotations.into());
    let limits = limits();
    let Ok(Some(place)) = TocPlace::of(&layer, &limits) else {
        return;
    };
    let read = within(64 * bytes.len() + (1 << 20), || {
        place.parse(&packed, layer.size, &limits)
    });
    let Ok(toc) = read else {
        return;
    };
    for entry in &toc.entries {
        assert_path(&entry.path);
        let file = toc.files.get(&entry.number);
        assert_eq!(file.is_some(), entry.kind == NodeKind::File);
        if let Some(file) = file {
            assert!(file.bytes.end <= START);
            assert_eq!(file.bytes.is_empty(), entry.meta.size == 0);
        }
    }
}

/// Reads the same bytes as a manifest or index, a config, a credential file, a reference, a challenge and a
/// registries.conf.
pub fn documents(bytes: &[u8]) {
    let limits = limits();
    let most = 64 * bytes.len() + (64 << 10);
    let _ = within(most, || parse(bytes, &limits));
    if let Ok(config) = within(most, || ImageConfig::parse(bytes, 1)) {
        assert_eq!(config.rootfs.diff_ids.len(), 1);
        let _ = config.platform();
    }
    let image: Docker = "localhost:5000/a/b".parse().expect("a reference");
    if let Ok(file) = within(most, || CredentialFile::parse(bytes)) {
        let _ = file.find(&image);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(reference) = within(most, || text.parse::<ImageReference>()) {
        let shown = reference.to_string();
        assert_eq!(shown.parse(), Ok(reference), "{shown}");
    }
    let _ = within(most, || Challenge::of([text]));
    let mut registries = Registries::default();
    // The TOML parser holds up to 900 bytes for each byte of a small damaged file, and less for large ones.
    if within(1024 * bytes.len() + (256 << 10), || registries.add(text)).is_ok() {
        let _ = registries.sources(&image);
    }
}
