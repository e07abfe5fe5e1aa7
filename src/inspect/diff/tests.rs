// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the comparison and of its output.

use super::*;
use crate::initramfs::testing::{TestEntry, archive, dir, file, item, link};
use crate::inspect::testing::read_image;
use crate::inspect::write_diff;

fn of(before: &[TestEntry], after: &[TestEntry]) -> Diff {
    let read = |items: &[TestEntry]| {
        let bytes = archive(items);
        let (inventory, segments) = read_image(&bytes);
        let summary = Summary::new(bytes.len() as u64, &segments, &inventory);
        (summary, inventory)
    };
    let (old, new) = (read(before), read(after));
    diff((&old.0, &old.1), (&new.0, &new.1))
}

fn text(diff: &Diff) -> String {
    let mut out = Vec::new();
    write_diff(("old.img", "new.img"), diff, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn base(kver: &str) -> Vec<TestEntry> {
    let mut items = vec![dir("usr"), dir("usr/lib"), dir("usr/lib/modules")];
    items.push(dir(&format!("usr/lib/modules/{kver}")));
    items.push(dir("usr/lib/systemd"));
    items.push(dir("usr/lib/systemd/system"));
    items.push(dir("usr/lib/dracut"));
    items
}

fn with(kver: &str, more: &[TestEntry]) -> Vec<TestEntry> {
    [base(kver), more.to_vec()].concat()
}

#[test]
fn an_image_does_not_differ_from_itself() {
    let items = with("6.1", &[file("usr/lib/modules/6.1/a.ko", b"1")]);
    let diff = of(&items, &items);
    assert!(diff.is_empty());
    assert!(text(&diff).contains("Both unpack to the same"));
    assert_eq!(diff.kernel_modules.same, 1);
    assert_eq!(diff.files.same, 7);
}

#[test]
fn kernel_modules_are_compared_by_name_across_kvers() {
    let old = with(
        "6.1",
        &[
            file("usr/lib/modules/6.1/a.ko", b"1"),
            file("usr/lib/modules/6.1/b-c.ko.xz", b"22"),
            file("usr/lib/modules/6.1/gone.ko", b"333"),
            file("usr/lib/modules/6.1/modules.dep", b"same"),
        ],
    );
    let new = with(
        "6.2",
        &[
            file("usr/lib/modules/6.2/a.ko", b"2"),
            file("usr/lib/modules/6.2/b-c.ko.zst", b"22"),
            file("usr/lib/modules/6.2/added.ko", b"4444"),
            file("usr/lib/modules/6.2/modules.dep", b"same"),
        ],
    );
    let diff = of(&old, &new);
    let names =
        |items: &[Item]| -> Vec<_> { items.iter().map(|it| it.name.path.clone()).collect() };
    let modules = &diff.kernel_modules;
    assert_eq!(names(&modules.added), ["usr/lib/modules/6.2/added.ko"]);
    assert_eq!(names(&modules.gone), ["usr/lib/modules/6.1/gone.ko"]);
    assert_eq!(modules.changed.len(), 2);
    assert!(modules.changed[0].what.is_empty());
    assert_eq!(
        modules.changed[1].what,
        ["was usr/lib/modules/6.1/b-c.ko.xz"]
    );
    assert!(diff.files.changed.is_empty() && diff.files.added.is_empty());
    let text = text(&diff);
    assert!(
        text.contains("~ 1 module in both, built for different kernels"),
        "{text}"
    );
    assert!(text.contains("kernel          - 6.1\n                + 6.2\n"));
}

#[test]
fn changes_of_files() {
    let mut device = item("null", 0o020_666, b"");
    device.rdev = (1, 3);
    let mut other = device.clone();
    other.rdev = (1, 5);
    let mut mode = file("mode", b"x");
    mode.mode = 0o100_755;
    let old = with(
        "6.1",
        &[
            device,
            file("mode", b"x"),
            file("size", b"1"),
            file("bytes", b"1"),
            link("link", "a"),
            file("kind", b"x"),
            file("e\x1bsc", b""),
        ],
    );
    let new = with(
        "6.1",
        &[
            other,
            mode,
            file("size", b"333"),
            file("bytes", b"2"),
            link("link", "bb"),
            link("kind", "x"),
        ],
    );
    let diff = of(&old, &new);
    let text = text(&diff);
    for line in [
        "  - $'e\\x1bsc'  0 B\n",
        "  ~ bytes  other bytes, same size\n",
        "  ~ link  target a -> bb\n",
        "  ~ mode  mode 0644 -> 0755\n",
        "  ~ null  device 1:3 -> 1:5\n",
        "  ~ size  1 B -> 3 B (+2 B)\n",
        "  ~ kind  file -> symlink\n",
        "other files: 0 added, 1 removed, 6 changed, 7 unchanged:\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn units_and_dracut_modules_have_their_own_lists() {
    let old = with(
        "6.1",
        &[file("usr/lib/dracut/modules.txt", b"bash\nostree\n")],
    );
    let new = with(
        "6.1",
        &[
            file("usr/lib/dracut/modules.txt", b"bash\nsystemd\n"),
            file("usr/lib/systemd/system/a.service", b"[Unit]"),
        ],
    );
    let diff = of(&old, &new);
    assert_eq!(diff.units.added[0].bytes, 6);
    assert_eq!(diff.dracut_modules.added, ["systemd"]);
    assert_eq!(diff.dracut_modules.gone, ["ostree"]);
    let text = text(&diff);
    assert!(text.contains("dracut modules:\n  - ostree\n  + systemd\n"));
    assert!(text.contains("units: 1 added, 0 removed, 0 changed, 0 unchanged:\n"));
    let json = serde_json::to_value(&diff).unwrap();
    assert_eq!(json["units"]["added"][0]["bytes"], 6);
    assert_eq!(json["after"]["dracut_modules"], 2);
}
