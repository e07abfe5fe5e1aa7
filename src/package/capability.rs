// SPDX-License-Identifier: MIT OR Apache-2.0
//! What packages provide, require and obsolete, and when one meets the other: rpm's own rule
//! (`rpmdsCompare` of lib/rpmds.c).

use std::cmp::Ordering;
use std::fmt;

use rpm_version::Evr;

/// The relation to a version; none of the three where no version is named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Op {
    /// `<`
    pub less: bool,
    /// `=`
    pub equal: bool,
    /// `>`
    pub greater: bool,
}

impl Op {
    /// `=`
    pub const EQUAL: Self = Self {
        less: false,
        equal: true,
        greater: false,
    };

    /// Reads `<`, `<=`, `=`, `>=`, `>`, or nothing.
    pub fn of(text: &str) -> Self {
        Self {
            less: text.contains('<'),
            equal: text.contains('='),
            greater: text.contains('>'),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (is, sign) in [(self.less, "<"), (self.greater, ">"), (self.equal, "=")] {
            f.write_str(if is { sign } else { "" })?;
        }
        Ok(())
    }
}

/// A capability that a package provides, requires or obsoletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// `kernel-core-uname-r`, `/bin/sh`, `systemd`.
    pub name: String,
    /// How its version stands to `version`.
    pub op: Op,
    /// The version, empty where none is named.
    pub version: String,
}

impl Capability {
    /// `NAME = VERSION`.
    pub fn equal(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: Op::EQUAL,
            version: version.into(),
        }
    }

    /// Whether it ends with `uname-r`: then its version is a kver, and it ties a package to that
    /// kernel.
    pub fn is_uname_r(&self) -> bool {
        self.name.ends_with("uname-r")
    }

    /// Whether who provides this has what `wanted` asks for: of one name, and versions that
    /// overlap.
    pub fn meets(&self, wanted: &Self) -> bool {
        if self.name != wanted.name {
            return false;
        }
        let (a, b) = (self.op, wanted.op);
        if [a, b].contains(&Op::default()) {
            return true;
        }
        match compare(&self.version, &wanted.version) {
            Ordering::Less => a.greater || b.less,
            Ordering::Greater => a.less || b.greater,
            Ordering::Equal => {
                (a.less && b.less) || (a.equal && b.equal) || (a.greater && b.greater)
            }
        }
    }
}

/// As rpm compares `EPOCH:VERSION-RELEASE`: a release counts where both have one.
fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (Evr::parse(a), Evr::parse(b));
    if a.release().is_empty() || b.release().is_empty() {
        a.set_release("");
        b.set_release("");
    }
    a.cmp(&b)
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, op, version } = self;
        match *op == Op::default() {
            true => f.write_str(name),
            false => write!(f, "{name} {op} {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(text: &str) -> Capability {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap_or_default();
        Capability {
            name: word().into(),
            op: Op::of(word()),
            version: word().into(),
        }
    }

    #[test]
    fn versions_that_overlap_meet() {
        for (provided, wanted) in [
            ("kernel = 6.9.4-200.fc40", "kernel"),
            ("kernel", "kernel >= 6"),
            ("kernel = 6.9.4-200.fc40", "kernel >= 6.9"),
            ("kernel = 6.9.4-200.fc40", "kernel = 6.9.4"),
            ("kernel = 6.10.1-1", "kernel > 6.9"),
            ("kernel = 0:6.9-1", "kernel = 6.9-1"),
            ("kernel < 7", "kernel <= 6"),
            ("kernel = 6.9~rc1-1", "kernel < 6.9"),
            (
                "u = 6.12.117+deb12-cloud-amd64",
                "u = 6.12.117+deb12-cloud-amd64",
            ),
        ] {
            let meets = capability(provided).meets(&capability(wanted));
            assert!(meets, "{provided} meets {wanted}");
        }
        for (provided, wanted) in [
            ("kernel-core = 6.9.4-200.fc40", "kernel = 6.9.4-200.fc40"),
            ("kernel = 6.9.4-200.fc40", "kernel = 6.9.4-201.fc40"),
            ("kernel = 6.9.4-200.fc40", "kernel > 6.9.4-200.fc40"),
            ("kernel = 6.9.4-200.fc40", "kernel < 6.9.4"),
            ("kernel = 1:5-1", "kernel < 6"),
            (
                "u = 6.12.117+deb12-cloud-amd64",
                "u = 6.12.115+deb12-cloud-amd64",
            ),
        ] {
            let meets = capability(provided).meets(&capability(wanted));
            assert!(!meets, "{provided} does not meet {wanted}");
        }
    }
}
