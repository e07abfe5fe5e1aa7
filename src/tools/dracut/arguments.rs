// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's arguments for dracut: the names in them, and the words that dracut would not accept.

use std::collections::BTreeMap;

/// The programs, modules and files that the arguments for dracut name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ArgumentNames {
    /// The compression command, or the name of the compression; the last option that sets it wins.
    pub compressor: Option<String>,
    /// The dracut modules that are requested.
    pub modules: Vec<String>,
    /// The kernel modules that are requested.
    pub drivers: Vec<String>,
    /// Files and directories that `--include` copies.
    pub files: Vec<String>,
    /// The first option with which dracut would not build an initramfs for the installed kernel.
    pub other_output: Option<String>,
}

impl ArgumentNames {
    /// Parses the arguments.
    pub fn of(args: &[String]) -> Self {
        let mut asked = Self::default();
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let (option, value) = match arg.split_once('=') {
                Some((option, value)) if arg.starts_with("--") => (option, Some(value)),
                _ => (arg, None),
            };
            let mut value = || value.or_else(|| args.next()).unwrap_or_default();
            let words = |value: &str| -> Vec<String> {
                value.split_whitespace().map(str::to_owned).collect()
            };
            match option {
                "--compress" => asked.compressor = Some(value().to_owned()),
                "--gzip" | "--bzip2" | "--lzma" | "--xz" | "--lzo" | "--lz4" | "--zstd" => {
                    asked.compressor = Some(option.trim_start_matches('-').to_owned());
                }
                "-a" | "--add" | "--force-add" | "-m" | "--modules" => {
                    asked.modules.extend(words(value()));
                }
                "--add-drivers" | "--force-drivers" => asked.drivers.extend(words(value())),
                "-i" | "--include" => {
                    asked.files.push(value().to_owned());
                    args.next();
                }
                "--kver" | "--kernel-image" | "--sysroot" | "-r" | "--uefi"
                | "--regenerate-all" | "-p" | "--parallel" | "--rebuild" | "--print-cmdline"
                | "--list-modules" | "--printsize" | "-h" | "--help" | "--version"
                | "--no-kernel" | "--kernel-only" => {
                    asked.other_output.get_or_insert_with(|| option.to_owned());
                }
                _ => {}
            }
        }
        asked
    }
}

/// The options that the image's dracut passes to getopt(1).
#[derive(Debug, Default)]
pub struct KnownOptions {
    /// Long names without dashes, and whether a value follows.
    long: BTreeMap<String, bool>,
    /// Single letters, and whether a value follows.
    short: BTreeMap<char, bool>,
}

/// An argument that dracut rejects, or that this program passes itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unusable {
    /// An option that the image's dracut does not have.
    #[error(
        "{0} for dracut: the dracut of the image has no such option. Correct it; dracut --help lists them"
    )]
    Unknown(String),
    /// An option that needs a value, but has none.
    #[error("{0} for dracut needs a value. Add the value, or omit the option")]
    NoValue(String),
    /// A word that belongs to no option: dracut takes it for the output file or the kver.
    #[error(
        "{0} for dracut belongs to no option, and dracut would take it for the output file or the kver. Omit it; this program passes both"
    )]
    Positional(String),
}

impl KnownOptions {
    /// Reads the options from the text of dracut's script: the words between `getopt` and `--`. Returns `None` if no
    /// option is called `kver`, so that a script of another form is not misread.
    pub fn of_script(script: &str) -> Option<Self> {
        let calls = script.split("getopt").skip(1).map(Self::of_call);
        calls.into_iter().find(|it| it.long.contains_key("kver"))
    }

