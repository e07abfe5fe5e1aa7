// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of services in an image that has some of the files that the settings name.

use super::super::condition::Conditions;
use super::{ServiceContext, Work};
use crate::initramfs::testing::{dir, inventory, item};
use crate::initramfs::{Facts, Inventory};

fn image() -> Inventory {
    let items = [
        dir("etc"),
        item(
            "etc/passwd",
            0o100_644,
            b"root:x:0:0::/root:\nrpc:x:32:32::/:\n",
        ),
        item("etc/group", 0o100_644, b"root:x:0:\nrpc:x:32:\n"),
        item("etc/env", 0o100_644, b"A=b\n"),
    ];
    inventory(&items)
}

#[test]
fn settings_that_prevent_the_work() {
    let inventory = image();
    let conditions = Conditions::new(&inventory, &Facts::default());
    let obstacle = |lines: &str, work| {
        let mut context = ServiceContext::default();
        for (key, value) in lines.lines().filter_map(|line| line.split_once('=')) {
            context.apply(key.as_bytes(), value.as_bytes(), b"x");
        }
        let found = context.obstacle(b"a.service", work, &inventory, &conditions);
        found.map(|(line, _, why)| format!("{line}, {why}"))
    };
    for (lines, expected) in [
        (
            "User=gone",
            Some("User=gone, which etc/passwd does not have"),
        ),
        ("User=rpc", None),
        ("DynamicUser=yes\nUser=gone\nGroup=gone", None),
        (
            "DynamicUser=no\nUser=gone",
            Some("User=gone, which etc/passwd does not have"),
        ),
        ("User=gone\nUser=", None),
        ("User=gone\nUser=root", None),
        ("User=1000", None),
        (
            "SupplementaryGroups=rpc gone",
            Some("SupplementaryGroups=rpc gone, which etc/group does not have"),
        ),
        (
            "EnvironmentFile=/etc/gone",
            Some("EnvironmentFile=/etc/gone, /etc/gone, which does not exist"),
        ),
        ("EnvironmentFile=-/etc/gone\nEnvironmentFile=/etc/env", None),
        ("EnvironmentFile=/run/x", None),
        (
            "WorkingDirectory=/etc/env",
            Some("WorkingDirectory=/etc/env, /etc/env, which does not exist"),
        ),
        ("WorkingDirectory=/etc", None),
        (
            "ReadOnlyPaths=/etc -/gone /also",
            Some("ReadOnlyPaths=/etc -/gone /also, /also, which does not exist"),
        ),
        (
            "LoadCredential=a:/etc/gone",
            Some("LoadCredential=a:/etc/gone, /etc/gone, which does not exist"),
        ),
        ("LoadCredential=a:/etc/gone\nSetCredential=a:b", None),
        ("LoadCredential=a", None),
        (
            "PAMName=login",
            Some("PAMName=login, a PAM service without a file in pam.d"),
        ),
        ("PrivateMounts=yes", None),
    ] {
        assert_eq!(obstacle(lines, Work::Any).as_deref(), expected, "{lines}");
    }
    for (lines, work, is_bad) in [
        ("User=rpc", Work::Any, false),
        ("User=rpc", Work::Privileged, true),
        ("User=root", Work::Mounts, false),
        ("PrivateMounts=yes", Work::Privileged, false),
        ("PrivateMounts=yes", Work::Mounts, true),
        ("PrivateMounts=no\nProtectSystem=false", Work::Mounts, false),
        ("ProtectSystem=strict", Work::Mounts, true),
        ("ReadWritePaths=/etc", Work::Mounts, true),
        ("CapabilityBoundingSet=CAP_NET_ADMIN", Work::Mounts, true),
        ("CapabilityBoundingSet=CAP_SYS_ADMIN", Work::Mounts, false),
        ("CapabilityBoundingSet=~CAP_SYS_TIME", Work::Mounts, false),
        ("CapabilityBoundingSet=~cap_sys_admin", Work::Mounts, true),
    ] {
        assert_eq!(obstacle(lines, work).is_some(), is_bad, "{lines}");
    }
}
