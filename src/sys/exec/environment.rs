// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment of child processes: an allow-list, so that no other variable of the caller changes a program's
//! behaviour.

use std::ffi::OsString;

use super::PATH;

/// The caller's variables that are passed on: the proxies, `container` (rpm-ostree reads it to detect a container), and
/// the timestamp of reproducible builds.
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

/// Returns the environment of a program, without the variables of its command line.
pub(super) fn environment() -> Vec<(&'static str, OsString)> {
    let ours = [("PATH", PATH), ("HOME", "/"), ("LC_ALL", "C.UTF-8")];
    let ours = ours.map(|(name, value)| (name, value.into()));
    let passed = PASSED.into_iter();
    let passed = passed.filter_map(|name| Some((name, std::env::var_os(name)?)));
    ours.into_iter().chain(passed).collect()
}
