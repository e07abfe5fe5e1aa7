// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel images: the release in the header, the release in the compressed kernel, and the signature.

use std::io::Cursor;

use ostree_kernel::kernel::vmlinuz::{
    VmlinuzError, inner_release_from, is_signed_from, release_from, signature_from,
};

use crate::memory::within;
use crate::trickle::Trickle;

/// Upper bound of the memory in bytes: a block of lz4 with its compressed form, and a buffer to search in.
const MEMORY: usize = 18 << 20;

/// Reads the release and the signature of a kernel image, at once and one byte at a time.
pub fn vmlinuz(image: &[u8]) {
    let whole = within(MEMORY, || release_from(&mut Cursor::new(image)));
    let slow = within(MEMORY, || release_from(&mut Trickle::new(image)));
    let broken = |it: &Result<_, _>| matches!(it, Err(VmlinuzError::Decode { .. }));
    match (&whole, &slow) {
        (Ok(whole), Ok(slow)) => assert_eq!(whole, slow, "one byte at a time"),
        // The number of bytes that a decoder returns before it detects damage depends on the chunks of the input.
        _ if broken(&whole) || broken(&slow) => {}
        (Err(whole), Err(slow)) => {
            assert_eq!(said(whole, image), said(slow, image), "one byte at a time")
        }
        _ => panic!("{whole:?}; one byte at a time: {slow:?}"),
    }
    for error in [&whole, &slow]
        .into_iter()
        .filter_map(|it| it.as_ref().err())
    {
        said(error, image);
    }
    if let Ok(release) = whole {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        assert!((1..=64).contains(&release.kver.len()) && release.kver.bytes().all(plain));
        if let Err(error) = inner_release_from(&mut Cursor::new(image), &release) {
            said(&error, image);
        }
    }
    let signature = signature_from(&mut Cursor::new(image)).expect("memory does not fail");
    if let Some(signature) = signature {
        let mut count = 0;
        let without = signature.without(
            &mut Cursor::new(image),
            |bytes| count += bytes.len(),
            |end| assert!(end.len() <= 7),
        );
        without.expect("memory does not fail");
        assert!(count <= image.len());
    }
    let signed = is_signed_from(&mut Cursor::new(image)).expect("memory does not fail");
    assert_eq!(is_signed_from(&mut Trickle::new(image)).ok(), Some(signed));
}

/// Asserts that the position in the error is inside the image, and returns the error's text.
fn said(error: &VmlinuzError, image: &[u8]) -> String {
    let length = image.len() as u64;
    match error {
        VmlinuzError::Io(error) => panic!("memory does not fail: {error}"),
        VmlinuzError::Truncated { size, .. } => assert!(*size <= length),
        VmlinuzError::NotARelease { offset, .. } => assert!(*offset < length),
        VmlinuzError::Decode { offset, .. } => assert!(*offset <= length),
        _ => {}
    }
    error.to_string()
}
