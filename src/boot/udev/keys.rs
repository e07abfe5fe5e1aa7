// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of udev's rules, with the attributes and operators that udev accepts (`parse_token` of
//! `src/udev/udev-rules.c`, v257). udev ignores a whole line if one of its tokens is not accepted.

use super::{Token, show};

/// Whether a key accepts an attribute in braces, and which one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    No,
    Yes,
    Maybe,
    /// The attribute must be one of these.
    OneOf(&'static [&'static str]),
    /// The attribute is absent or one of these.
    MaybeOneOf(&'static [&'static str]),
}

/// The operators that a key accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operators {
    /// `==` and `!=`.
    Match,
    /// All operators.
    Any,
    /// All operators except `-=`.
    NotRemove,
    /// `=`, `+=` and `:=`.
    Set,
    /// `=`.
    Assign,
}

use Attribute::{Maybe, MaybeOneOf, No, OneOf, Yes};
use Operators::{Any, Assign, Match, NotRemove, Set};

const KEYS: [(&str, Attribute, Operators); 29] = [
    ("ACTION", No, Match),
    ("DEVPATH", No, Match),
    ("KERNEL", No, Match),
    ("SYMLINK", No, Any),
    ("NAME", No, NotRemove),
    ("ENV", Yes, NotRemove),
    ("CONST", OneOf(&["arch", "virt"]), Match),
    ("TAG", No, Any),
    ("SUBSYSTEM", No, Match),
    ("DRIVER", No, Match),
    ("ATTR", Yes, NotRemove),
    ("SYSCTL", Yes, NotRemove),
    ("KERNELS", No, Match),
    ("SUBSYSTEMS", No, Match),
    ("DRIVERS", No, Match),
    ("ATTRS", Yes, Match),
    ("TAGS", No, Match),
    ("TEST", Maybe, Match),
    ("PROGRAM", No, NotRemove),
    ("IMPORT", OneOf(&IMPORTS), NotRemove),
    ("RESULT", No, Match),
    ("OPTIONS", No, Set),
    ("OWNER", No, Set),
    ("GROUP", No, Set),
    ("MODE", No, Set),
    ("SECLABEL", Yes, Set),
    ("RUN", MaybeOneOf(&["program", "builtin"]), Set),
    ("GOTO", No, Assign),
    ("LABEL", No, Assign),
];

const IMPORTS: [&str; 6] = ["program", "builtin", "file", "db", "cmdline", "parent"];

/// The programs that are built into udev v260 (`udev-builtin.c`) or were built into earlier versions.
const BUILTINS: [&str; 15] = [
    "blkid",
    "btrfs",
    "dissect_image",
    "factory_reset",
    "firmware",
    "hwdb",
    "input_id",
    "keyboard",
    "kmod",
    "net_driver",
    "net_id",
    "net_setup_link",
    "path_id",
    "uaccess",
    "usb_id",
];

/// Properties that no version of udev lets a rule set (`device_property_can_set`).
const FIXED: [&str; 20] = [
    "ACTION",
    "SEQNUM",
    "SYNTH_UUID",
    "DEVPATH",
    "DEVPATH_OLD",
    "SUBSYSTEM",
    "DEVTYPE",
    "DRIVER",
    "MODALIAS",
    "DEVNAME",
    "DEVMODE",
    "DEVUID",
    "DEVGID",
    "MAJOR",
    "MINOR",
    "IFINDEX",
    "INTERFACE",
    "INTERFACE_OLD",
    "DEVLINKS",
    "TAGS",
];

/// Checks the key, the attribute, the operator and the value of a token.
///
/// # Errors
/// The reason why udev ignores the line.
pub(super) fn check(token: &Token) -> Result<(), String> {
    let shown = show(&token.key);
    let known = KEYS.iter().find(|it| it.0.as_bytes() == token.key);
    let (_, wanted, operators) = known.ok_or_else(|| format!("unknown key {shown}"))?;
    let is_of = |attribute: &[u8], names: &[&str]| {
        let mut names = names.iter();
        names.any(|name| name.as_bytes() == attribute)
    };
    match (wanted, token.attribute.as_deref()) {
        (Yes | OneOf(_), None | Some([])) => return Err(format!("{shown} has no attribute")),
        (No, Some(_)) => return Err(format!("{shown} has an attribute")),
        (OneOf(names) | MaybeOneOf(names), Some(attribute)) if !is_of(attribute, names) => {
            return Err(format!(
                "{shown} has an unknown attribute {}",
                show(attribute)
            ));
        }
        _ => {}
    }
    let fits = match operators {
        Match => token.is_match(),
        Any => true,
        NotRemove => token.operator != b"-=",
        Set => !token.is_match() && token.operator != b"-=",
        Assign => token.operator == b"=",
    };
    if !fits {
        let operator = show(token.operator);
        return Err(format!("{shown} cannot be used with {operator}"));
    }
    check_value(token)
}

/// Checks the value, and the text of the attribute, by the rules for the key.
fn check_value(token: &Token) -> Result<(), String> {
    let (key, value) = (show(&token.key), &token.value);
    let attribute = token.attribute.as_deref().unwrap_or_default();
    let is_match = token.is_match();
    let is_one = |names: &[&str], text: &[u8]| names.iter().any(|it| it.as_bytes() == text);
    if token.ignores_case && (!is_match || is_one(&["TEST", "PROGRAM", "IMPORT"], &token.key)) {
        return Err(format!("{key} cannot have a value i\"…\""));
    }
    let why = match key.as_str() {
        "IMPORT" | "RUN" if attribute == b"builtin" => {
            let end = value.iter().position(u8::is_ascii_whitespace);
            let name = &value[..end.unwrap_or(value.len())];
            // `udev_builtin_lookup` also accepts the beginning of a name.
            let mut known = BUILTINS.iter().map(|it| it.as_bytes());
            let is_known = known.any(|it| it.starts_with(name));
            (!is_known).then(|| format!("has no builtin {}", show(name)))
        }
        "TEST" if !attribute.is_empty() && !is_mode(attribute) => {
            Some(format!("has an invalid mode {}", show(attribute)))
        }
        "NAME" if !is_match && (value.is_empty() || value == b"%k") => {
            Some(format!("cannot be \"{}\"", show(value)))
        }
        "ENV"
            if !is_match && (is_one(&FIXED, attribute) || attribute.starts_with(b"SYNTH_ARG_")) =>
        {
            Some(format!("cannot set {}", show(attribute)))
        }
        "OPTIONS" => value
            .strip_prefix(b"link_priority=")
            .filter(|number| show(number).trim().parse::<i32>().is_err())
            .map(|number| format!("has an invalid priority {}", show(number))),
        _ => None,
    };
    why.map_or(Ok(()), |why| Err(format!("{key} {why}")))
}

/// Returns whether a text is the mode of a file: an octal number up to 7777.
fn is_mode(text: &[u8]) -> bool {
    let mode = std::str::from_utf8(text).ok();
    let mode = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok());
    mode.is_some_and(|mode| mode <= 0o7777)
}
