// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images that are truncated, have flipped bytes, or have wrong fields in a header.

use crate::corpus::archive::{Archive, FILE};
use crate::corpus::case::{Case, CaseKind};
use crate::corpus::draft::Draft;
use crate::corpus::good::{append_random, early};
use crate::corpus::products::Base::TrixieSlim;

const CUT: &str = "coreos/fedora-coreos-tracker#2124 (no space left on /boot)";
const FLIP: &str = "boot: Initramfs unpacking failed: junk within compressed archive";
const LIE: &str = "CVE-2015-1197 and its kind: a header is believed";

fn damaged(
    name: impl Into<String>,
    comes_of: &'static str,
    change: impl Fn(&mut Draft) + Send + Sync + 'static,
) -> Case {
    Case::new(
        CaseKind::Damaged,
        name,
        TrixieSlim,
        comes_of,
        &["initramfs-readable"],
        change,
    )
}

pub fn cases() -> Vec<Case> {
    let rooms = [cut(), flipped(), lying()];
    rooms.into_iter().flatten().collect()
}

fn cut() -> Vec<Case> {
    let mut cases = Vec::new();
    for how in ["zst", "gz", "xz", "lzma", "lz4", "bz2", "cpio"] {
        cases.push(damaged(format!("cut-{how}"), CUT, move |draft| {
            draft.compressed(how);
            let bytes = draft.bytes();
            bytes.truncate(bytes.len() / 3);
        }));
    }
    cases.push(damaged("cut-last-byte", CUT, |draft| {
        draft.bytes().pop();
    }));
    cases.push(damaged("cut-in-early", CUT, |draft| {
        let early = early();
        draft.set_bytes(early[..early.len() / 2].to_vec());
    }));
    cases.push(damaged("cut-in-random", CUT, |draft| {
        append_random(draft);
        let bytes = draft.bytes();
        bytes.truncate(bytes.len() - 30);
    }));
    cases.push(damaged("cut-in-magic", CUT, |draft| {
        draft.bytes().truncate(3)
    }));
    cases
}

fn flipped() -> Vec<Case> {
    let mut cases = Vec::new();
    for how in ["zst", "gz", "xz", "bz2"] {
        cases.push(damaged(format!("flip-{how}"), FLIP, move |draft| {
            draft.compressed(how);
            let bytes = draft.bytes();
            let at = bytes.len() / 2;
            bytes[at] ^= 0x10;
        }));
    }
    cases.push(damaged("flip-magic", FLIP, |draft| draft.bytes()[0] ^= 1));
    cases.push(damaged("flip-lz4-length", FLIP, |draft| {
        draft.compressed("lz4");
        draft.bytes()[7] ^= 0x80;
    }));
    cases.push(damaged("flip-header", FLIP, |draft| {
        draft.compressed("cpio");
        draft.bytes()[2] = b'x';
    }));
    cases
}

/// Uses the uncompressed archive as the image, and overwrites a field of its first header with these digits.
fn field(draft: &mut Draft, number: usize, digits: &[u8; 8]) {
    draft.compressed("cpio");
    let at = 6 + number * 8;
    draft.bytes()[at..at + 8].copy_from_slice(digits);
}

fn lying() -> Vec<Case> {
    vec![
        damaged("lie-size-of-file", LIE, |draft| {
            field(draft, 6, b"f0000000")
        }),
        damaged("lie-size-of-name", LIE, |draft| {
            field(draft, 11, b"7fffffff")
        }),
        damaged("lie-no-name", LIE, |draft| field(draft, 11, b"00000003")),
        damaged("lie-not-hexadecimal", LIE, |draft| {
            field(draft, 6, b"-0000001")
        }),
        damaged("lie-sum", LIE, |draft| {
            let mut bytes = draft.archive().with_sums();
            let path = b"usr/lib/systemd/systemd\0";
            let at = bytes.windows(path.len()).position(|it| it == path).unwrap();
            let data = at + path.len() + 1000;
            bytes[data] ^= 1;
            draft.set_bytes(bytes);
        }),
        damaged("lie-size-of-the-last", LIE, |draft| {
            let mut archive = Archive::empty();
            archive.append("a", FILE, "data");
            let mut bytes = archive.to_bytes();
            bytes[6 + 6 * 8..6 + 7 * 8].copy_from_slice(b"00000400");
            draft.set_bytes(bytes);
        }),
    ]
}
