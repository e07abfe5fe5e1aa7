// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.vmlinuz.hmac`, by which a system in FIPS mode checks its kernel early in the boot.
//!
//! ostree puts the kernel and this file into one directory, as `vmlinuz-KVER` and
//! `.vmlinuz-KVER.hmac` (`ostree-sysroot-deploy.c`). There dracut's `fips.sh` runs `sha512hmac -c`,
//! which takes the name in the file as it is (libkcapi's `kcapi-hasher.c`): two characters after
//! the digest, and for a file of the directory.

use super::kver::Kver;

/// The digest, and what follows it: two separators and a name. Either may be empty.
pub fn parts(line: &str) -> (&str, &str) {
    let line = line.trim_ascii_end();
    let is_blank = |it: char| it.is_ascii_whitespace();
    line.split_at(line.find(is_blank).unwrap_or(line.len()))
}

/// The name of the kernel, where ostree puts it.
pub fn name(kver: &Kver) -> String {
    format!("vmlinuz-{kver}")
}

/// Whether what follows the digest names the kernel, where ostree puts it.
pub fn is_named(rest: &str, kver: &Kver) -> bool {
    let found = rest.strip_prefix("  ").or(rest.strip_prefix(" *"));
    found == Some(&name(kver))
}

/// Returns the line that `sha512hmac` writes for the kernel, where ostree puts it.
pub fn line(digest: &str, kver: &Kver) -> String {
    format!("{digest}  {}\n", name(kver))
}

/// The line with the right name, where it names the kernel by a path or as it is called in its own
/// directory; `None` where there is nothing to change, or the file is not the one line that
/// `sha512hmac` writes.
pub fn renamed(text: &str, kver: &Kver) -> Option<String> {
    let (digest, rest) = parts(text);
    let path = rest.trim_start_matches([' ', '*']);
    let is_kernel = |file: &str| file == "vmlinuz" || file == name(kver);
    let is_ours = is_kernel(path.rsplit('/').next()?) && !path.contains(char::is_whitespace);
    (is_ours && !is_named(rest, kver)).then(|| line(digest, kver))
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
}
