// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signs modules as the kernel's `scripts/sign-file.c` does. A compressed module is decompressed, signed, and
//! compressed again in the same format, so that the kernel can decode it.

use std::ffi::OsStr;
use std::io::{BufReader, Cursor};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow};

use super::ModuleSigning;
use crate::checks::is_out_of_tree;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{
    MAX_UNPACKED, ModuleList, ModuleName, pack, signed_parts, unpack, with_signature,
};
use crate::pool;
use crate::signing::{Hash, Signature};
use crate::sys::root::{FileType, Root};

/// Upper bound of a file that lists modules, and of the kernel's configuration (bytes).
const LIST_MAX: u64 = 64 << 20;

/// Upper bound of the number of threads. Each thread holds a module and its signed copy in memory.
const THREADS_MAX: usize = 8;

/// The modules that are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Which {
    /// Modules that were not built with the kernel.
    #[default]
    OutOfTree,
    /// All modules.
    All,
}

impl Which {
    /// Returns `out-of-tree` or `all`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfTree => "out-of-tree",
            Self::All => "all",
        }
    }
}

/// The numbers of modules that were signed and that were not changed.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) signed: usize,
    /// Modules that already had a valid signature by the certificate, or that were removed meanwhile.
    pub(super) unchanged: usize,
}

/// Signs the requested modules, on several threads.
///
/// # Errors
/// When a module cannot be read, signed or written.
pub(super) fn sign(root: &Root, kver: &Kver, asked: &ModuleSigning) -> Result<Counted> {
    let hash = hash(root, kver)?;
    let modules = modules(root, kver, asked.which)?;
    let threads = thread::available_parallelism().map_or(1, |it| it.get().min(THREADS_MAX));
    let signed = pool::try_map(&modules, threads, |path| {
        module(root, path, asked, hash).with_context(|| format!("signing /{}", path.display()))
    })?;
    let count = |wanted: bool| signed.iter().filter(|it| **it == wanted).count();
    Ok(Counted {
        signed: count(true),
        unchanged: count(false),
    })
}

/// Returns the hash with which the kernel's build signs modules (`CONFIG_MODULE_SIG_HASH`), or SHA-256 if the
/// configuration names no supported hash.
fn hash(root: &Root, kver: &Kver) -> Result<Hash> {
    let config = root.read(format!("{}/config", kver.dir()), LIST_MAX)?;
    let config = config.unwrap_or_default();
    let config = String::from_utf8_lossy(&config);
    let mut lines = config.lines();
    let name = lines.find_map(|line| line.strip_prefix("CONFIG_MODULE_SIG_HASH="));
    let hash = name.and_then(|name| Hash::named(name.trim_matches('"')));
    Ok(hash.unwrap_or(Hash::Sha256))
}

/// Returns the paths of the requested modules, relative to the root. Links are left out: a module is signed under its
/// own path.
fn modules(root: &Root, kver: &Kver, which: Which) -> Result<Vec<PathBuf>> {
    let dir = kver.dir();
    let order = root.read(format!("{dir}/modules.order"), LIST_MAX)?;
    let order = order.and_then(|bytes| ModuleList::parse_order(&bytes).ok());
    let walked = root.walk(&dir)?.into_iter();
    let files = walked.filter(|it| it.meta.kind == FileType::File);
    let is_asked = |path: &Path| {
        let path = path.as_os_str().as_bytes();
        ModuleName::is_of_path(path)
            && (which == Which::All || is_out_of_tree(path, order.as_ref()))
    };
    let asked = files.filter(|it| is_asked(&it.path));
    Ok(asked.map(|it| Path::new(&dir).join(it.path)).collect())
}

/// Signs one module. Returns false if it already has a valid signature by the certificate, or no longer exists.
fn module(root: &Root, path: &Path, asked: &ModuleSigning, hash: Hash) -> Result<bool> {
    let Some(file) = root.open_file(path)? else {
        return Ok(false);
    };
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let mut module = Vec::new();
    let data = BufReader::with_capacity(64 << 10, file);
    unpack(name, data, &mut module).context("decompressing it")?;
    let contents = match signed_parts(&module) {
        None => module.as_slice(),
        Some((contents, signature)) => {
            let own = std::slice::from_ref(&asked.certificate);
            let parsed = Signature::parse(signature).ok();
            let signer = parsed.map(|it| it.of_bytes(contents, own).is_known());
            if signer == Some(true) {
                return Ok(false);
            }
            contents
        }
    };
    let signature = asked.key.sign(&asked.certificate, hash, contents);
    let signature = signature.map_err(|why| anyhow!("{why}"))?;
    let packed = pack(name, with_signature(contents, &signature)).context("compressing it")?;
    root.replace(&mut Cursor::new(packed), path, 2 * MAX_UNPACKED)?;
    Ok(true)
}
