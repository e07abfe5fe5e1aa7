// SPDX-License-Identifier: MIT OR Apache-2.0
//! A command line as a value.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// The umask of programs, independent of the caller's: files in an image must be readable by everybody.
pub(super) const UMASK: u32 = 0o022;

/// A command line: a program's name, its arguments and additional environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cmd {
    pub(super) program: String,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(&'static str, OsString)>,
    pub(super) is_privileged: bool,
}

impl Cmd {
    /// Returns a command that runs `program`: a name on the root's `PATH`, or an absolute path inside the root.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            is_privileged: false,
        }
    }

    /// Runs the program without `no_new_privs`, for package managers. Under SELinux, rpm starts scriptlets in another
    /// domain. The kernel denies this change of domain to a process with `no_new_privs`, so the scriptlet would fail.
    #[must_use]
    pub fn privileged(mut self) -> Self {
        self.is_privileged = true;
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    /// Returns the program's name or path, as given to [`new`](Self::new).
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Returns the program's name without its directory.
    pub fn name(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or(&self.program)
    }
}

impl fmt::Display for Cmd {
    /// Formats the command line for a shell, so that it can be copied.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quote(value))?;
        }
        write!(f, "{}", quote(OsStr::new(&self.program)))?;
        for arg in &self.args {
            write!(f, " {}", quote(arg))?;
        }
        Ok(())
    }
}

/// Quotes a word for a POSIX shell, if it needs quotes. A word with control characters or invalid UTF-8 becomes `$'…'`
/// with octal escapes.
pub fn quote(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./=:,+@%^".contains(b);
    if !bytes.is_empty() && bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let mut quoted = String::from("$'");
            for &byte in bytes {
                match byte {
                    b'\'' | b'\\' => quoted.extend(['\\', char::from(byte)]),
                    0x20..=0x7e => quoted.push(char::from(byte)),
                    _ => quoted.push_str(&format!("\\{byte:03o}")),
                }
            }
            quoted + "'"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_a_shell_would_take_it() {
        let cmd = Cmd::new("dracut")
            .env("DRACUT_NO_XATTR", "1")
            .args(["--kver", "6.9+rt", "a b", "it's", "", "-x\ny"]);
        assert_eq!(
            cmd.to_string(),
            r"DRACUT_NO_XATTR=1 dracut --kver 6.9+rt 'a b' 'it'\''s' '' $'-x\012y'"
        );
    }
}
