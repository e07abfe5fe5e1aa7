// SPDX-License-Identifier: MIT OR Apache-2.0
//! `.vmlinuz.hmac`, by which a system in FIPS mode checks its kernel early in the boot.

/// The line with the bare name of the kernel where it gives a path; `None` where there is nothing
/// to change, or the file is not the one line that `sha512hmac` writes.
pub fn without_path(text: &[u8]) -> Option<Vec<u8>> {
    let line = text.trim_ascii_end();
    let (digest, rest) = line.split_at(line.iter().position(u8::is_ascii_whitespace)?);
    let name = &rest[rest.iter().rposition(|byte| *byte == b'/')? + 1..];
    let is_one_line = !line.contains(&b'\n');
    let is_name = !name.is_empty() && !name.iter().any(u8::is_ascii_whitespace);
    (is_one_line && is_name).then(|| [digest, b"  ", name, b"\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_names() {
        let table: [(&[u8], Option<&[u8]>); 9] = [
            (b"ab12  /boot/vmlinuz-6.9\n", Some(b"ab12  vmlinuz-6.9\n")),
            (b"ab12 */boot/vmlinuz-6.9", Some(b"ab12  vmlinuz-6.9\n")),
            (b"ab12  lib/modules/6.9/vmlinuz\n", Some(b"ab12  vmlinuz\n")),
            (b"ab12  vmlinuz-6.9\n", None),
            (b"ab12  /boot/\n", None),
            (b"ab12  /boot/a b\n", None),
            (b"ab12  /boot/a\ncd34  /boot/b\n", None),
            (b"/boot/vmlinuz", None),
            (b"", None),
        ];
        for (text, expected) in table {
            assert_eq!(
                without_path(text).as_deref(),
                expected,
                "{}",
                text.escape_ascii()
            );
        }
    }
}
