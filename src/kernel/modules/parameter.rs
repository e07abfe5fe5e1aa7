// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parameters of modules, and the values that the kernel accepts for them (`kernel/params.c`, `lib/kstrtox.c`,
//! `lib/cmdline.c`). The kernel does not load a module if the value of a parameter is invalid. It ignores unknown
//! parameters.

use super::underscores;

/// A parameter and its type, as in a field `parmtype` of the modinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    name: Vec<u8>,
    kind: Vec<u8>,
}

impl Parameter {
    /// Parses `NAME:TYPE`; `None` for another form.
    pub fn parse(field: &[u8]) -> Option<Self> {
        let colon = field.iter().position(|&byte| byte == b':')?;
        Some(Self {
            name: underscores(&field[..colon]),
            kind: field[colon + 1..].to_vec(),
        })
    }

    /// Returns whether the kernel accepts the value; `None` is an argument without `=`. A type that is not in
    /// [`TYPES`], for example one that a module defines itself, accepts every value.
    fn accepts(&self, value: Option<&[u8]>) -> bool {
        let (kind, is_array) = match self.kind.strip_prefix(b"array of ") {
            Some(kind) => (kind, true),
            None => (self.kind.as_slice(), false),
        };
        let Some((_, fits)) = TYPES.iter().find(|(name, _)| *name == kind) else {
            return true;
        };
        match value {
            None => matches!(kind, b"bool" | b"invbool" | b"bint") && !is_array,
            Some(value) if is_array => value.split(|&byte| byte == b',').all(fits),
            Some(value) => fits(value),
        }
    }
}

/// Returns the first argument in a module's options that the kernel refuses; `None` if the kernel accepts all
/// arguments.
pub fn refused(parameters: &[Parameter], options: &[u8]) -> Option<Vec<u8>> {
    arguments(options).find(|argument| {
        let (name, value) = split(argument);
        let name = underscores(name);
        let parameter = parameters.iter().find(|it| it.name == name);
        parameter.is_some_and(|it| !it.accepts(value))
    })
}

/// Returns whether there is an argument that the kernel would refuse if its parameter had some type of [`TYPES`]. If
/// there is none, the types of the module's parameters need not be read.
pub fn may_be_refused(options: &[u8]) -> bool {
    arguments(options).any(|argument| {
        let (_, value) = split(&argument);
        value.is_none_or(|value| TYPES.iter().any(|(_, accepts)| !accepts(value)))
    })
}

/// Returns the arguments before `--`. The kernel ignores those after it.
fn arguments(options: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut rest = options;
    std::iter::from_fn(move || {
        let (argument, after) = next(rest)?;
        rest = after;
        (argument != b"--").then_some(argument)
    })
}

/// Returns the first argument without its quotes, and the text after the argument, as the kernel's `next_arg` does;
/// `None` if there is no argument, or an empty one in quotes.
fn next(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let text = text.trim_ascii_start();
    let mut is_quoted = false;
    let end = text.iter().position(|&byte| {
        is_quoted ^= byte == b'"';
        byte.is_ascii_whitespace() && !is_quoted
    });
    let (argument, rest) = text.split_at(end.unwrap_or(text.len()));
    let whole = argument.strip_prefix(b"\"");
    let argument = match (whole, split(argument)) {
        (Some(whole), _) => whole.strip_suffix(b"\"").unwrap_or(whole).to_vec(),
        (None, (name, Some(value))) if value.starts_with(b"\"") => {
            let value = &value[1..];
            [name, b"=", value.strip_suffix(b"\"").unwrap_or(value)].concat()
        }
        _ => argument.to_vec(),
    };
    (!text.is_empty()).then_some((argument, rest))
}

fn split(argument: &[u8]) -> (&[u8], Option<&[u8]>) {
    match argument.iter().position(|&byte| byte == b'=') {
        Some(at) => (&argument[..at], Some(&argument[at + 1..])),
        None => (argument, None),
    }
}

/// A function that returns whether a value can be parsed.
type Parser = fn(&[u8]) -> bool;

/// The types of numbers and booleans in `kernel/params.c`, with their parsers.
const TYPES: [(&[u8], Parser); 12] = [
    (b"bool", is_bool),
    (b"invbool", is_bool),
    (b"bint", is_bool),
    (b"byte", |value| unsigned(value, 0, u8::MAX.into())),
    (b"ushort", |value| unsigned(value, 0, u16::MAX.into())),
    (b"uint", |value| unsigned(value, 0, u32::MAX.into())),
    (b"ulong", |value| unsigned(value, 0, u64::MAX)),
    (b"ullong", |value| unsigned(value, 0, u64::MAX)),
    (b"hexint", |value| unsigned(value, 16, u32::MAX.into())),
    (b"short", |value| signed(value, i16::MAX as u64)),
    (b"int", |value| signed(value, i32::MAX as u64)),
    (b"long", |value| signed(value, i64::MAX as u64)),
];

