// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits a file into its PEM blocks.

use x509_cert::der::pem;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// A PEM block.
pub(super) struct Block {
    /// The text between `-----BEGIN ` and `-----`.
    pub(super) label: String,
    /// The bytes; `None` if it cannot be decoded, for example because it has headers.
    pub(super) der: Option<Vec<u8>>,
    /// The unchanged lines of the block.
    pub(super) text: String,
}

/// Returns the blocks; text between them is ignored. Empty if the bytes are not text.
pub(super) fn blocks(bytes: &[u8]) -> Vec<Block> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Vec::new();
    };
    let parts = text.split(BEGIN).skip(1);
    let block = |part: &str| {
        let (label, rest) = part.split_once(DASHES)?;
        let end = format!("-----END {label}{DASHES}");
        let body = rest.split_once(&end)?.0;
        let text = format!("{BEGIN}{label}{DASHES}{body}{end}\n");
        Some(Block {
            label: label.to_owned(),
            der: pem::decode_vec(text.as_bytes()).ok().map(|it| it.1),
            text,
        })
    };
    parts.filter_map(block).collect()
}
