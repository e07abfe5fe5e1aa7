// SPDX-License-Identifier: MIT OR Apache-2.0
//! Splits a file into its PEM blocks.

use x509_cert::der::pem;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// A PEM block.
pub(super) struct Block {
    /// The text between `-----BEGIN ` and `-----`.
    pub(super) label: String,
    /// The decoded bytes; `None` if the block cannot be decoded, for example because it has headers.
    pub(super) der: Option<Vec<u8>>,
    /// The block with its first and its last line, and a newline at the end.
    pub(super) text: String,
}

/// Returns the blocks. Text between blocks, and a block without its last line, are ignored. Returns no blocks if the
/// bytes are not UTF-8.
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
