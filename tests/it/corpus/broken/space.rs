// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels and initramfs images that do not fit into the size of /boot or the ESP that the user states.

use super::super::case::Case;
use super::super::products::Base::TrixieSlim;
use super::broken;

pub fn cases() -> Vec<Case> {
    let space = [
        (
            "boot-too-small",
            "--boot-size=32M",
            "coreos/fedora-coreos-tracker#1465",
        ),
        (
            "boot-of-one-deployment",
            "--boot-size=64M",
            "coreos/fedora-coreos-tracker#2138",
        ),
        ("esp-too-small", "--esp-size=48M", "bootc-dev/bootc#2132"),
    ];
    let case = |(name, option, comes_of): (&'static str, &'static str, &'static str)| {
        broken(name, TrixieSlim, comes_of, &["boot-space"], move |draft| {
            draft.args.push(option.to_owned());
        })
    };
    space.map(case).into()
}
