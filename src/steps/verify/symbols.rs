// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the versions of symbols that modules import, and those that the kernel exports.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::checks::SymbolVersions;
use crate::kernel::MODULES;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{Crcs, MAX_UNPACKED, exported, imported, unpack};
use crate::sys::root::Root;

/// The names under which distributions install the list of exported symbols of the kernel's build.
const SYMVERS: [&str; 4] = ["symvers.xz", "symvers.gz", "symvers.zst", "symvers"];

/// Reads the versions of the symbols that `modules` import, whose paths are relative to the kernel's directory, and the
/// kernel's own versions of these symbols. A module that cannot be read is left out: other checks report it.
pub(super) fn read(root: &Root, kver: &Kver, modules: &[Vec<u8>]) -> SymbolVersions {
    let dir = Path::new(MODULES).join(kver.as_str());
    let place = |path: &[u8]| dir.join(OsStr::from_bytes(path));
    let lists = SYMVERS.map(|name| dir.join(name));
    let files = modules.iter().map(|path| place(path)).chain(lists.clone());
    // The error is ignored: a file that cannot be loaded is reported when it is read.
    let _ = root.load(&files.collect::<Vec<_>>());
    let mut buffer = Vec::new();
    let mut symbols = SymbolVersions::default();
    for path in modules {
        if let Ok(Some(file)) = root.read(place(path), MAX_UNPACKED)
            && unpack(path, file.as_slice(), &mut buffer).is_ok()
            && let Ok(crcs) = imported(&buffer)
        {
            symbols.modules.push((path.clone(), crcs));
        }
    }
    let all = symbols.modules.iter().flat_map(|(_, crcs)| crcs.keys());
    let wanted: HashSet<_> = all.map(Vec::as_slice).collect();
    if !wanted.is_empty() {
        let found = lists.iter().find_map(|path| kernel(root, path, &wanted));
        symbols.kernel = found.transpose();
    }
    symbols
}

/// Reads the CRCs of the `wanted` symbols in the `symvers` file at `path`; `None` if the file does not exist.
fn kernel(
    root: &Root,
    path: &Path,
    wanted: &HashSet<&[u8]>,
) -> Option<Result<(String, Crcs), String>> {
    let file = root.read(path, MAX_UNPACKED).transpose()?;
    let read = || {
        let file = file.map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        let name = path.as_os_str().as_bytes();
        unpack(name, file.as_slice(), &mut text)
            .map_err(|error| format!("decompressing /{}: {error}", path.display()))?;
        let crcs = exported(&text, |symbol| wanted.contains(symbol));
        Ok((path.display().to_string(), crcs))
    };
    Some(read())
}
