// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the kernel's files with the digests in their packages.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::checks::{InnerKernel, KernelFiles, ModuleState, OtherModule, VmlinuzState};
use crate::kernel::kver::Kver;
use crate::kernel::modules::{
    MAX_UNPACKED, Modinfo, ModuleName, signer, unpack, without_signature,
};
use crate::kernel::vmlinuz::{
    self, Release, VmlinuzError, has_signed_digest, inner_release_from, signature_from,
};
use crate::package::hex;
use crate::package::rpmdb::{FileDigest, Rpmdb};
use crate::sys::digest::Digesting;
use crate::sys::root::{OpenDir, Root};

/// Upper bound of the total size of all modules (bytes); the modules of a large kernel have 0.6 GiB.
const TOTAL_MAX: u64 = 8 << 30;

/// Maximum number of modules of a container image whose bytes are loaded together.
const LOADED_TOGETHER: usize = 4096;

/// Reads the facts for the check `kernel-files`, and the digest of `vmlinuz`.
pub(super) fn look(
    root: &Root,
    kver: &Kver,
    packages: Option<&Rpmdb>,
) -> (KernelFiles, Option<String>) {
    let (vmlinuz, sha256) = match super::vmlinuz::open(root, kver) {
        Ok(file) => match vmlinuz(file, kver, packages) {
            Ok((vmlinuz, sha256)) => (vmlinuz, Some(sha256)),
            Err(error) => (VmlinuzState::Unread(error.to_string()), None),
        },
        Err(why) => (VmlinuzState::Unread(why), None),
    };
    let mut compared = Modules::new(root);
    let unread = packages.and_then(|packages| compared.all(kver, packages).err());
    let files = KernelFiles {
        vmlinuz,
        signer: compared.signer(),
        modules: compared.others,
        unread,
    };
    (files, sha256)
}

fn vmlinuz(
    mut file: File,
    kver: &Kver,
    packages: Option<&Rpmdb>,
) -> io::Result<(VmlinuzState, String)> {
    file.rewind()?;
    let (sha256, _) = Digesting::new(&mut file).finish()?;
    let path = format!("{}/vmlinuz", kver.dir());
    let owners = packages.into_iter().flat_map(|it| it.owners_of(&path));
    let owners: Vec<_> = owners
        .filter_map(|(owner, it)| Some((owner, it.digest.as_ref()?)))
        .filter(|(_, digest)| digest.algorithm == FileDigest::SHA256)
        .collect();
    let is_packaged = |sha256: &str| owners.iter().any(|(_, digest)| digest.hex == sha256);
    let compared = match owners.first() {
        Some(_) if is_packaged(&sha256) => VmlinuzState::Packaged,
        Some(_)
            if without_signatures(&mut file)?
                .iter()
                .any(|it| is_packaged(it)) =>
        {
            VmlinuzState::Signed
        }
        owner => VmlinuzState::Examined {
            package: owner.map(|(owner, _)| owner.nevra.to_string()),
            inner: inner(&mut file),
            has_signed_digest: has_signed_digest(&mut file)?,
        },
    };
    Ok((compared, sha256))
}

/// Returns the digests that `vmlinuz` may have had before it was signed.
fn without_signatures(file: &mut File) -> io::Result<Vec<String>> {
    let Some(signature) = signature_from(file)? else {
        return Ok(Vec::new());
    };
    let (mut body, mut ends) = (Sha256::new(), Vec::new());
    signature.without(
        file,
        |bytes| body.update(bytes),
        |end| ends.push(end.to_vec()),
    )?;
    let digest = |end: &Vec<u8>| hex(&body.clone().chain_update(end).finalize());
    Ok(ends.iter().map(digest).collect())
}

/// Decodes the kernel inside `vmlinuz`. Returns its release, or the reason why the release is not known.
fn inner(file: &mut File) -> InnerKernel {
    let of = |file: &mut File, release: &Release| match inner_release_from(file, release) {
        Ok(Some(kver)) => InnerKernel::Release(kver),
        Ok(None) => InnerKernel::Unknown(format!(
            "the offset of the kernel inside the {} is not known",
            release.format
        )),
        Err(error) if error.is_damage() => InnerKernel::Damaged(error.to_string()),
        Err(error @ VmlinuzError::NoBanner { .. }) => InnerKernel::Damaged(error.to_string()),
        Err(error) => InnerKernel::Unknown(error.to_string()),
    };
    match vmlinuz::release_from(file) {
        Ok(release) => of(file, &release),
        // The check `kernel-release` reports this error.
        Err(error) => InnerKernel::Unknown(error.to_string()),
    }
}

/// The comparison of modules with the digests in their packages.
struct Modules<'r> {
    root: &'r Root,
    /// The path of the previous module's directory, and the opened directory.
    dir: Option<(String, Option<OpenDir>)>,
    /// The number of bytes that may still be read, at first [`TOTAL_MAX`].
    left: u64,
    buffer: Vec<u8>,
    others: Vec<OtherModule>,
    /// The number of modules that equal their package's files, and the path of one.
    same: (usize, String),
}

