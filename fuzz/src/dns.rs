// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers of name servers, which anybody may send.

use ostree_kernel::sys::fetch::dns::{Answer, Family, Reply, read};

use crate::memory::within;

/// What the seeds answer for.
const NAME: &str = "rpms.example.org";

/// The least that one address takes in a message (bytes).
const RECORD: usize = 15;

/// A message; by TCP it has 64 KiB at most.
pub fn dns(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(u16::MAX.into())];
    let id = bytes.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
    // The owner of a record is two bytes that stand for a name of 127 labels.
    let most = (64 << 10) + 1024 * bytes.len();
    for (family, is_v4) in [(Family::V4, true), (Family::V6, false)] {
        match within(most, || read(bytes, id, NAME, family)) {
            Reply::Answer(Answer::Addresses(found)) => {
                assert!(found.iter().all(|it| it.is_ipv4() == is_v4), "{found:?}");
                assert!(found.len() * RECORD <= bytes.len(), "{found:?}");
            }
            Reply::Refused(why) => assert!(why.is_ascii() && why.len() < 64, "{why}"),
            _ => {}
        }
        let of_another = read(bytes, !id, NAME, family);
        assert_eq!(of_another, Reply::Another, "asked by another id");
    }
}
