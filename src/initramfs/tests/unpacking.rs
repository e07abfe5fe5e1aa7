// SPDX-License-Identifier: MIT OR Apache-2.0
//! The unpacked tree: overwritten files, dropped entries, targets of links.

use std::io::{self, BufRead};

use super::super::testing::*;
use super::super::*;

fn inventory_of(images: &[Vec<u8>]) -> Inventory {
    let mut inventory = Inventory::new(&Limits::default());
    read(
        images.concat().as_slice(),
        &Limits::default(),
        &mut inventory,
    )
    .unwrap();
    inventory
}

fn head<'i>(inventory: &'i Inventory, path: &str) -> &'i [u8] {
    let (_, node) = inventory.resolve(path.as_bytes()).unwrap();
    &inventory.content(node).unwrap().head
}

fn reasons(inventory: &Inventory) -> Vec<(String, Reason)> {
    let dropped = inventory.dropped().iter();
    dropped
        .map(|d| (String::from_utf8_lossy(&d.path).into_owned(), d.reason))
        .collect()
}

#[test]
fn the_last_copy_wins() {
    let inventory = inventory_of(&[
        archive(&[
            file("a", b"one"),
            link("b", "a"),
            file("c", b"one"),
            dir("d"),
            dir("e"),
        ]),
        archive(&[
            file("a", b"two"),
            file("b", b"two"),
            link("c", "a"),
            file("d", b"two"),
        ]),
        archive(&[
            dir("e"),
            file("e/f", b""),
            file("e", b"lost"),
            link("e", "lost"),
        ]),
    ]);
    assert_eq!(head(&inventory, "a"), b"two");
    assert_eq!(inventory.node(b"b").unwrap().kind, EntryType::File);
    assert_eq!(head(&inventory, "c"), b"two");
    assert_eq!(inventory.node(b"d").unwrap().kind, EntryType::File);
    assert_eq!(inventory.node(b"e").unwrap().kind, EntryType::Directory);
    let occupied = ("e".to_owned(), Reason::Occupied);
    assert_eq!(reasons(&inventory), [occupied.clone(), occupied]);
}

#[test]
fn hard_links_share_content() {
    for (first, last) in [(b"data".as_slice(), b"".as_slice()), (b"", b"data")] {
        let inventory = inventory_of(&[archive(&[hard("a", 7, first), hard("b", 7, last)])]);
        assert_eq!(head(&inventory, "a"), b"data");
        assert_eq!(head(&inventory, "b"), b"data");
        assert!(inventory.dropped().is_empty());
    }
    // A trailer ends the scope of inode numbers. A later entry `b` overwrites the content that `a` shares.
    let inventory = inventory_of(&[
        archive(&[hard("a", 7, b"1"), hard("b", 7, b""), file("b", b"2")]),
        archive(&[hard("c", 7, b"3")]),
    ]);
    assert_eq!(head(&inventory, "a"), b"2");
    assert_eq!(head(&inventory, "c"), b"3");
    // The first name was dropped, so the second cannot be linked to it.
    let inventory = inventory_of(&[archive(&[hard("no/a", 7, b"1"), hard("b", 7, b"")])]);
    let expected = [
        ("no/a".to_owned(), Reason::NoParent),
        ("b".to_owned(), Reason::LinkSource),
    ];
    assert_eq!(reasons(&inventory), expected);
}

#[test]
fn names_go_through_links_and_directories_must_be_there() {
    let inventory = inventory_of(&[archive(&[
        dir("usr"),
        dir("usr/lib"),
        link("lib", "usr/lib"),
        link("gone", "nowhere"),
        link("round", "round"),
        file("lib/a", b"x"),
        file("gone/a", b"x"),
        file("round/a", b"x"),
        file("missing/a", b"x"),
        file("usr/lib/../../b", b"x"),
        file("lib/../c", b"x"),
        file("dev/console", b""),
        file("lib/a/b", b""),
    ])]);
    assert!(inventory.node(b"usr/lib/a").is_some());
    assert!(inventory.node(b"b").is_some());
    assert!(inventory.node(b"usr/c").is_some());
    assert!(inventory.node(b"dev/console").is_some());
    let expected = [
        ("gone/a".to_owned(), Reason::ParentLink),
        ("round/a".to_owned(), Reason::ParentLink),
        ("missing/a".to_owned(), Reason::NoParent),
        ("lib/a/b".to_owned(), Reason::NoParent),
    ];
    assert_eq!(reasons(&inventory), expected);
}

