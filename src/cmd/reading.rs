// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images as arguments: how to read them.

use std::ffi::OsStr;

use anyhow::{Result, anyhow};

use crate::oci::{ImageReference, Platform, ReferenceError};
use crate::site::image::{self, ImageOptions, OpenImage};

/// Options for reading images.
#[derive(Debug, Default, clap::Args)]
pub struct Reading {
    /// Platform to choose from an index [default: this machine's, else the only one]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
}

impl Reading {
    /// Opens an image.
    ///
    /// # Errors
    /// When the word is no reference, or the image cannot be read.
    pub fn open(&self, word: &OsStr) -> Result<OpenImage> {
        let opened = self.open_if_image(word)?;
        opened.ok_or_else(|| anyhow!("{}: {}", word.display(), ReferenceError::NoTransport))
    }

    /// Opens an image; `None` if the word has no transport.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_if_image(&self, word: &OsStr) -> Result<Option<OpenImage>> {
        match parse(word) {
            Ok(reference) => image::open(&reference, &self.options()).map(Some),
            Err(ReferenceError::NoTransport) => Ok(None),
            Err(error) => Err(anyhow!("{}: {error}", word.display())),
        }
    }

    /// Returns the options that are given, for messages about options without effect.
    pub fn given(&self) -> Option<&'static str> {
        self.platform.is_some().then_some("--platform")
    }

    fn options(&self) -> ImageOptions {
        ImageOptions {
            platform: self.platform.clone(),
        }
    }
}

/// Parses a word as a reference to an image.
///
/// # Errors
/// When it has no transport, or is wrong.
pub fn parse(word: &OsStr) -> Result<ImageReference, ReferenceError> {
    word.to_str().ok_or(ReferenceError::NoTransport)?.parse()
}