/// Returns whether `kstrtobool` parses the value. `kstrtobool` looks only at the first two bytes.
fn is_bool(value: &[u8]) -> bool {
    match value.to_ascii_lowercase().as_slice() {
        [b'o', second, ..] => matches!(second, b'n' | b'f'),
        [first, ..] => b"yt1enf0d".contains(first),
        [] => false,
    }
}

/// Returns whether the value is an integer from 0 to `max` in the given base. With base 0, the base follows from the
/// prefix, as in C: `0x` is hexadecimal, `0` is octal.
fn unsigned(value: &[u8], base: u32, max: u64) -> bool {
    let digits = value.strip_prefix(b"+").unwrap_or(value);
    let hex = digits.strip_prefix(b"0x").or(digits.strip_prefix(b"0X"));
    let (digits, base) = match (hex, base) {
        (Some(hex), 0 | 16) => (hex, 16),
        (None, 0) if digits.starts_with(b"0") => (digits, 8),
        (None, 0) => (digits, 10),
        (_, base) => (digits, base),
    };
    let text = str::from_utf8(digits).unwrap_or_default();
    // `digits` must not start with another `+`, which from_str_radix would accept.
    !text.starts_with('+') && u64::from_str_radix(text, base).is_ok_and(|it| it <= max)
}

/// Returns whether the value is an integer from `-max - 1` to `max`, in C's notation.
fn signed(value: &[u8], max: u64) -> bool {
    match value.strip_prefix(b"-") {
        Some(value) => !value.starts_with(b"+") && unsigned(value, 0, max + 1),
        None => unsigned(value, 0, max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(options: &str) -> Option<String> {
        let fields = [
            "flag:bool",
            "number:uint",
            "small:byte",
            "level:int",
            "list:array of int",
            "text:charp",
            "own:own_type",
            "no-dash:short",
            "mask:hexint",
            "big:ullong",
        ];
        let fields = fields
            .iter()
            .filter_map(|it| Parameter::parse(it.as_bytes()));
        let parameters: Vec<_> = fields.collect();
        assert_eq!(parameters.len(), 10);
        refused(&parameters, options.as_bytes()).map(|it| String::from_utf8(it).unwrap())
    }

    #[test]
    fn values_that_the_kernel_accepts() {
        for options in [
            "",
            "  ",
            "flag",
            "flag=Y",
            "flag=off",
            "flag=no",
            "flag=1",
            "number=4",
            "number=0x1F",
            "number=+7",
            "number=010",
            "small=255",
            "level=-2147483648",
            "list=1,-2,0x3",
            "text=",
            "text",
            "own=x",
            "own",
            "unknown=x",
            "unknown",
            "no_dash=1",
            "no-dash=-32768",
            "mask=ff",
            "mask=0xFF",
            "big=18446744073709551615",
            "number=\"4\"",
            "\"number=4\" flag",
            "text=\"a number=x\"",
            "-- number=x",
            "number=4\tflag\n",
        ] {
            assert_eq!(found(options), None, "{options}");
        }
    }

    #[test]
    fn values_that_fit_every_type() {
        for options in ["", "max=0", "a=1 b=0", "-- x=2"] {
            assert!(!may_be_refused(options.as_bytes()), "{options}");
        }
        for options in ["a", "a=2", "a=1 b=x", "a="] {
            assert!(may_be_refused(options.as_bytes()), "{options}");
        }
    }

    #[test]
    fn values_that_the_kernel_refuses() {
        for (options, expected) in [
            ("number=x", "number=x"),
            ("number=", "number="),
            ("number", "number"),
            ("number=-1", "number=-1"),
            ("number=4294967296", "number=4294967296"),
            ("number=08", "number=08"),
            ("number=0x", "number=0x"),
            ("small=256", "small=256"),
            ("flag=", "flag="),
            ("flag=quiet", "flag=quiet"),
            ("flag=o", "flag=o"),
            ("level=--1", "level=--1"),
            ("level=-+1", "level=-+1"),
            ("level=++1", "level=++1"),
            ("level=1k", "level=1k"),
            ("level=2147483648", "level=2147483648"),
            ("list=1,,2", "list=1,,2"),
            ("list", "list"),
            ("list=1,x", "list=1,x"),
            ("text=a number=q flag", "number=q"),
            ("no-dash=40000", "no-dash=40000"),
            ("mask=xyz", "mask=xyz"),
            ("text=\"a b\" number=\"1 2\"", "number=1 2"),
            ("unknown=1 \"number=x\"", "number=x"),
        ] {
            assert_eq!(found(options).as_deref(), Some(expected), "{options}");
        }
    }
}
