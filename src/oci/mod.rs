// SPDX-License-Identifier: MIT OR Apache-2.0
//! OS container images: references, manifests, layers, and the tree that the layers of an image make together.
//!
//! This module accesses neither files nor the network; the transports are in `site::image`.
//!
//! Invariants: sizes, digests and paths are checked before they are used, every resource has a named limit, and file
//! names are byte strings.

mod challenge;
mod choice;
mod credentials;
mod digest;
mod error;
mod keep;
mod limits;
mod manifest;
mod platform;
mod reference;
mod registries;
mod tar;
mod toc;
mod tree;
mod unpack;

pub use challenge::Challenge;
pub use choice::choose;
pub use credentials::{CredentialFile, CredentialHelper, CredentialSource, Credentials};
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
pub use registries::{ImageSource, Registries};
pub use tar::{LayerEntry, LayerVisitor, Metadata, NodeKind, list as list_tar, read as read_tar};
pub use toc::{Toc, TocFile, TocPlace};
pub use tree::{Inode, LayerTree, NodeId, Placed};
pub use unpack::{Foreign, LayerCompression, decoder};

#[cfg(test)]
mod tests;
