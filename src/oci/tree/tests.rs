// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of merging layers. A layer is written as a text of entries between commas: `d PATH` (directory), `f PATH`
//! (file), `l PATH TARGET` (symbolic link) and `h PATH TARGET` (hard link).

use super::*;

fn entry(line: &str, number: usize) -> LayerEntry {
    let words: Vec<_> = line.split(' ').collect();
    LayerEntry {
        path: words[1].as_bytes().to_vec(),
        kind: match words[0] {
            "d" => NodeKind::Dir,
            "l" => NodeKind::Symlink,
            "h" => NodeKind::HardLink,
            _ => NodeKind::File,
        },
        meta: Metadata {
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            size: 0,
        },
        target: words.get(2).unwrap_or(&"").as_bytes().to_vec(),
        number: number as u32,
        data: 0,
    }
}

/// Merges layers, the topmost first.
fn merge(layers: &[&str]) -> Result<LayerTree, OciError> {
    let mut tree = LayerTree::new(&ImageLimits::default());
    for (number, layer) in layers.iter().enumerate() {
        tree.begin(number)?;
        for (number, line) in layer.split(", ").filter(|it| !it.is_empty()).enumerate() {
            tree.add(&entry(line, number))?;
        }
    }
    tree.finish()?;
    Ok(tree)
}

/// Returns all paths: directories with a final slash, others with the layer of their inode.
fn files(tree: &LayerTree) -> String {
    fn walk(tree: &LayerTree, dir: NodeId, at: &str, found: &mut Vec<String>) {
        for (name, node) in tree.children(dir) {
            let path = format!("{at}{}", String::from_utf8_lossy(name));
            let inode = tree.inode(tree.inode_of(node).unwrap());
            match inode.kind {
                NodeKind::Dir => {
                    found.push(format!("{path}/"));
                    walk(tree, node, &format!("{path}/"), found);
                }
                _ => found.push(format!("{path}={}", inode.layer)),
            }
        }
    }
    let mut found = Vec::new();
    walk(tree, LayerTree::ROOT, "", &mut found);
    found.join(" ")
}

#[test]
fn layers_are_merged_as_overlayfs_does() {
    for (layers, expected) in [
        (&["f a", "f a, f b"][..], "a=0 b=1"),
        // Whiteouts hide names of lower layers, not of their own layer.
        (&["f .wh.a", "f a, f b"], "b=1"),
        (&["f .wh.a, f a", "f a"], "a=0"),
        (&["f a, f .wh.a", "f a"], "a=0"),
        (&["f d/.wh.a", "d d, f d/a, f d/b"], "d/ d/b=1"),
        (&["f .wh.d", "f d/a"], ""),
        (&["f .wh.d, f d/b", "f d/a"], "d/ d/b=0"),
        (&["f d/b, f .wh.d", "f d/a"], "d/ d/b=0"),
        (&["f x", "f .wh.a", "f a"], "x=0"),
        // Opaque directories.
        (&["f d/.wh..wh..opq, f d/b", "f d/a"], "d/ d/b=0"),
        (&["f d/b, f d/.wh..wh..opq", "f d/a"], "d/ d/b=0"),
        (&["f .wh..wh..opq", "f a, f d/b"], ""),
        (
            &["f d/c", "f d/.wh..wh..opq, f d/b", "f d/a"],
            "d/ d/b=1 d/c=0",
        ),
        (&["f d/.wh..wh.plnk"], ""),
        // A directory becomes a file, and the reverse.
        (&["f d", "f d/a"], "d=0"),
        (&["f d/a", "f d", "f d/b"], "d/ d/a=0"),
        (&["l lib usr/lib", "f lib/a"], "lib=0"),
        (&["f lib/a", "l lib usr/lib"], "lib/ lib/a=0"),
        // The last of several entries of a layer with the same path wins.
        (&["f a, l a x"], "a=0"),
        (&["d d, f d/a, f d"], "d=0"),
        (&["f d, d d, f d/a"], "d/ d/a=0"),
        // Hard links.
        (&["f a, h b a"], "a=0 b=0"),
        (&["h b a, f a"], "a=0 b=0"),
        (&["h b a", "f a"], "a=1 b=1"),
        (&["h b a, f .wh.a", "f a"], "b=1"),
        (&["f .wh.a", "h b a", "f a"], "b=2"),
        (&["f a", "h b a", "f a"], "a=0 b=2"),
        (&["f a", "f a, h b a"], "a=0 b=1"),
        (&["h c b, h b a", "f a"], "a=1 b=1 c=1"),
        (
            &["h usr/k o/1.file", "f .wh.o", "f o/1.file"],
            "usr/ usr/k=2",
        ),
        (&["f .wh.b", "h b nothing"], ""),
        (&["f b", "h b nothing"], "b=0"),
        (&["f b", "h b c, h x b, f c"], "b=0 c=1 x=1"),
        (&["f b", "h b c, h x b", "f b, f c"], "b=0 c=2 x=2"),
    ] {
        let tree = merge(layers).unwrap_or_else(|error| panic!("{layers:?}: {error}"));
        assert_eq!(files(&tree), expected, "{layers:?}");
    }
}

