// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment of programs, and all else that they get of us beside their arguments.

use std::ffi::OsString;
use std::fmt::Write;

use anyhow::{Context, Result};

use super::cmd::UMASK;
use super::{Cmd, PATH, quote};

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

/// The lines of `/proc/self/status` that are part of [`given`]: the user and the privileges, which programs inherit.
const STATUS: [&str; 3] = ["Uid:", "Gid:", "CapEff:"];

/// The environment of every program.
pub(super) fn environment() -> Vec<(&'static str, OsString)> {
    let ours = [("PATH", PATH), ("HOME", "/"), ("LC_ALL", "C.UTF-8")];
    let ours = ours.map(|(name, value)| (name, value.into()));
    let passed = PASSED.into_iter();
    let passed = passed.filter_map(|name| Some((name, std::env::var_os(name)?)));
    ours.into_iter().chain(passed).collect()
}

/// Returns all that a program gets of us, as text: its command line, environment, user, privileges, umask and user
/// namespace. Equal texts mean that it gets the same.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn given(cmd: &Cmd) -> Result<String> {
    let mut text = format!("{cmd}\numask={UMASK:o}\nprivileged={}\n", cmd.is_privileged);
    for (name, value) in environment() {
        writeln!(text, "{name}={}", quote(&value))?;
    }
    let read = |name: &str| {
        let file = format!("/proc/self/{name}");
        fs_err::read_to_string(file).context("asking what a program may do")
    };
    for line in read("status")?.lines() {
        if STATUS.iter().any(|name| line.starts_with(name)) {
            writeln!(text, "{line}")?;
        }
    }
    // Whether device nodes can be made is a matter of it, whatever the capabilities.
    Ok(text + &read("uid_map")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_what_a_program_could_tell() {
        let given = |cmd: &Cmd| given(cmd).unwrap();
        let cmd = Cmd::new("dracut").arg("-f");
        let text = given(&cmd);
        assert_eq!(text, given(&cmd));
        assert_ne!(text, given(&cmd.clone().arg("x")));
        assert_ne!(text, given(&cmd.clone().privileged()));
        assert_ne!(text, given(&cmd.env("DRACUT_NO_XATTR", "1")));
        for part in [
            "dracut -f\n",
            "\nHOME=/\n",
            "\nUid:\t",
            "\nCapEff:\t",
            "\numask=22\n",
            "\nprivileged=false\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