    fn of_call(call: &str) -> Self {
        let mut known = Self::default();
        let mut words = call.split_whitespace().take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            let is_long = ["-l", "--long", "--longoptions"].contains(&word);
            if !is_long && !["-o", "--options"].contains(&word) {
                continue;
            }
            let value = words.next().unwrap_or_default();
            let value = value.trim_matches(|c| c == '"' || c == '\'');
            if is_long {
                known.long.extend(value.split(',').map(|name| {
                    let plain = name.trim_end_matches(':');
                    (plain.to_owned(), plain.len() < name.len())
                }));
            } else {
                let next = value.chars().skip(1).chain([' ']);
                let letters = value.chars().zip(next).filter(|(letter, _)| *letter != ':');
                known
                    .short
                    .extend(letters.map(|(letter, next)| (letter, next == ':')));
            }
        }
        known
    }

    /// Returns whether the long option takes a value; `None` if the option is unknown. As getopt(1) does, accepts an
    /// abbreviation that fits one option only.
    fn long(&self, name: &str) -> Option<bool> {
        let exact = self.long.get(name).copied();
        exact.or_else(|| {
            let mut like = self
                .long
                .iter()
                .filter(|(known, _)| known.starts_with(name));
            let (_, takes_value) = like.next()?;
            like.next().is_none().then_some(*takes_value)
        })
    }

    /// Checks the arguments, and splits them into options and values as getopt(1) does.
    ///
    /// # Errors
    /// The first argument that cannot be used.
    pub fn check(&self, args: &[String]) -> Result<(), Unusable> {
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            // dracut removes this option and the two paths after it before it calls getopt.
            if ["--include", "-i"].contains(&arg) {
                if args.by_ref().take(2).count() < 2 {
                    return Err(Unusable::NoValue(arg.to_owned()));
                }
                continue;
            }
            let unknown = || Unusable::Unknown(arg.to_owned());
            let needs_next = if let Some(long) = arg.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, _)) => (name, true),
                    None => (long, false),
                };
                if name.is_empty() {
                    return Err(Unusable::Positional(arg.to_owned()));
                }
                let takes_value = self.long(name).ok_or_else(unknown)?;
                if value && !takes_value {
                    return Err(unknown());
                }
                takes_value && !value
            } else if let Some(letters) = arg.strip_prefix('-').filter(|it| !it.is_empty()) {
                self.ends_without_value(letters).ok_or_else(unknown)?
            } else {
                return Err(Unusable::Positional(arg.to_owned()));
            };
            if needs_next && args.next().is_none() {
                return Err(Unusable::NoValue(arg.to_owned()));
            }
        }
        Ok(())
    }

    /// Returns whether these short options end with one whose value is the next argument. `None` if an option is
    /// unknown.
    fn ends_without_value(&self, letters: &str) -> Option<bool> {
        for (at, letter) in letters.char_indices() {
            if *self.short.get(&letter)? {
                return Some(at + letter.len_utf8() == letters.len());
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_ask_by_name() {
        let args = [
            "--omit",
            "x",
            "--add=a",
            "--force-add",
            "b c",
            "-i",
            "/from",
            "/to",
            "--lz4",
            "--compress",
            "xz -9",
            "--add-drivers",
            "d",
            "-v",
        ];
        let args = args.map(str::to_owned);
        let asked = ArgumentNames::of(&args);
        assert_eq!(asked.compressor.as_deref(), Some("xz -9"));
        assert_eq!(asked.modules, ["a", "b", "c"]);
        assert_eq!(asked.drivers, ["d"]);
        assert_eq!(asked.files, ["/from"]);
        assert_eq!(
            ArgumentNames::of(&["--compress".to_owned()])
                .compressor
                .as_deref(),
            Some("")
        );
        assert_eq!(
            ArgumentNames::of(&["--lzo".to_owned()])
                .compressor
                .as_deref(),
            Some("lzo")
        );
        assert_eq!(crate::tools::dracut::programs_of("lzo"), ["lzop"]);
    }

    /// A call of getopt as in dracut 049 to 112, with fewer options.
    const SCRIPT: &str = r#"
# getopt cannot handle multiple arguments -- so --include is handled elsewhere
    TEMP=$(
        getopt \
            -o "a:vfH" \
            --long kver: \
            --long add: \
            --long add-drivers: \
            --long no-hostonly \
            --long zstd \
            -- "$@"
    )
    cpio -o --long not-an-option
"#;

    fn checked(args: &[&str]) -> Result<(), Unusable> {
        let args: Vec<_> = args.iter().map(|it| (*it).to_owned()).collect();
        KnownOptions::of_script(SCRIPT).unwrap().check(&args)
    }

    #[test]
    fn arguments_are_read_as_getopt_reads_them() {
        for args in [
            &["--add", "a b", "-v", "--zstd"][..],
            &["--add=a", "-fva", "x", "-ax"],
            &["--no-host", "--add-d", "x"],
            &["--include", "/from", "/to", "-i", "/from", "/to"],
            &[],
        ] {
            assert_eq!(checked(args), Ok(()), "{args:?}");
        }
    }

    #[test]
    fn arguments_that_dracut_rejects_are_found() {
        let unknown = |it: &str| Err(Unusable::Unknown(it.to_owned()));
        assert_eq!(checked(&["--no-such"]), unknown("--no-such"));
        assert_eq!(checked(&["--not-an-option"]), unknown("--not-an-option"));
        assert_eq!(checked(&["-vx"]), unknown("-vx"));
        assert_eq!(checked(&["--zstd=9"]), unknown("--zstd=9"));
        assert_eq!(checked(&["--ad"]), unknown("--ad"));
        let positional = |it: &str| Err(Unusable::Positional(it.to_owned()));
        assert_eq!(checked(&["-f", "/tmp/x.img"]), positional("/tmp/x.img"));
        assert_eq!(checked(&["--", "6.9"]), positional("--"));
        assert_eq!(checked(&["-"]), positional("-"));
        let no_value = |it: &str| Err(Unusable::NoValue(it.to_owned()));
        assert_eq!(checked(&["--add"]), no_value("--add"));
        assert_eq!(checked(&["-i", "/from"]), no_value("-i"));
    }

    #[test]
    fn a_script_of_another_form_is_not_read() {
        assert!(KnownOptions::of_script("#!/bin/sh\nexec /opt/dracut \"$@\"\n").is_none());
        assert!(KnownOptions::of_script("\x7fELF getopt --long other --").is_none());
    }
}
