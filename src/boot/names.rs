// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of units (`src/basic/unit-name.c`, v257): types, templates, instances, specifiers, and the directories of
//! units and drop-ins.

/// Maximum length of a name (bytes); systemd's `UNIT_NAME_MAX` of 256 includes the NUL.
const NAME_MAX: usize = 255;

/// The directories of an initramfs with unit files, the one with the highest precedence first.
pub const UNIT_DIRS: [&str; 6] = [
    "etc/systemd/system.control",
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The suffixes of unit names, one for each type of unit.
pub(super) const TYPES: [&[u8]; 11] = [
    b".service",
    b".socket",
    b".target",
    b".mount",
    b".path",
    b".timer",
    b".swap",
    b".slice",
    b".device",
    b".automount",
    b".scope",
];

/// Returns whether systemd accepts `name` as the name of a unit.
pub fn is_unit(name: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.@-:\\".contains(byte);
    let stem = TYPES.iter().find_map(|it| name.strip_suffix(*it));
    name.len() <= NAME_MAX
        && stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with(b"@"))
        && name.iter().all(is_part)
}

/// Returns the type of a unit, with the dot; empty if the name has no dot.
pub(super) fn type_of(name: &[u8]) -> &[u8] {
    let dot = name.iter().rposition(|&byte| byte == b'.');
    dot.map_or(b"", |dot| &name[dot..])
}

/// Returns the name without its type.
pub(super) fn stem(name: &[u8]) -> &[u8] {
    &name[..name.len() - type_of(name).len()]
}

/// Returns the template of an instance, `a@.service` for `a@b.service`; `None` for other names.
pub(super) fn template(name: &[u8]) -> Option<Vec<u8>> {
    let at = name.iter().position(|&byte| byte == b'@')?;
    (at + 1 < stem(name).len()).then(|| [&name[..=at], type_of(name)].concat())
}

/// Returns the instance, the value of `%i`; empty if the name has none.
pub(super) fn instance(name: &[u8]) -> &[u8] {
    let stem = stem(name);
    let at = stem.iter().position(|&byte| byte == b'@');
    at.map_or(b"", |at| &stem[at + 1..])
}

/// Returns the names whose `.d` directories contain drop-ins of the unit `name`, the one with the highest precedence
/// first: the name itself, its template, its prefixes that end with a dash, and its type without the dot.
pub(super) fn of_drop_ins(name: &[u8]) -> Vec<Vec<u8>> {
    let kind = type_of(name);
    let mut names = vec![name.to_vec()];
    names.extend(template(name));
    let prefix = stem(name);
    let prefix = &prefix[..prefix
        .iter()
        .position(|&b| b == b'@')
        .unwrap_or(prefix.len())];
    let dashes = (0..prefix.len().saturating_sub(1)).rev();
    let dashes = dashes.filter(|&at| prefix[at] == b'-' && at > 0);
    names.extend(dashes.map(|at| [&prefix[..=at], kind].concat()));
    names.push(kind[1.min(kind.len())..].to_vec());
    names
}

/// Expands `%%`, `%n`, `%N`, `%i` and `%p` in `text` for the unit `name`. `None` for any other specifier, and for a `%`
/// at the end.
pub(super) fn expand(text: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match rest.next()? {
            b'%' => out.push(b'%'),
            b'n' => out.extend_from_slice(name),
            b'N' => out.extend_from_slice(stem(name)),
            b'i' => out.extend_from_slice(instance(name)),
            b'p' => {
                let stem = stem(name);
                let end = stem.iter().position(|&byte| byte == b'@');
                out.extend_from_slice(&stem[..end.unwrap_or(stem.len())]);
            }
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, valid) in [
            ("a.service", true),
            ("a@b.service", true),
            ("@b.service", false),
            (".service", false),
            ("a", false),
            ("a/b.service", false),
            (r"dev-disk-by\x2duuid-1.device", true),
        ] {
            assert_eq!(is_unit(name.as_bytes()), valid, "{name}");
        }
        assert!(!is_unit(&[&[b'a'; 300], b".service".as_slice()].concat()));
        assert_eq!(template(b"a@b.service").unwrap(), b"a@.service");
        assert_eq!(template(b"a@.service"), None);
        let names = of_drop_ins(b"a-b-c@x.service");
        let names: Vec<_> = names
            .iter()
            .map(|it| std::str::from_utf8(it).unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "a-b-c@x.service",
                "a-b-c@.service",
                "a-b-.service",
                "a-.service",
                "service"
            ]
        );
        assert_eq!(expand(b"/x/%i-%p%%", b"a@b.service").unwrap(), b"/x/b-a%");
        assert_eq!(expand(b"%H", b"a.service"), None);
    }
}
