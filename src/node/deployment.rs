// SPDX-License-Identifier: MIT OR Apache-2.0
//! Deployments, their order, and the words by which a user selects one.

use std::fmt;
use std::str::FromStr;

/// The number of hexadecimal digits of an ostree checksum (SHA-256).
const CHECKSUM_LEN: usize = 64;

/// The length of the shortest checksum prefix that selects a deployment. A shorter word is parsed as an index.
const PREFIX_MIN: usize = 7;

/// The name of a deployment: its operating system (stateroot), checksum and serial number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "DeploymentName")
)]
pub struct Name {
    /// The stateroot (operating system name).
    pub osname: String,
    /// The checksum of the deployment's commit.
    pub checksum: String,
    /// The serial number, which distinguishes deployments of the same commit.
    pub serial: u32,
}

/// The place of a deployment in the order of `ostree admin status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Staged: ostree finalises the deployment at shutdown, and the machine boots it next.
    Staged,
    /// Before the booted deployment in the boot loader's menu, and of the same stateroot.
    Pending,
    /// The running deployment.
    Booted,
    /// The first deployment of the same stateroot after the booted deployment in the boot loader's menu.
    Rollback,
    /// Any other deployment.
    Other,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its name.
    pub name: Name,
    /// The checksum of its kernel and initramfs. The name of their directory on `/boot` contains this checksum.
    pub bootcsum: String,
    /// Its place relative to the booted deployment.
    pub place: Place,
    /// The kernel arguments; `None` if a staged deployment inherits them.
    pub kargs: Option<Vec<String>>,
    /// The checksums of additional initramfs files, which the boot loader loads after the deployment's initramfs.
    pub overlays: Vec<String>,
    /// Whether `/run/ostree/staged-deployment` locks the finalisation of this deployment; false unless it is staged.
    pub is_locked: bool,
}

/// A user's selection of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// `staged`: the staged deployment.
    Staged,
    /// `booted`: the running deployment.
    Booted,
    /// `rollback`: the rollback deployment.
    Rollback,
    /// The index of the deployment in `ostree admin status`, from 0.
    Index(usize),
    /// A checksum of a commit, or at least its first 7 digits.
    Checksum(String),
}

impl Name {
    /// Returns the name if its parts are valid and safe in a path, else `None`.
    pub fn new(osname: &str, checksum: &str, serial: u32) -> Option<Self> {
        let is_plain = |c: char| !c.is_control() && c != '/' && !c.is_whitespace();
        let is_name = !osname.is_empty()
            && osname.len() <= 255
            && !matches!(osname, "." | "..")
            && osname.chars().all(is_plain);
        (is_name && is_checksum(checksum)).then(|| Self {
            osname: osname.to_owned(),
            checksum: checksum.to_owned(),
            serial,
        })
    }

    /// Parses `CHECKSUM.SERIAL`, the name of a deployment's directory; `None` if `name` or `osname` is invalid.
    pub fn parse(osname: &str, name: &str) -> Option<Self> {
        let (checksum, serial) = name.split_once('.')?;
        Self::new(osname, checksum, serial.parse().ok()?)
    }

    /// Returns the deployment's directory, relative to the root of the system.
    pub fn dir(&self) -> String {
        let Self {
            osname,
            checksum,
            serial,
        } = self;
        format!("ostree/deploy/{osname}/deploy/{checksum}.{serial}")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{}", self.osname, self.checksum, self.serial)
    }
}

/// Returns whether `text` is a complete ostree checksum: 64 lower-case hexadecimal digits.
pub fn is_checksum(text: &str) -> bool {
    text.len() == CHECKSUM_LEN && is_hex(text)
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "staged" => Ok(Self::Staged),
            "booted" => Ok(Self::Booted),
            "rollback" => Ok(Self::Rollback),
            _ if text.len() < PREFIX_MIN && !text.is_empty() => text
                .parse()
                .map(Self::Index)
                .map_err(|_| "expected an index, booted, rollback, staged, or at least 7 hexadecimal digits of a checksum"),
            _ if (PREFIX_MIN..=CHECKSUM_LEN).contains(&text.len()) && is_hex(text) => {
                Ok(Self::Checksum(text.to_owned()))
            }
            _ => Err("expected an index, booted, rollback, staged, or at least 7 hexadecimal digits of a checksum"),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Staged => f.write_str("staged"),
            Self::Booted => f.write_str("booted"),
            Self::Rollback => f.write_str("rollback"),
            Self::Index(index) => write!(f, "{index}"),
            Self::Checksum(checksum) => f.write_str(checksum),
        }
    }
}

impl Place {
    /// Returns the name of the place for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Pending => "pending",
            Self::Booted => "booted",
            Self::Rollback => "rollback",
            Self::Other => "other",
        }
    }
}

