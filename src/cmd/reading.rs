// SPDX-License-Identifier: MIT OR Apache-2.0
//! Options and functions for images that are given as arguments.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::ArgAction;

use crate::checks::Baseline;
use crate::kernel::kver::Kver;
use crate::oci::{ImageReference, Platform, ReferenceError};
use crate::site::image::{self, FoundImage, ImageOptions, OpenImage, RegistryOptions};
use crate::site::kernels;
use crate::steps::verify;
use crate::sys::root::Root;

/// Options for reading images.
#[derive(Debug, clap::Args)]
pub struct Reading {
    /// Platform to choose from an image index [default: this machine's, else the only one]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Read the passwords of registries from this file [default: as podman does]
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Verify the TLS certificates of registries; false accepts any certificate, and
    /// plain HTTP
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, hide_possible_values = true)]
    pub tls_verify: bool,
    /// Certificates for registries (*.crt, *.cert, *.key) [default: as podman does]
    #[arg(long, value_name = "DIR")]
    pub cert_dir: Option<PathBuf>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            platform: None,
            authfile: None,
            tls_verify: true,
            cert_dir: None,
        }
    }
}

impl Reading {
    /// Reads the baseline from the argument of `--against`: an image, the directory of a tree, or an initramfs file.
    ///
    /// # Errors
    /// When the initramfs, the image or the tree cannot be read, or the image or tree has no kernel.
    pub(super) fn baseline(&self, against: &OsStr) -> Result<Baseline> {
        let path = Path::new(against);
        let root = match self.open_if_image(against)? {
            Some(opened) => opened.root,
            None if fs_err::metadata(path).is_ok_and(|it| it.is_dir()) => Root::open(path)?,
            None => return verify::against(path),
        };
        let kver = first_kernel(&root)
            .with_context(|| format!("reading {} to compare with", root.path().display()))?;
        verify::of_root(&root, &kver)
    }

    /// Opens an image.
    ///
    /// # Errors
    /// When `word` is not a valid image reference, or the image cannot be read.
    pub fn open(&self, word: &OsStr) -> Result<OpenImage> {
        image::open(&reference(word)?, &self.options())
    }

    /// Reads an image's manifest and configuration, but not its layers.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn find(&self, word: &OsStr) -> Result<FoundImage> {
        FoundImage::of(&reference(word)?, &self.options())
    }

    /// Opens an image. Returns `None` if `word` has no transport, and thus is the path of a file or directory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_if_image(&self, word: &OsStr) -> Result<Option<OpenImage>> {
        match parse(word) {
            Err(ReferenceError::NoTransport) => Ok(None),
            _ => self.open(word).map(Some),
        }
    }

    /// Returns the first of these options that is given, for the error that the option has no effect; `None` if none is
    /// given.
    pub fn given(&self) -> Option<&'static str> {
        let platform = self.platform.is_some().then_some("--platform");
        platform.or_else(|| self.given_for_registry())
    }

    /// Returns the same as [`given`](Self::given), but ignores `--platform`, which also applies to images that are not
    /// in a registry.
    pub fn given_for_registry(&self) -> Option<&'static str> {
        let given = [
            (self.authfile.is_some(), "--authfile"),
            (!self.tls_verify, "--tls-verify"),
            (self.cert_dir.is_some(), "--cert-dir"),
        ];
        let given = given.into_iter().find(|(is_given, _)| *is_given);
        given.map(|(_, option)| option)
    }

    fn options(&self) -> ImageOptions {
        ImageOptions {
            platform: self.platform.clone(),
            registry: RegistryOptions {
                authfile: self.authfile.clone(),
                tls_verify: self.tls_verify,
                cert_dir: self.cert_dir.clone(),
                ..RegistryOptions::default()
            },
        }
    }
}

/// Parses a word as a reference to an image.
///
/// # Errors
/// When the word has no transport (or is not UTF-8), or is not a valid reference.
pub fn parse(word: &OsStr) -> Result<ImageReference, ReferenceError> {
    word.to_str().ok_or(ReferenceError::NoTransport)?.parse()
}

fn reference(word: &OsStr) -> Result<ImageReference> {
    parse(word).map_err(|error| anyhow!("{}: {error}", word.display()))
}

/// Returns the first kernel release in `usr/lib/modules` whose directory has a `vmlinuz`. Several are not an error
/// here, since the check `kernel-single` reports them. Fails if there is none, or if its name is not a valid kernel
/// release.
pub(super) fn first_kernel(root: &Root) -> Result<Kver> {
    let dirs = kernels::module_dirs(root)?;
    let kernel = dirs.into_iter().find(|dir| dir.has_vmlinuz);
    let kernel = match kernel {
        Some(kernel) => kernel,
        None => {
            let dir = root.path().display();
            let shadows = kernels::shadows(root, None)?;
            if let Some(uki) = shadows.iter().find(|it| it.path.ends_with(".efi")) {
                bail!(
                    "{}: the image has its kernel and initramfs in the unified kernel image /{} only. Verify the tree that the UKI is built from",
                    kernels::NO_KERNEL,
                    uki.path
                );
            }
            let not_a_root = kernels::not_a_root(root)?;
            let not_a_root = not_a_root.map(|why| format!(". {dir} is {why}"));
            bail!(
                "{}; expected one kernel{}",
                kernels::NO_KERNEL,
                not_a_root.unwrap_or_default()
            )
        }
    };
    Kver::new(&kernel.name).context("reading usr/lib/modules")
}