#[test]
fn links_are_followed_inside() {
    let mut items = vec![
        dir("etc"),
        dir("usr"),
        dir("usr/lib"),
        file("usr/lib/os-release", b"NAME=x"),
        link("etc/os-release", "../usr/lib/os-release"),
        link("etc/absolute", "/usr/lib/os-release"),
        link("etc/up", "../../../../usr/lib/os-release"),
        link("lib", "usr/lib"),
        link("loop", "loop2"),
        link("loop2", "loop"),
        link("dangling", "usr/none"),
        link("link0", "usr"),
    ];
    items.extend((1..60).map(|i| link(&format!("link{i}"), &format!("link{}", i - 1))));
    let inventory = inventory_of(&[archive(&items)]);
    for path in [
        "etc/os-release",
        "/etc/absolute",
        "etc/up",
        "lib/os-release",
        "./etc//os-release",
    ] {
        let (found, _) = inventory.resolve(path.as_bytes()).unwrap();
        assert_eq!(found, b"usr/lib/os-release", "{path}");
        assert_eq!(inventory.data(path.as_bytes()).unwrap(), b"NAME=x");
    }
    for (path, expected) in [
        (
            "loop",
            "limit link_depth = 40 exceeded at `loop` (entry 8 of the file, in segment 0)",
        ),
        (
            "link59/lib",
            "limit link_depth = 40 exceeded at `link19` (entry 30 of the file, in segment 0)",
        ),
    ] {
        let error = inventory.resolve(path.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    assert!(inventory.resolve(b"link39/lib").is_ok());
    let missing = ResolveError::NotFound {
        missing: b"usr/none".to_vec(),
        through_link: true,
    };
    assert_eq!(inventory.resolve(b"dangling"), Err(missing));
    assert_eq!(
        inventory.resolve_link(b"dangling").unwrap().1.target,
        b"usr/none"
    );
    let file = ResolveError::NotADirectory {
        path: b"usr/lib/os-release".to_vec(),
    };
    assert_eq!(inventory.resolve(b"etc/up/x"), Err(file));
}

#[test]
fn answers_about_dracut_and_modules() {
    let inventory = inventory_of(&[archive(&[
        dir("usr"),
        dir("usr/lib"),
        link("lib", "usr/lib"),
        dir("usr/lib/dracut"),
        file("usr/lib/dracut/dracut-106", b""),
        file("usr/lib/dracut/modules.txt", b"bash\nsystemd\nostree\n"),
        file("usr/lib/dracut/build-parameter.txt", b" --kver '6.1' -f\n"),
        dir("usr/lib/modules"),
        dir("usr/lib/modules/6.1"),
        file("usr/lib/modules/6.1/modules.builtin", b"kernel/b.ko\n"),
        dir("usr/lib/modules/6.1/kernel"),
        file("usr/lib/modules/6.1/kernel/a.ko.xz", b"\xfd7zXZ\0"),
        file("usr/lib/modules/6.1/kernel/b.txt", b""),
        dir("usr/lib/modules/6.1+rt"),
        file("usr/lib/modules.d", b""),
        file("squashfs-root.img", b"hsqs"),
        item("script", 0o100_755, b"#! /bin/sh -e\necho"),
        item("prog", 0o100_755, b"\x7fELF\x02"),
    ])]);
    assert_eq!(inventory.dracut_version().unwrap(), "106");
    assert_eq!(
        inventory.dracut_modules().unwrap(),
        ["bash", "systemd", "ostree"]
    );
    assert_eq!(inventory.dracut_arguments().unwrap(), "--kver '6.1' -f");
    assert_eq!(inventory.kernel_versions(), [b"6.1"]);
    assert_eq!(
        inventory.kernel_modules(),
        [b"usr/lib/modules/6.1/kernel/a.ko.xz"]
    );
    assert!(inventory.data(b"lib/modules/6.1/modules.builtin").is_some());
    assert!(inventory.data(b"prog").is_none());
    let inner = InnerImage {
        path: b"squashfs-root.img".to_vec(),
        format: Foreign::Squashfs,
    };
    assert_eq!(inventory.inner_images(), [inner]);
    let root = inventory.root_image().unwrap();
    assert_eq!(
        (root.path, root.size, root.length),
        ("squashfs-root.img", 4, 96)
    );
    let names: Vec<&[u8]> = inventory
        .children(b"lib")
        .iter()
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(names, [b"dracut".as_slice(), b"modules", b"modules.d"]);
    let names: Vec<&[u8]> = inventory
        .children(b"/")
        .iter()
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(
        names,
        [
            b"lib".as_slice(),
            b"prog",
            b"script",
            b"squashfs-root.img",
            b"usr"
        ]
    );
    let content = |path| inventory.content(inventory.node(path).unwrap()).unwrap();
    assert_eq!(content(b"script").interpreter().unwrap(), b"/bin/sh -e");
    assert!(content(b"prog").is_elf());
}

#[test]
fn a_root_image_is_where_dracut_puts_it() {
    let mut squashfs = b"hsqs".to_vec();
    squashfs.resize(40, 0);
    squashfs.extend(5000_u64.to_le_bytes());
    let mut erofs = vec![0; 1024];
    erofs.extend(b"\xe2\xe1\xf5\xe0\0\0\0\0\0\0\0\0\x0c");
    erofs.resize(1024 + 36, 0);
    erofs.extend([3, 0, 0, 0]);
    let found = |data: &[u8], path: &str| {
        let items = [dir("squash"), dir("usr"), file(path, data)];
        let root = inventory_of(&[archive(&items)]).root_image()?;
        assert_eq!((root.path, root.size), (path, data.len() as u64));
        Some(root.length)
    };
    for path in ["squashfs-root.img", "squash-root.img", "squash/root.img"] {
        assert_eq!(found(&squashfs, path), Some(5000), "{path}");
        assert_eq!(found(&erofs, path), None, "{path}");
    }
    assert_eq!(found(&erofs, "erofs-root.img"), Some(3 * 4096));
    assert_eq!(found(&squashfs, "erofs-root.img"), None);
    assert_eq!(found(&squashfs, "root.squashfs"), None);
    assert_eq!(found(&squashfs, "usr/squashfs-root.img"), None);
    // A shift by too many bits must not panic.
    erofs[1024 + 12] = 255;
    assert_eq!(found(&erofs, "erofs-root.img"), None);
    assert_eq!(found(&erofs[..1050], "erofs-root.img"), None);
}

#[test]
fn another_visitor_sees_all_data_and_digests_are_right() {
    let big: Vec<u8> = (0..700_001_u32).map(|i| (i % 251) as u8).collect();
    let items = [
        file("init", b"#!/bin/sh\n"),
        file("modules.builtin", b"a:\n"),
        file("big", &big),
    ];
    for packed in [archive(&items), pack(Compression::Zstd, &archive(&items))] {
        let keep = Keep {
            digests: true,
            ..Keep::default()
        };
        let mut inventory = Inventory::keeping(&Limits::default(), keep);
        let mut seen = Collect::default();
        read(
            packed.as_slice(),
            &Limits::default(),
            &mut inventory.with(&mut seen),
        )
        .unwrap();
        for ((name, data), item) in seen.0.iter().zip(&items) {
            assert!(name.as_bytes() == item.name && *data == item.data);
            let content = inventory
                .content(inventory.node(name.as_bytes()).unwrap())
                .unwrap();
            let digest: [u8; 32] = sha2::Digest::finalize(sha2::Digest::chain_update(
                <sha2::Sha256 as sha2::Digest>::new(),
                data,
            ))
            .into();
            assert_eq!(content.sha256, Some(digest), "{name}");
            assert_eq!(content.head, data[..data.len().min(Content::HEAD)]);
        }
    }
}

#[test]
fn an_error_of_the_visitor_comes_back() {
    struct Fussy;
    impl Visitor for Fussy {
        fn entry(&mut self, _: &Entry, _: &mut dyn BufRead) -> io::Result<()> {
            Err(io::Error::other("no"))
        }
    }
    let image = pack(
        Compression::Zstd,
        &archive(&[file("a", &vec![7; 2_000_000])]),
    );
    let error = read(image.as_slice(), &Limits::default(), &mut Fussy).unwrap_err();
    assert!(matches!(error, ReadError::Visitor { path, .. } if path == b"a"));
}

#[test]
fn a_kernels_directory_holds_modules_or_their_lists() {
    let inventory = inventory_of(&[archive(&[
        dir("usr"),
        dir("usr/lib"),
        link("lib", "usr/lib"),
        dir("usr/lib/modules"),
        dir("usr/lib/modules/6.1"),
        dir("usr/lib/modules/6.1/misc"),
        file("usr/lib/modules/6.1/misc/a.ko.zst", b""),
        dir("usr/lib/modules/6.2"),
        file("usr/lib/modules/6.2/modules.builtin", b""),
        // These directories are not those of kernels. dracut's module `modsign` creates `keys`.
        dir("usr/lib/modules/keys"),
        file("usr/lib/modules/keys/my.der", b""),
        dir("usr/lib/modules/keys/modules.d"),
        dir("usr/lib/modules/empty"),
        dir("usr/lib/modules/kabi-rhel90"),
        file("usr/lib/modules/kabi-rhel90/kabi_stablelist_x86_64", b""),
        file("usr/lib/modules/modules.dep", b""),
        file("usr/lib/modules/a.ko", b""),
    ])]);
    assert_eq!(inventory.kernel_versions(), [b"6.1", b"6.2"]);
}
