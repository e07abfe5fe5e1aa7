// SPDX-License-Identifier: MIT OR Apache-2.0
//! The key: a digest of all that dracut could have taken. dracut's modules ask for programs that are absent, so what it took
//! the last time says nothing of what it would take now.
//!
//! In it are
//!
//! - `/usr` and `/etc` whole, and `/boot`, `/opt`, `/run/initramfs`: of every file the bytes, of every link the target and
//!   what it leads to, as `/usr/local` does into `/var`, of everything the name, mode, owner and time. The kernel's directory
//!   is in there, after depmod, and so are dracut, its modules and configuration, the firmware, the dynamic linker's cache.
//!   Extended attributes are not: dracut is told to copy none, and a cpio archive has none. Times count as dracut writes them
//!   with `--reproducible`: what is newer than its own functions has their time.
//! - paths elsewhere that an argument of dracut's names, and what lies there;
//! - the digests of the headers of all installed packages, in place of the rpmdb;
//! - the command line, its environment, and with which privileges, umask and name space of users it runs;
//! - our version, since we add a segment, and the architecture.
//!
//! The bytes of packaged files are read, too: the rpmdb knows what a file was, not what `RUN sed -i` made of it, and neither
//! size nor time are proof of anything. With SHA instructions and files that are in memory it costs some 0.3 s of processor
//! time for the 380 MB in 8,900 names of the test bed, or 0.8 s for a gigabyte, shared by the processors there are. A whole
//! `rebuild` that takes its initramfs from the cache cost 1.5 s there, of which depmod had 0.9 s; one that runs dracut 9.2 s.
//!
//! Not in it are the rest of `/var`, `/root`, `/srv`, `/home` and mounts such as `/ctx`, which are full of logs and times; files that
//! the build's engine mounts over `/etc/hosts` and its like; the machine's own `/proc` and `/sys`, which dracut looks at for
//! `--hostonly` only. An initramfs that holds a file of such a place under its own name is not kept. A dracut.conf, or a dracut module,
//! that takes from there under another name, from the network or from the clock is beyond any key: `--prove` finds it.

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use super::tree;
use crate::sys::exec::{Cmd, Exec, given};
use crate::tools::{cliwrap, rpm};

/// What a key is made of, and how an entry looks. It grows by one when either changes.
const FORMAT: u32 = 1;

/// The name of an initramfs in the cache: a SHA-256, hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

/// What is asked of dracut.
pub struct Inputs<'a> {
    /// Its command line.
    pub dracut: &'a Cmd,
    /// What of it the user put after `--`.
    pub extra: &'a [String],
}

impl Key {
    /// The key of what dracut would make now.
    ///
    /// # Errors
    /// When the tree cannot be read or rpm cannot be asked; when we are to stop.
    pub fn new(exec: &Exec, inputs: &Inputs) -> Result<Self> {
        if let Some(argument) = inputs.extra.iter().find(|it| is_hostonly(it)) {
            bail!("with {argument} dracut looks at this machine, which is in no key");
        }
        let root = exec.root();
        let named = named(inputs.extra);
        let rpm = cliwrap::real(root, "rpm")?;
        let (packages, tree) = std::thread::scope(|scope| {
            let tree = scope.spawn(|| tree::digest(root, &named));
            let packages = rpm::Database::open(exec, &rpm).digests();
            (packages, tree.join())
        });
        let tree = tree.map_err(|_| anyhow!("the thread that reads the tree has panicked"))?;
        let tree = tree.context("reading what dracut could take")?;
        let packages = packages.context("asking the rpmdb for its packages")?;
        let given = given(inputs.dracut)?;
        let (version, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
        let text = format!("ostree-kernel {version} {arch}, key {FORMAT}\n{given}");
        let mut sha256 = Sha256::new();
        for part in [text.as_bytes(), packages.join("\n").as_bytes(), &tree] {
            sha256.update((part.len() as u64).to_le_bytes());
            sha256.update(part);
        }
        Ok(Self(hex::encode(sha256.finalize())))
    }

    /// Its 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of them for people to tell two keys apart.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }

    /// Whether a text could be one.
    pub fn is_one(text: &str) -> bool {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == 64 && text.bytes().all(is_digit)
    }
}

/// Whether an argument is `--hostonly`, one of its kin, or `-H`, maybe among other letters.
fn is_hostonly(argument: &str) -> bool {
    match argument.strip_prefix('-') {
        Some(name) if name.starts_with('-') => name.starts_with("-host"),
        Some(letters) => letters.contains('H'),
        None => false,
    }
}

/// The words of dracut's arguments that may be paths: what stands behind `--include`, and every word with a slash.
fn named(extra: &[String]) -> Vec<String> {
    let included = extra.windows(2);
    let included = included.filter(|pair| matches!(pair[0].as_str(), "-i" | "--include"));
    let included = included.map(|pair| pair[1].clone());
    let words = extra.iter().flat_map(|argument| {
        argument.split(|letter: char| letter.is_whitespace() || "=:,\"'".contains(letter))
    });
    let words = words.filter(|word| word.contains('/')).map(str::to_owned);
    included.chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arguments_name() {
        let words = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
        for (arguments, expected) in [
            ("--add|multipath", ""),
            ("--include|ctx|/x", "ctx|/x"),
            ("-i|/ctx/a b|/", "/ctx/a b|/ctx/a|/"),
            ("--install=/srv/a /srv/b", "/srv/a|/srv/b"),
            ("--fwdir|/ctx/one:/ctx/two", "/ctx/one|/ctx/two"),
        ] {
            let expected = words(expected);
            let expected: Vec<_> = expected.into_iter().filter(|it| !it.is_empty()).collect();
            assert_eq!(named(&words(arguments)), expected, "{arguments}");
        }
    }

    #[test]
    fn what_makes_dracut_look_at_the_machine() {
        for (argument, expected) in [
            ("--hostonly", true),
            ("--hostonly-cmdline", true),
            ("--host", true),
            ("-H", true),
            ("-vH", true),
            ("--no-hostonly", false),
            ("H", false),
            ("-v", false),
        ] {
            assert_eq!(is_hostonly(argument), expected, "{argument}");
        }
    }

    #[test]
    fn keys_are_known_by_their_looks() {
        assert!(Key::is_one(&"0f".repeat(32)));
        for other in ["", "../../etc/passwd", &"0F".repeat(32), &"0".repeat(63)] {
            assert!(!Key::is_one(other), "{other}");
        }
    }
}
