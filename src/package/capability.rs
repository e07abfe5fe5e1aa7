// SPDX-License-Identifier: MIT OR Apache-2.0
//! Capabilities that packages provide, require and obsolete, and rpm's rule that decides whether a provided capability
//! meets a requirement (`rpmdsCompare` in `lib/rpmds.c`).

use std::cmp::Ordering;
use std::fmt;

use rpm_version::Evr;

/// The relation of a capability to its version. All fields are false if the capability has no version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Op {
    /// Whether the relation includes `<`.
    pub less: bool,
    /// Whether the relation includes `=`.
    pub equal: bool,
    /// Whether the relation includes `>`.
    pub greater: bool,
}

impl Op {
    /// The relation `=`.
    pub const EQUAL: Self = Self {
        less: false,
        equal: true,
        greater: false,
    };

    /// Parses `<`, `<=`, `=`, `>=`, `>`, or nothing.
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
        for (is_set, sign) in [(self.less, "<"), (self.greater, ">"), (self.equal, "=")] {
            f.write_str(if is_set { sign } else { "" })?;
        }
        Ok(())
    }
}

/// Returns whether one of a package's capabilities is `…uname-r = KVER`. The sub-packages of Fedora's and CentOS's
/// kernels, and kmod packages that are built for one kernel, provide or require such a capability.
pub fn tie_to<'c>(mut capabilities: impl Iterator<Item = &'c Capability>, kver: &str) -> bool {
    capabilities.any(|cap| cap.is_uname_r() && cap.version == kver)
}

/// Returns the kvers for which a package provides `…uname-r = KVER` and has modules. The second condition excludes
/// kernel-devel, which provides the capability, but has no modules.
pub fn with_modules<'c>(
    provides: &'c [Capability],
    has_modules_of: impl Fn(&str) -> bool + 'c,
) -> impl Iterator<Item = &'c str> {
    let provides = provides.iter().filter(|cap| cap.is_uname_r());
    let kernels = provides.map(|cap| cap.version.as_str());
    kernels.filter(move |kver| has_modules_of(kver))
}

/// A capability that a package provides, requires or obsoletes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The name, such as `kernel-core-uname-r`, `/bin/sh` or `systemd`.
    pub name: String,
    /// The relation to `version`.
    pub op: Op,
    /// The version; empty if there is none.
    pub version: String,
}

impl Capability {
    /// Returns the capability `NAME = VERSION`.
    pub fn equal(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            op: Op::EQUAL,
            version: version.into(),
        }
    }

    /// Returns whether the name ends with `uname-r`. The version of such a capability is a kver, and the package
    /// belongs to that kernel.
    pub fn is_uname_r(&self) -> bool {
        self.name.ends_with("uname-r")
    }

    /// Returns whether a package with this capability meets the requirement `wanted`: the names are equal, and the
    /// ranges of versions overlap. A capability without a version covers all versions.
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

/// Compares two texts `EPOCH:VERSION-RELEASE` as rpm does. The releases are compared only if both texts have one.
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
        if *op == Op::default() {
            f.write_str(name)
        } else {
            write!(f, "{name} {op} {version}")
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
    fn overlapping_versions_match() {
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