#[test]
fn a_long_chain_of_hard_links() {
    let links: Vec<_> = (1..100_000)
        .map(|it| format!("h a{it} a{}", it - 1))
        .collect();
    let reversed: Vec<_> = links.iter().rev().cloned().collect();
    for links in [links, reversed] {
        let chain = links.join(", ") + ", f a0";
        let tree = merge(&[&chain]).unwrap();
        assert_eq!(tree.children(LayerTree::ROOT).count(), 100_000);
    }
}

#[test]
fn a_link_to_a_link_of_its_layer_leads_to_the_same_file() {
    for layers in [
        ["f b", "h b c, h x b", "f b, f c"],
        ["f b", "h x b, h b c", "f b, f c"],
        ["", "h x b, h b c", "f b, f c"],
    ] {
        let tree = merge(&layers).unwrap();
        let node = tree.child(LayerTree::ROOT, b"x").unwrap();
        let inode = tree.inode(tree.inode_of(node).unwrap());
        assert_eq!((inode.layer, inode.entry), (2, 1), "{layers:?}");
    }
}

#[test]
fn the_topmost_layer_decides_the_mode_of_the_root() {
    let mut tree = LayerTree::new(&ImageLimits::default());
    for (number, mode) in [0o700, 0o755].into_iter().enumerate() {
        tree.begin(number).unwrap();
        let mut root = entry("d ", 0);
        root.meta.mode = mode;
        tree.add(&root).unwrap();
    }
    tree.finish().unwrap();
    let root = tree.inode_of(LayerTree::ROOT).unwrap();
    assert_eq!(tree.inode(root).meta.mode, 0o700);
}

#[test]
fn hostile_layers_are_errors() {
    for (layers, expected) in [
        (
            &["l a /etc, f a/passwd"][..],
            "its entry a/passwd: it is below a file or a link of the same layer",
        ),
        (&["f a, f a/b"], "it is below a file"),
        (&["h a a"], "a hard link to a, which no layer has"),
        (&["h a b, h b a"], "which no layer has"),
        (
            &["h a b", "f c"],
            "its entry a: it is a hard link to b, which no layer has",
        ),
        (&["f .wh."], "a whiteout without a name"),
        (&["f d/.wh..."], "a whiteout without a name"),
    ] {
        let error = merge(layers)
            .map(|tree| files(&tree))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{layers:?}: {error}");
    }
}

#[test]
fn errors_name_the_limit() {
    let limits = ImageLimits {
        entries: 2,
        name_bytes: 100,
        layers: 1,
        ..ImageLimits::default()
    };
    let mut tree = LayerTree::new(&limits);
    tree.add(&entry("f a", 0)).unwrap();
    let long = format!("f {}", "a".repeat(100));
    let error = tree.add(&entry(&long, 1)).unwrap_err().to_string();
    assert_eq!(error, "it exceeds the limit name_bytes of 100");
    let error = tree.add(&entry("f b", 2)).unwrap_err().to_string();
    assert_eq!(error, "it exceeds the limit entries of 2");
    let error = tree.begin(1).unwrap_err().to_string();
    assert_eq!(error, "it exceeds the limit layers of 1");
}