impl<'r> Modules<'r> {
    fn new(root: &'r Root) -> Self {
        Self {
            root,
            dir: None,
            left: TOTAL_MAX,
            buffer: vec![0; 256 << 10],
            others: Vec::new(),
            same: (0, String::new()),
        }
    }

    /// Compares the modules of the kernel `kver`. A module that is missing, or that has another compression suffix than
    /// in its package, is skipped.
    fn all(&mut self, kver: &Kver, packages: &Rpmdb) -> Result<(), String> {
        let dir = format!("{}/", kver.dir());
        let mut digests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for package in packages.packages() {
            let files = package.files.range(dir.clone()..);
            for (path, file) in files.take_while(|(path, _)| path.starts_with(&dir)) {
                let is_module = ModuleName::is_of_path(path.as_bytes());
                let digest = file.digest.as_ref().filter(|_| !file.is_ghost && is_module);
                let digest = digest.filter(|it| it.algorithm == FileDigest::SHA256);
                if let Some(digest) = digest {
                    digests.entry(path).or_default().push(&digest.hex);
                }
            }
        }
        let mut others = Vec::new();
        for (path, digests) in digests {
            let Some(sha256) = self.digest(path)? else {
                continue;
            };
            if digests.contains(&sha256.as_str()) {
                self.same.0 += 1;
                if self.same.0 == 1 {
                    path.clone_into(&mut self.same.1);
                }
            } else {
                others.push((path, digests));
            }
        }
        for others in others.chunks(LOADED_TOGETHER) {
            let paths: Vec<_> = others.iter().map(|(path, _)| PathBuf::from(path)).collect();
            self.root.load(&paths).map_err(|error| super::why(&error))?;
            for (path, digests) in others {
                let below = path.strip_prefix(&dir).unwrap_or(path);
                self.other(path, below, digests)?;
            }
        }
        Ok(())
    }

    /// Returns the digest of a module; `None` if the file does not exist.
    fn digest(&mut self, path: &str) -> Result<Option<String>, String> {
        if let Some(sha256) = self.root.known_sha256(path) {
            return Ok(Some(hex(&sha256)));
        }
        let Some(file) = self.open(path)? else {
            return Ok(None);
        };
        let sha256 = self.sha256(&file);
        let sha256 = sha256.map_err(|error| format!("reading /{path}: {error}"))?;
        Ok(Some(sha256))
    }

    fn open(&mut self, path: &str) -> Result<Option<File>, String> {
        let (dir, name) = path.rsplit_once('/').unwrap_or_default();
        if self.dir.as_ref().is_none_or(|(last, _)| last != dir) {
            let place = self
                .root
                .open_directory(dir)
                .map_err(|error| super::why(&error))?;
            self.dir = Some((dir.to_owned(), place));
        }
        let place = self.dir.as_ref().and_then(|(_, place)| place.as_ref());
        let file = place.map(|place| place.open_file(OsStr::from_bytes(name.as_bytes())));
        let file = file
            .transpose()
            .map_err(|error| super::why(&error))?
            .flatten();
        Ok(file.map(|(file, _)| file))
    }

    fn sha256(&mut self, mut file: &File) -> io::Result<String> {
        let mut sha256 = Sha256::new();
        loop {
            let count = file.read(&mut self.buffer)?;
            if count == 0 {
                return Ok(hex(&sha256.finalize()));
            }
            sha256.update(&self.buffer[..count]);
            self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
                io::Error::other(format!("the modules have more than {TOTAL_MAX} bytes"))
            })?;
        }
    }

    /// Returns the signer of a module that equals its package's file. `None` if no module differs, if at least half of
    /// the modules differ (for example because all were compressed again), or if the module is not signed or cannot be
    /// read.
    fn signer(&self) -> Option<Vec<u8>> {
        let (count, path) = &self.same;
        if self.others.is_empty() || *count <= self.others.len() {
            return None;
        }
        let bytes = self.root.read(path, MAX_UNPACKED).ok()??;
        state(path, &bytes).ok()?.signer
    }

    /// Records a module that differs from its package's file, unless an appended signature is the only difference.
    fn other(&mut self, path: &str, below: &str, digests: &[&str]) -> Result<(), String> {
        let bytes = self.root.read(path, MAX_UNPACKED);
        let bytes = bytes
            .map_err(|error| super::why(&error))?
            .unwrap_or_default();
        let state = state(path, &bytes);
        let unsigned = without_signature(&bytes).map(|it| hex(&Sha256::digest(it)));
        if !unsigned.is_some_and(|it| digests.contains(&it.as_str())) {
            let path = below.as_bytes().to_vec();
            self.others.push(OtherModule { path, state });
        }
        Ok(())
    }
}

/// Reads the state of the module in the file `path`, or returns the reason why the file is not a module.
fn state(path: &str, bytes: &[u8]) -> Result<ModuleState, String> {
    let mut module = Vec::new();
    unpack(path.as_bytes(), bytes, &mut module).map_err(|error| error.to_string())?;
    let modinfo = Modinfo::of_module(&module).map_err(|error| error.to_string())?;
    Ok(ModuleState {
        is_signed: without_signature(&module).is_some(),
        signer: signer(&module).map(<[u8]>::to_vec),
        kver: modinfo.kver().map(<[u8]>::to_vec),
    })
}
