// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file `.vmlinuz.hmac`, with which a system in FIPS mode verifies its kernel early in the boot.
//!
//! ostree installs the kernel and this file into one directory, as `vmlinuz-KVER` and `.vmlinuz-KVER.hmac`
//! (`ostree-sysroot-deploy.c`). At boot, dracut's `fips.sh` runs `sha512hmac -c` in that directory. `sha512hmac` uses
//! the name in the file literally (libkcapi's `kcapi-hasher.c`): it skips two characters after the digest, and takes
//! the rest of the line as a path relative to the directory.

use std::io::{self, Read, Seek};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;

use super::kver::Kver;

/// Upper bound of the size of `.vmlinuz.hmac` (bytes). A valid file has one line.
pub const HMAC_MAX: u64 = 4096;

/// The HMAC key of `sha512hmac`, the same in libkcapi and in hmaccalc.
const KEY: &[u8] = b"FIPS-FTW-RHEL2009";

/// Number of bytes that are read at a time.
const STEP: usize = 64 << 10;

/// Splits a line, without the whitespace at its end, at its first whitespace into the digest and the rest. In a valid
/// line, the rest is two separator characters and a file name. The digest or the rest can be empty.
pub fn parts(line: &str) -> (&str, &str) {
    let line = line.trim_ascii_end();
    let is_blank = |it: char| it.is_ascii_whitespace();
    line.split_at(line.find(is_blank).unwrap_or(line.len()))
}

/// Returns the file name under which ostree installs the kernel, `vmlinuz-KVER`.
pub fn name(kver: &Kver) -> String {
    format!("vmlinuz-{kver}")
}

/// Returns whether `rest`, the text after the digest, is two separator characters and the kernel's file name from
/// [`name`].
pub fn is_named(rest: &str, kver: &Kver) -> bool {
    let found = rest.strip_prefix("  ").or(rest.strip_prefix(" *"));
    found == Some(&name(kver))
}

/// Returns the line that `sha512hmac` prints for the kernel with its file name from [`name`], with the newline.
pub fn line(digest: &str, kver: &Kver) -> String {
    format!("{digest}  {}\n", name(kver))
}

/// Returns the corrected line if `text` is one line that names the kernel in another way than [`is_named`] accepts, for
/// example with a directory or as `vmlinuz`. Returns `None` if the name is right, if it is that of another file, or if
/// `text` is not one line of `sha512hmac`.
pub fn renamed(text: &str, kver: &Kver) -> Option<String> {
    let (digest, rest) = parts(text);
    let path = rest.trim_start_matches([' ', '*']);
    let is_kernel = |file: &str| file == "vmlinuz" || file == name(kver);
    let is_ours = is_kernel(path.rsplit('/').next()?) && !path.contains(char::is_whitespace);
    (is_ours && !is_named(rest, kver)).then(|| line(digest, kver))
}

/// Returns the HMAC-SHA512 (RFC 2104) of all of `data` in hexadecimal, as `sha512hmac` prints it.
///
/// # Errors
/// When `data` cannot be rewound or read.
pub fn digest(data: &mut (impl Read + Seek)) -> io::Result<String> {
    let mut hmac = Hmac::<Sha512>::new_from_slice(KEY).map_err(io::Error::other)?;
    data.rewind()?;
    let mut buffer = vec![0; STEP];
    loop {
        match data.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(hmac.finalize().into_bytes())),
            Ok(count) => hmac.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_beside_ostrees_kernel() {
        let kver = Kver::new("6.9").unwrap();
        let table = [
            ("ab12  vmlinuz-6.9\n", true, None),
            ("ab12 *vmlinuz-6.9", true, None),
            ("ab12 vmlinuz-6.9", false, Some("ab12  vmlinuz-6.9\n")),
            (
                "ab12  /boot/vmlinuz-6.9\n",
                false,
                Some("ab12  vmlinuz-6.9\n"),
            ),
            (
                "ab12 */boot/vmlinuz-6.9",
                false,
                Some("ab12  vmlinuz-6.9\n"),
            ),
            (
                "ab12  lib/modules/6.9/vmlinuz\n",
                false,
                Some("ab12  vmlinuz-6.9\n"),
            ),
            ("ab12  vmlinuz\n", false, Some("ab12  vmlinuz-6.9\n")),
            ("ab12  vmlinuz-6.8\n", false, None),
            ("ab12  /boot/\n", false, None),
            ("ab12  /boot/a b\n", false, None),
            ("ab12  a /boot/vmlinuz-6.9\n", false, None),
            (
                "ab12  /boot/vmlinuz-6.9\ncd34  /boot/vmlinuz-6.9\n",
                false,
                None,
            ),
            ("/boot/vmlinuz-6.9", false, None),
            ("", false, None),
        ];
        for (text, named, expected) in table {
            assert_eq!(is_named(parts(text).1, &kver), named, "{text:?}");
            assert_eq!(renamed(text, &kver).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn an_hmac_is_that_of_openssl() {
        // printf abc | openssl dgst -sha512 -hmac FIPS-FTW-RHEL2009
        let expected = "fe02997f10bdc4b396ec5ed5e7eb072c4fb93f435374221732c4ad77d7149c98aa359f656cf5602fe935598c50b3568edd3cbce4c92afe65fde6a87a247bb648";
        let found = digest(&mut io::Cursor::new(b"abc")).unwrap();
        assert_eq!(found, expected);
    }
}
