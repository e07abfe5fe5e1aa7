// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads `vmlinuz`: its release and its signature, and the HMAC next to it.

use std::fs::File;

use crate::checks::{Hmac, NoRelease};
use crate::kernel::hmac::{self, HMAC_MAX, parts};
use crate::kernel::kver::Kver;
use crate::kernel::vmlinuz;
use crate::site;
use crate::sys::root::Root;

/// Facts about `vmlinuz`, and the HMAC file next to it.
pub(super) struct Vmlinuz {
    /// The release in its header, or the reason why the release is not known.
    pub(super) release: Result<vmlinuz::Release, NoRelease>,
    /// Whether it is signed.
    pub(super) signed: Result<bool, String>,
    /// The content of the HMAC file next to it. `actual` is not computed yet; see [`add_digest`].
    pub(super) hmac: Hmac,
}

/// Opens the kernel's file, or returns the reason why it cannot be read.
pub(super) fn open(root: &Root, kver: &Kver) -> Result<File, String> {
    site::vmlinuz::open(root, &format!("{}/vmlinuz", kver.dir()))
}

pub(super) fn read(root: &Root, kver: &Kver) -> Vmlinuz {
    match open(root, kver) {
        Ok(file) => read_open(root, kver, file),
        Err(why) => unread(why),
    }
}

fn read_open(root: &Root, kver: &Kver, mut file: File) -> Vmlinuz {
    let release = vmlinuz::release_from(&mut file).map_err(|error| NoRelease {
        why: error.to_string(),
        damaged: error.is_damage(),
    });
    let signed = vmlinuz::is_signed_from(&mut file).map_err(|error| error.to_string());
    Vmlinuz {
        release,
        signed,
        hmac: read_hmac(root, kver),
    }
}

fn unread(why: String) -> Vmlinuz {
    Vmlinuz {
        release: Err(NoRelease {
            why: why.clone(),
            damaged: false,
        }),
        signed: Err(why.clone()),
        hmac: Hmac::Unread(why),
    }
}

fn read_hmac(root: &Root, kver: &Kver) -> Hmac {
    let line = match root.read(format!("{}/.vmlinuz.hmac", kver.dir()), HMAC_MAX) {
        Ok(Some(line)) => line,
        Ok(None) => return Hmac::Missing,
        Err(error) => return Hmac::Unread(super::why(&error)),
    };
    let line = String::from_utf8_lossy(&line);
    if line.trim_ascii().is_empty() {
        return Hmac::Empty;
    }
    let (digest, names) = parts(&line);
    Hmac::Read {
        digest: digest.to_owned(),
        names: names.to_owned(),
        actual: None,
    }
}

/// Computes the HMAC of `vmlinuz` and adds it to `hmac`, for comparison with the content of the HMAC file.
pub(super) fn add_digest(hmac: &mut Hmac, root: &Root, kver: &Kver) {
    let Hmac::Read { actual, .. } = hmac else {
        return;
    };
    let digest = open(root, kver)
        .and_then(|mut file| hmac::digest(&mut file).map_err(|error| error.to_string()));
    match digest {
        Ok(digest) => *actual = Some(digest),
        Err(why) => *hmac = Hmac::Unread(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::vmlinuz::VMLINUZ_MAX;

    #[test]
    fn a_kernel_has_a_bounded_size() {
        let dir = tempfile::tempdir().unwrap();
        let kver = Kver::new("6.9.4").unwrap();
        let place = dir.path().join(kver.dir());
        fs_err::create_dir_all(&place).unwrap();
        let file = fs_err::File::create(place.join("vmlinuz")).unwrap();
        file.file().set_len(VMLINUZ_MAX + 1).unwrap();
        let read = read(&Root::open(dir.path()).unwrap(), &kver);
        let expected = "it has 536870913 bytes, at most 536870912 are read";
        assert_eq!(read.release.unwrap_err().why, expected);
    }
}
