// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses `/run/ostree/staged-deployment`, which ostree writes when it stages a deployment (`ostree-sysroot-deploy.c`).

use super::deployment::{Deployment, Name, Place, is_checksum};
use super::variant::Dict;

/// The path of the file, relative to the root.
pub const PATH: &str = "run/ostree/staged-deployment";

/// The path, relative to the root, of the lock file. While this file exists, ostree does not finalise the staged
/// deployment.
pub const LOCK: &str = "run/ostree/staged-deployment-locked";

/// The directory of additional initramfs files of a staged deployment, relative to the root.
pub const OVERLAYS: &str = "run/ostree/staged-initrds";

/// The file that bootc writes when its composefs backend stages a deployment, relative to the root.
pub const COMPOSEFS: &str = "run/composefs/staged-deployment";

/// The lengths of a deployment's identifier in bootc's composefs backend (hexadecimal digits): that of SHA-512 and that
/// of SHA-256.
const COMPOSEFS_ID: [usize; 2] = [128, 64];

/// Describes a staged deployment of bootc's composefs backend for a message. `bytes` is the content of [`COMPOSEFS`]
/// (`StagedDeployment` in bootc).
pub fn describe_composefs(bytes: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let id = json["depl_id"].as_str().unwrap_or_default();
    let is_id = COMPOSEFS_ID.contains(&id.len()) && id.bytes().all(|it| it.is_ascii_hexdigit());
    let name = if is_id {
        &id[..12]
    } else {
        "without a valid depl_id"
    };
    let lock = match json["finalization_locked"].as_bool() {
        Some(true) => "its finalisation is locked",
        Some(false) => "its finalisation is not locked",
        None => "the state of its lock is not known",
    };
    format!("deployment {name}, {lock}")
}

/// A staged deployment and its merge deployment. The merge deployment supplies `/etc` and, if ostree's file has no
/// kernel arguments, also these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The staged deployment.
    pub target: Deployment,
    /// The merge deployment, if there is one.
    pub merge: Option<Name>,
}

/// Parses the file; `Ok(None)` if it names no deployment.
///
/// # Errors
/// When the file is not as ostree writes it. The error describes the fault.
pub fn parse(bytes: &[u8]) -> Result<Option<Staged>, &'static str> {
    let dict = Dict::parse(bytes).ok_or("expected a GVariant of the type a{sv}")?;
    let Some(target) = dict.dict("target") else {
        return Ok(None);
    };
    let bootcsum = target.string("bootcsum").filter(|it| is_checksum(it));
    let overlays = dict.strings("overlay-initrds").unwrap_or_default();
    if !overlays.iter().all(|it| is_checksum(it)) {
        return Err("overlay-initrds has an entry that is not a checksum");
    }
    let kargs = dict.strings("kargs");
    let target = Deployment {
        name: name(&target).ok_or("target has no valid name and osname")?,
        bootcsum: bootcsum.ok_or("target has no valid bootcsum")?.to_owned(),
        place: Place::Staged,
        kargs: kargs.map(|kargs| kargs.into_iter().map(str::to_owned).collect()),
        overlays: overlays.into_iter().map(str::to_owned).collect(),
        is_locked: dict.boolean("locked") == Some(true),
    };
    Ok(Some(Staged {
        target,
        merge: dict.dict("merge-deployment").and_then(|it| name(&it)),
    }))
}

fn name(dict: &Dict) -> Option<Name> {
    Name::parse(dict.string("osname")?, dict.string("name")?)
}

#[cfg(test)]
mod tests {
    use super::super::variant::testing::{array, entry, string, strings};
    use super::*;

    fn deployment(os: &str, name: &str, bootcsum: &str) -> Vec<u8> {
        array(
            &[
                string("name", name),
                string("osname", os),
                string("bootcsum", bootcsum),
            ],
            8,
        )
    }

    #[test]
    fn a_staged_deployment() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let file = array(
            &[
                entry("target", "a{sv}", &deployment("os", &format!("{a}.1"), &b)),
                entry("locked", "b", &[1]),
                entry(
                    "merge-deployment",
                    "a{sv}",
                    &deployment("os", &format!("{b}.0"), &b),
                ),
                strings("kargs", &["root=UUID=1", "quiet"]),
                strings("overlay-initrds", &[&a]),
            ],
            8,
        );
        let staged = parse(&file).unwrap().unwrap();
        assert_eq!(
            staged.target.name.dir(),
            format!("ostree/deploy/os/deploy/{a}.1")
        );
        assert_eq!(staged.target.kargs.unwrap(), ["root=UUID=1", "quiet"]);
        assert_eq!(staged.target.overlays, [a]);
        assert!(staged.target.is_locked);
        assert_eq!(staged.merge.unwrap().checksum, b);
    }

    /// bootc writes canonical JSON. `depl_id` is the digest of the deployment's EROFS image.
    #[test]
    fn staged_by_bootc_with_composefs() {
        let id = "6f".repeat(64);
        let file = |lock: bool| format!("{{\"depl_id\":\"{id}\",\"finalization_locked\":{lock}}}");
        let describe = |text: &str| describe_composefs(text.as_bytes());
        assert_eq!(
            describe(&file(false)),
            "deployment 6f6f6f6f6f6f, its finalisation is not locked"
        );
        assert!(describe(&file(true)).ends_with("its finalisation is locked"));
        for text in ["", "[]", "{\"depl_id\":\"../\\u001b\"}", "{\"depl_id\":7}"] {
            assert_eq!(
                describe(text),
                "deployment without a valid depl_id, the state of its lock is not known"
            );
        }
    }

    #[test]
    fn files_that_lead_elsewhere() {
        let sum = "a".repeat(64);
        let name = format!("{sum}.0");
        let target = |os: &str, name: &str, bootcsum: &str, overlays: &[&str]| {
            let target = entry("target", "a{sv}", &deployment(os, name, bootcsum));
            parse(&array(&[target, strings("overlay-initrds", overlays)], 8))
        };
        assert!(target("os", &name, &sum, &[]).unwrap().is_some());
        assert!(target("..", &name, &sum, &[]).is_err());
        assert!(target("os", "../../etc.0", &sum, &[]).is_err());
        assert!(target("os", &name, "../x", &[]).is_err());
        assert!(target("os", &name, &sum, &["../../etc/shadow"]).is_err());
        assert!(parse(b"{}").is_err());
        // An empty dictionary, without a target: only a soft reboot is prepared, and no deployment is staged.
        assert_eq!(parse(b""), Ok(None));
    }
}
