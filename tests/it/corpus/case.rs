// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case of the corpus: a good image with its tree, or a broken one.

use super::draft::Draft;
use super::products::Base;

/// Whether the image of a case boots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaseKind {
    /// The image boots.
    Good,
    /// The image does not boot.
    Broken,
    /// The image does not boot, because bytes are missing or flipped, or a header has wrong fields.
    Damaged,
}

type Change = Box<dyn Fn(&mut Draft) + Send + Sync>;

/// A change of a good image and its tree, and the checks that must find it.
pub struct Case {
    pub kind: CaseKind,
    pub name: String,
    /// The good image that the case changes.
    pub base: Base,
    /// For a broken case, the public issue, the CVE or the failed boot that it comes from; for a good case, its special
    /// feature.
    pub comes_of: &'static str,
    /// The checks that must have a fatal finding (with `--fatal-warnings`, a warning suffices), and no others except
    /// `initramfs-projection`; empty for a good case.
    pub expected: Vec<&'static str>,
    pub change: Change,
}

impl Case {
    pub fn new(
        kind: CaseKind,
        name: impl Into<String>,
        base: Base,
        comes_of: &'static str,
        expected: &[&'static str],
        change: impl Fn(&mut Draft) + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            base,
            comes_of,
            expected: expected.to_vec(),
            change: Box::new(change),
        }
    }
}
