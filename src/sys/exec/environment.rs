// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment of programs: an allow-list, so that no variable that changes a program can leak in.

use std::ffi::OsString;

use super::PATH;

/// Variables of the caller that reach a child: proxies, the container marker that rpm-ostree looks
/// at, and the reproducible-build clock. Everything else is dropped.
const PASSED: [&str; 11] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "container",
    "SOURCE_DATE_EPOCH",
];

/// The environment of every program.
pub(super) fn environment() -> Vec<(&'static str, OsString)> {
    let ours = [("PATH", PATH), ("HOME", "/"), ("LC_ALL", "C.UTF-8")];
    let ours = ours.map(|(name, value)| (name, value.into()));
    let passed = PASSED.into_iter();
    let passed = passed.filter_map(|name| Some((name, std::env::var_os(name)?)));
    ours.into_iter().chain(passed).collect()
}
