// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case: a good image with its tree, or a broken one.

use super::draft::Draft;
use super::products::Base;

/// The kind of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaseKind {
    /// The image boots.
    Good,
    /// The image does not boot.
    Broken,
    /// The image does not boot, because of truncated or flipped bytes or wrong sizes.
    Damaged,
}

type Change = Box<dyn Fn(&mut Draft) + Send + Sync>;

/// A case.
pub struct Case {
    pub kind: CaseKind,
    pub name: String,
    /// The good image that the case changes.
    pub base: Base,
    /// The public issue, the CVE or the failed boot that it comes from; for a good one, its special feature.
    pub comes_of: &'static str,
    /// The fatal checks that find it: exactly these.
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
