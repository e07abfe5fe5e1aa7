// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where packages come from and whom they are taken from: options of `replace`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::package::signature::Signature;
use crate::plan::pin;
use crate::plan::{Origin, Source};
use crate::steps::resolve::Request;
use crate::sys::exec::quote;

/// Options that say what is taken, and from whom.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sources")]
pub struct Sources {
    /// An RPM file, a directory of RPMs, or the URL of an RPM (http, https,
    /// file). #sha256=HEX behind a file or a URL: exactly these bytes
    #[arg(
        value_name = "SOURCE",
        required = true,
        help_heading = "Arguments",
        display_order = 0
    )]
    pub sources: Vec<String>,
    /// Take the SOURCEs, which are package names then, and what they require
    /// from REPO, a repository of the image that need not be enabled; needs dnf
    #[arg(long, value_name = "REPO")]
    pub from: Option<String>,
    /// Give a download up that is larger (bytes, or with K, M, G)
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    pub max_size: u64,
    /// Take each source only with the digest that sha256sum wrote to FILE
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    pub sha256sums: Option<PathBuf>,
    /// Trust the public key in FILE, beside those of /etc/pki/rpm-gpg
    #[arg(long, value_name = "FILE", help_heading = "Trust")]
    pub gpg_key: Vec<PathBuf>,
    /// Refuse packages without a good signature, local and pinned ones too
    #[arg(long, conflicts_with = "allow_unsigned", help_heading = "Trust")]
    pub require_signature: bool,
    /// Accept packages without a signature, or with that of an unknown key
    #[arg(long, help_heading = "Trust")]
    pub allow_unsigned: bool,
}

impl Sources {
    /// What [`crate::steps::resolve`] is asked for, with a directory for downloads.
    pub fn request<'a>(&'a self, cache: &'a Path) -> Request<'a> {
        Request {
            sources: &self.sources,
            from: self.from.as_deref(),
            sums: self.sha256sums.as_deref(),
            keys: &self.gpg_key,
            cache,
            max_size: self.max_size,
        }
    }
}

/// How many, and how many of them are signed by a key that is known.
pub fn summary(sources: &[Source]) -> String {
    let is_good = |source: &&Source| matches!(source.package.signature, Signature::Good(_));
    let signed = sources.iter().filter(is_good).count();
    format!("{} packages, {signed} with a good signature", sources.len())
}

/// The command line of this run, with the digests of the bytes that came from URLs.
pub fn pinned_command(sources: &[Source]) -> String {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "kernel") {
        words.remove(0);
    }
    let pinned = words.into_iter().map(|mut word| {
        let is_it = |source: &&Source| source.from == Origin::Url && word == source.origin.as_str();
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

/// `500M` as bytes.
fn size(text: &str) -> Result<u64, String> {
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
        .ok_or_else(|| "expected a number of bytes, or one with K, M or G behind it".to_owned())
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
