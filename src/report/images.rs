// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reports of several images.

use std::fmt;

use serde::Serialize;

use super::documents::Failure;
use super::{Command, Outcome, Report, SchemaVersion};

/// The output of `verify` with several images.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImageReports<'r> {
    /// The version of this schema.
    pub schema: SchemaVersion,
    /// The program and its version: `ostree-kernel 0.1.0`.
    pub tool: String,
    /// The command: `verify`.
    pub command: Command,
    /// The worst outcome of the images: rejected, else unknown (also if an image could not be read), else passed.
    pub outcome: Outcome,
    /// The images, in the order of the command line.
    pub images: &'r [ImageEntry],
}

/// One of several images.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ImageEntry {
    /// An image with a verdict.
    Verified(Box<Report>),
    /// An image that could not be read.
    Failed(FailedImage),
}

/// One of several images, without a verdict because it could not be read.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailedImage {
    #[serde(flatten)]
    failure: Failure,
    /// The image.
    image: FailedReference,
}

/// The name of an image that could not be read.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct FailedReference {
    /// The image with its transport, as it was typed.
    reference: String,
}

impl FailedImage {
    /// Returns the entry of an image that could not be read.
    pub fn new(reference: &str, error: String) -> Self {
        Self {
            failure: Failure::new(error),
            image: FailedReference {
                reference: reference.to_owned(),
            },
        }
    }
}

impl fmt::Display for FailedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reference, error) = (&self.image.reference, &self.failure.error);
        write!(f, "{reference}: not verified: {error}")
    }
}

impl ImageEntry {
    /// Returns the outcome, which is unknown for an image without a verdict.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Verified(report) => report.outcome,
            Self::Failed(_) => Outcome::Unknown,
        }
    }
}
