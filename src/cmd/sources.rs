// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options of `replace` that name the packages and the trusted keys.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::package::signature::Signature;
use crate::plan::pin;
use crate::plan::{PackageOrigin, Source};
use crate::steps::resolve::SourceRequest;
use crate::sys::exec::quote;

/// Options that name packages, trusted keys and the cache for downloads.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sources")]
pub struct Sources {
    /// RPM file, directory of RPMs, or URL of an RPM (http, https, file). Append
    /// #sha256=HEX to a file or a URL to require this digest
    #[arg(
        value_name = "SOURCE",
        required = true,
        help_heading = "Arguments",
        display_order = 0
    )]
    pub sources: Vec<String>,
    /// Download the packages named by SOURCE and their requirements with dnf from
    /// REPO, a repository of the image that need not be enabled
    #[arg(long, value_name = "REPO")]
    pub from: Option<String>,
    /// Fail if a download is larger than SIZE (bytes, or with K, M, G)
    #[arg(long, conflicts_with = "from", value_name = "SIZE", default_value = "1G", value_parser = size)]
    pub max_size: u64,
    /// Keep downloads in DIR; mount a cache there to share them between builds
    #[arg(long, value_name = "DIR", default_value = "/var/cache/ostree-kernel")]
    pub cache_dir: PathBuf,
    /// Require that each package file has the digest listed in FILE (output of
    /// sha256sum)
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    pub sha256sums: Option<PathBuf>,
    /// Trust the public keys in FILE, besides those in /etc/pki/rpm-gpg
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    pub gpg_key: Vec<PathBuf>,
    /// Require a good signature, also of local and pinned packages
    #[arg(long, conflicts_with = "allow_unsigned", help_heading = "Trust")]
    pub require_signature: bool,
    /// Accept packages without a signature, or signed by an unknown or untrusted key
    #[arg(long, help_heading = "Trust")]
    pub allow_unsigned: bool,
}

impl Sources {
    /// Returns the request for [`crate::steps::resolve`].
    pub fn request(&self) -> SourceRequest<'_> {
        SourceRequest {
            sources: &self.sources,
            from: self.from.as_deref(),
            sums: self.sha256sums.as_deref(),
            keys: &self.gpg_key,
            cache: &self.cache_dir,
            max_size: self.max_size,
        }
    }
}

/// Describes the number of packages, and how many of them have a good signature.
pub fn summary(sources: &[Source]) -> String {
    let is_good = |source: &&Source| matches!(source.package.signature, Signature::Good(_));
    let signed = sources.iter().filter(is_good).count();
    format!("{} packages, {signed} with a good signature", sources.len())
}

/// Returns the command line of this run, with each package's digest appended to its URL.
pub fn pinned_command(sources: &[Source]) -> String {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "kernel") {
        words.remove(0);
    }
    let pinned = words.into_iter().map(|mut word| {
        let is_it =
            |source: &&Source| source.from == PackageOrigin::Url && word == source.origin.as_str();
        if let Some(source) = sources.iter().find(is_it) {
            word.push(pin::MARK);
            word.push(&source.sha256);
        }
        word
    });
    pinned.fold("ostree-kernel".to_owned(), |line, word| {
        line + " " + &quote(&word)
    })
}

/// Parses a size such as `500M` into bytes. K, M and G are powers of 1024; 0 is an error.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => 0,
    };
    let number = digits.parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a number of bytes, with or without K, M or G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("1"), Ok(1));
        assert_eq!(size("2K"), Ok(2048));
        assert_eq!(size("500M"), Ok(500 << 20));
        assert_eq!(size("4G"), Ok(4 << 30));
        for bad in ["", "0", "G", "1KK", "-1", "1.5G", "99999999999G", "1g"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
