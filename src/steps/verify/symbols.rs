// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the versions of symbols that modules import, and those that the kernel exports.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checks::{Exports, SymbolVersions};
use crate::kernel::MODULES;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{MAX_UNPACKED, exported, imported, unpack};
use crate::sys::root::Root;

/// The names under which distributions install the list of exported symbols of the kernel's build.
const SYMVERS: [&str; 4] = ["symvers.xz", "symvers.gz", "symvers.zst", "symvers"];

/// Upper bound of the unpacked modules together (bytes). The modules that a root may need have about 10 MiB.
const UNPACKED_MAX: usize = 256 << 20;

/// Upper bound of the names of all imported symbols together (bytes); the same modules import names of 0.1 MiB.
const NAMES_MAX: usize = 4 << 20;

/// Reads the versions of the symbols that `modules` import, whose paths are relative to the kernel's directory, and the
/// kernel's own versions of these symbols. A module that cannot be read is left out: other checks report it. So is an
/// unreadable list of the kernel, since the boot does not need it.
pub(super) fn read(root: &Root, kver: &Kver, modules: &[Vec<u8>]) -> SymbolVersions {
    let dir = Path::new(MODULES).join(kver.as_str());
    let place = |path: &[u8]| dir.join(OsStr::from_bytes(path));
    let lists = SYMVERS.map(|name| dir.join(name));
    let files = modules.iter().map(|path| place(path)).chain(lists.clone());
    // The error is ignored: a file that cannot be loaded is reported when it is read.
    let _ = root.load(&files.collect::<Vec<_>>());
    let mut buffer = Vec::new();
    let mut symbols = SymbolVersions::default();
    let (mut unpacked, mut names) = (0, 0);
    for path in modules {
        if let Ok(Some(file)) = root.read(place(path), MAX_UNPACKED)
            && unpack(path, file.as_slice(), &mut buffer).is_ok()
            && let Ok(crcs) = imported(&buffer)
        {
            // The map needs about 64 bytes in addition to each name.
            names += crcs.keys().map(|name| name.len() + 64).sum::<usize>();
            symbols.modules.push((path.clone(), crcs));
        }
        unpacked += buffer.len();
        symbols.is_too_large = unpacked > UNPACKED_MAX || names > NAMES_MAX;
        if symbols.is_too_large {
            return symbols;
        }
    }
    let all = symbols.modules.iter().flat_map(|(_, crcs)| crcs.keys());
    let wanted: HashSet<_> = all.map(Vec::as_slice).collect();
    if !wanted.is_empty() {
        symbols.kernel = lists.iter().find_map(|path| kernel(root, path, &wanted));
    }
    symbols
}

/// Reads the `wanted` symbols in the `symvers` file at `path`; `None` if the file does not exist or cannot be read.
fn kernel(root: &Root, path: &Path, wanted: &HashSet<&[u8]>) -> Option<Exports> {
    let file = root.read(path, MAX_UNPACKED).ok()??;
    let mut text = Vec::new();
    unpack(path.as_os_str().as_bytes(), file.as_slice(), &mut text).ok()?;
    Some(Exports {
        path: path.display().to_string(),
        symbols: exported(&text, |symbol| wanted.contains(symbol)),
    })
}