/// Sets each deployment's place. `deployments` are in the order of the boot loader's menu, without the staged one;
/// `booted` is the index of the running deployment, if there is one.
pub fn set_places(deployments: &mut [Deployment], booted: Option<usize>) {
    let os = booted.and_then(|at| deployments.get(at).map(|it| it.name.osname.clone()));
    let mut has_rollback = false;
    for (at, deployment) in deployments.iter_mut().enumerate() {
        let is_same_os = os.as_ref() == Some(&deployment.name.osname);
        deployment.place = match booted {
            Some(booted) if at == booted => Place::Booted,
            Some(booted) if at < booted && is_same_os => Place::Pending,
            Some(booted) if at > booted && is_same_os && !has_rollback => {
                has_rollback = true;
                Place::Rollback
            }
            _ => Place::Other,
        };
    }
}

/// Returns the deployment that `which` selects.
///
/// # Errors
/// When no deployment matches, or a checksum prefix matches several. The error is a sentence.
pub fn find<'d>(deployments: &'d [Deployment], which: &Which) -> Result<&'d Deployment, String> {
    let at = |place: Place| deployments.iter().find(|it| it.place == place);
    match which {
        Which::Staged => at(Place::Staged).ok_or_else(|| "no deployment is staged".to_owned()),
        Which::Booted => at(Place::Booted).ok_or_else(|| "no deployment is booted".to_owned()),
        Which::Rollback => {
            at(Place::Rollback).ok_or_else(|| "there is no rollback deployment".to_owned())
        }
        Which::Index(index) => deployments.get(*index).ok_or_else(|| {
            let count = deployments.len();
            format!(
                "there is no deployment {index}: there are {count}, and the first one has index 0"
            )
        }),
        Which::Checksum(prefix) => {
            let mut found = deployments
                .iter()
                .filter(|it| it.name.checksum.starts_with(prefix.as_str()));
            let first = found.next();
            let first = first.ok_or_else(|| format!("there is no deployment {prefix}"))?;
            if found.next().is_some() {
                return Err(format!(
                    "{prefix} names several deployments; use the index that `ostree admin status` shows"
                ));
            }
            Ok(first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(os: &str, digit: char) -> Deployment {
        let checksum = digit.to_string().repeat(CHECKSUM_LEN);
        Deployment {
            name: Name::new(os, &checksum, 0).unwrap(),
            bootcsum: checksum,
            place: Place::Other,
            kargs: None,
            overlays: Vec::new(),
            is_locked: false,
        }
    }

    #[test]
    fn names_stay_in_their_directory() {
        let checksum = "a".repeat(CHECKSUM_LEN);
        assert!(Name::new("fedora-coreos", &checksum, 1).is_some());
        for os in ["", ".", "..", "a/b", "a b", "a\n", "\0"] {
            assert_eq!(Name::new(os, &checksum, 0), None, "{os:?}");
        }
        for name in ["a.0", &format!("{checksum}.-1"), &checksum, "../x.0"] {
            assert_eq!(Name::parse("os", name), None, "{name}");
        }
        let upper = "A".repeat(CHECKSUM_LEN);
        assert_eq!(Name::new("os", &upper, 0), None);
    }

    #[test]
    fn deployments_are_selected_by_name() {
        let mut all = vec![
            deployment("os", 'a'),
            deployment("os", 'b'),
            deployment("x", 'c'),
            deployment("os", 'd'),
            deployment("os", 'd'),
        ];
        set_places(&mut all, Some(1));
        let places: Vec<_> = all.iter().map(|it| it.place).collect();
        let expected = [
            Place::Pending,
            Place::Booted,
            Place::Other,
            Place::Rollback,
            Place::Other,
        ];
        assert_eq!(places, expected);
        for (word, expected) in [
            ("booted", Ok('b')),
            ("rollback", Ok('d')),
            ("0", Ok('a')),
            ("5", Err("there are 5, and the first one has index 0")),
            ("ccccccc", Ok('c')),
            ("ddddddd", Err("several")),
            ("eeeeeee", Err("no deployment eeeeeee")),
            ("staged", Err("no deployment is staged")),
        ] {
            let which: Which = word.parse().unwrap();
            assert_eq!(which.to_string(), word);
            match (find(&all, &which), expected) {
                (Ok(found), Ok(digit)) => assert!(found.name.checksum.starts_with(digit)),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                (found, _) => panic!("{word}: {found:?}"),
            }
        }
        for word in ["", "-1", "x", "latest", "ABCDEF01", "zzzzzzz"] {
            assert!(word.parse::<Which>().is_err(), "{word}");
        }
    }
}
