// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of udev's rules, with the attributes and operators that udev accepts (`parse_token` of
//! `src/udev/udev-rules.c`, v257). It ignores a line with another one as a whole.

use super::{Token, show};

/// The attribute in braces.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    No,
    Yes,
    Maybe,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// None, or one of these.
    MaybeOneOf(&'static [&'static str]),
}

/// The accepted operators.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operators {
    /// `==` and `!=`.
    Match,
    /// All.
    Any,
    /// All except `-=`.
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

/// Checks a key, its attribute and its operator.
///
/// # Errors
/// Returns the reason if udev ignores the line.
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
    if fits {
        Ok(())
    } else {
        Err(format!(
            "{shown} cannot be used with {}",
            show(token.operator)
        ))
    }
}
