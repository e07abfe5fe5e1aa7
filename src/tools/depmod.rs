// SPDX-License-Identifier: MIT OR Apache-2.0
//! depmod: writes `modules.dep` and the other lists of modules. It runs before dracut, which needs `modules.dep`
//! (coreos/rpm-ostree#5578).

use crate::kernel::kver::Kver;
use crate::sys::exec::Cmd;
use crate::sys::root::{self, Root};

/// Minimum size of a `System.map` with symbols (bytes). That of a kernel has several MiB; Debian's placeholder has one
/// line.
const MAP_MIN: u64 = 64 << 10;

/// Returns `depmod -a KVER`. With `with_map`, depmod also compares the modules with the kernel's `System.map`, and
/// reports unknown symbols, as in the build of Fedora's kernel.
pub fn all(kver: &Kver, with_map: bool) -> Cmd {
    let cmd = Cmd::new("depmod").arg("-a");
    let cmd = if with_map {
        cmd.args(["-e", "-F"]).arg(format!("/{}", map(kver)))
    } else {
        cmd
    };
    cmd.arg(kver.as_str())
}

/// Returns whether the kernel has a `System.map` that is large enough to contain symbols.
///
/// # Errors
/// When the tree cannot be read.
pub fn has_map(root: &Root, kver: &Kver) -> Result<bool, root::Error> {
    let meta = root.stat(map(kver))?;
    Ok(meta.is_some_and(|meta| meta.kind == root::FileType::File && meta.size >= MAP_MIN))
}

fn map(kver: &Kver) -> String {
    format!("{}/System.map", kver.dir())
}

/// Returns the module and the symbol that a line names, if the line reports a module that cannot be loaded: `depmod:
/// WARNING: MODULE needs unknown symbol SYMBOL` (kmod, tools/depmod.c).
pub fn unknown_symbol(line: &str) -> Option<(&str, &str)> {
    let (before, symbol) = line.split_once(" needs unknown symbol ")?;
    let module = before
        .rsplit_once(": ")
        .map_or(before, |(_, module)| module);
    Some((module, symbol))
}

/// Returns whether a line reports a file that depmod could not read, for example `depmod: ERROR: zstd: Failed to
/// determine decompression size`. depmod can still exit with 0, and its lists then lack the modules and aliases of that
/// file.
pub fn is_failure(line: &str) -> bool {
    ["depmod: ERROR: ", "depmod: FATAL: ", "could not open "]
        .iter()
        .any(|phrase| line.contains(phrase))
}

/// Returns whether `name` is that of a temporary file of depmod, such as `modules.dep.PID.MICROSECONDS.SECONDS`. A
/// depmod that is killed leaves such files (kmod, tools/depmod.c).
pub fn is_temporary(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    parts.by_ref().take(3).all(is_number) && name.starts_with("modules.") && parts.count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_checked_if_there_is_a_system_map() {
        let kver = Kver::new("6.9.4-200.fc40.x86_64").unwrap();
        assert_eq!(
            all(&kver, false).to_string(),
            "depmod -a 6.9.4-200.fc40.x86_64"
        );
        assert_eq!(
            all(&kver, true).to_string(),
            "depmod -a -e -F /usr/lib/modules/6.9.4-200.fc40.x86_64/System.map 6.9.4-200.fc40.x86_64"
        );
        assert_eq!(
            unknown_symbol("depmod: WARNING: /lib/modules/6.9/extra/x.ko needs unknown symbol y"),
            Some(("/lib/modules/6.9/extra/x.ko", "y"))
        );
        assert_eq!(
            unknown_symbol("depmod: WARNING: could not open modules.order"),
            None
        );
    }

    #[test]
    fn lines_about_files_that_cannot_be_read() {
        for (line, expected) in [
            (
                "depmod: ERROR: zstd: Failed to determine decompression size",
                true,
            ),
            ("depmod: ERROR: failed to load symbols from x.ko.zst", true),
            (
                "depmod: WARNING: could not open modules.order at /lib/modules/6.9: No such file",
                true,
            ),
            (
                "depmod: WARNING: /lib/modules/6.9/extra/x.ko needs unknown symbol y",
                false,
            ),
        ] {
            assert_eq!(is_failure(line), expected, "{line}");
        }
    }

    #[test]
    fn files_that_are_not_whole_are_known_by_their_names() {
        for (name, expected) in [
            ("modules.symbols.bin.199.544824.1795550183", true),
            ("modules.dep.1.2.3", true),
            ("modules.dep", false),
            ("modules.1.2.3", false),
            ("modules.dep.bin.2.3", false),
            ("vmlinuz.1.2.3", false),
        ] {
            assert_eq!(is_temporary(name), expected, "{name}");
        }
    }
}
