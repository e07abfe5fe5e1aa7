// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects the files whose bytes are kept while a layer is streamed, because checks read them. The bytes of other files
//! can be loaded later in a second pass.

use crate::kernel::modules::ModuleName;
use crate::kernel::packing;

/// The part of a file that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptPart {
    /// The digest only.
    BlobDigest,
    /// The digest and the first bytes, from which the compression of a module is detected.
    Head,
    /// All bytes.
    All,
}

/// The number of bytes that are kept for [`KeptPart::Head`].
pub const HEAD: usize = packing::HEAD;

/// Upper bound of a configuration file or script that is kept (bytes).
const SMALL: u64 = 128 << 10;

/// Upper bound of a file in [`PROGRAM_DIRS`] that is kept (bytes): the wrapper scripts of cliwrap are smaller.
const WRAPPER: u64 = 4096;

/// Directories of configuration and scripts, of which files up to [`SMALL`] are kept.
const SMALL_DIRS: [&[u8]; 14] = [
    b"etc/",
    b"usr/etc/",
    b"usr/lib/dracut/",
    b"usr/lib/bootc/",
    b"usr/lib/kernel/",
    b"usr/lib/modprobe.d/",
    b"usr/lib/modules-load.d/",
    b"usr/lib/ostree/",
    b"usr/lib/systemd/system/",
    b"usr/lib/sysctl.d/",
    b"usr/lib/udev/rules.d/",
    b"usr/libexec/rpm-ostree/",
    b"usr/lib/rpm/",
    b"usr/share/ostree-kernel/",
];

/// Directories of programs.
const PROGRAM_DIRS: [&[u8]; 4] = [b"usr/bin/", b"usr/sbin/", b"usr/libexec/", b"bin/"];

/// Directories of the rpmdb.
const RPMDB_DIRS: [&[u8]; 3] = [b"usr/share/rpm/", b"usr/lib/sysimage/rpm/", b"var/lib/rpm/"];

/// The directory with one directory for each kernel.
const MODULES: &[u8] = b"usr/lib/modules/";

/// Returns which part of a file is kept, by the file's path (relative to the root) and size in bytes.
pub fn keep(path: &[u8], size: u64) -> KeptPart {
    let is_in = |dirs: &[&[u8]]| dirs.iter().any(|dir| path.starts_with(dir));
    if let Some(below) = path.strip_prefix(MODULES) {
        let of_kernel = below.iter().position(|&byte| byte == b'/');
        let name = of_kernel.map_or(below, |at| &below[at + 1..]);
        let is_module = ModuleName::is_of_path(name);
        return if is_module && name.starts_with(b"kernel/") {
            KeptPart::Head
        } else if name.starts_with(b"vdso/") || name.ends_with(b".debug") {
            KeptPart::BlobDigest
        } else {
            KeptPart::All
        };
    }
    let is_kept = is_in(&RPMDB_DIRS)
        || path == b"usr/lib/os-release"
        || (size <= SMALL && is_in(&SMALL_DIRS))
        || (size <= WRAPPER && is_in(&PROGRAM_DIRS));
    if is_kept {
        KeptPart::All
    } else {
        KeptPart::BlobDigest
    }
}
