// SPDX-License-Identifier: MIT OR Apache-2.0
//! OS container images: references, manifests, layers, and the tree that the layers of an image make together.
//!
//! Pure: bytes in, values out. Transports are in `site::image` and `sys::registry`.
//!
//! Invariants: nothing is believed before it is checked (sizes, digests, paths), every resource has a limit with a name,
//! and names are bytes.

mod choice;
mod digest;
mod error;
mod keep;
mod limits;
mod manifest;
mod platform;
mod reference;
mod tar;
mod tree;
mod unpack;

pub use choice::choose;
pub use digest::{BlobDigest, BlobHasher};
pub use error::OciError;
pub use keep::{HEAD, KeptPart, keep};
pub use limits::ImageLimits;
pub use manifest::{
    Descriptor, ImageConfig, ImageIndex, Manifest, ManifestDocument, TOC_CHECKSUM, TOC_POSITION,
    parse,
};
pub use platform::Platform;
pub use reference::{Docker, ImageReference, ImageVersion, ReferenceError, TRANSPORTS};
pub use tar::{LayerEntry, LayerVisitor, NodeKind, list as list_tar, read as read_tar};
pub use tree::{Inode, LayerTree, NodeId, Placed};
pub use unpack::{LayerCompression, decoder};
