// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of the tree goes into a key: every name, and of a file every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use crate::report;
use crate::sys::root::{Kind, MAX_ENTRIES, Place, Root, Walked};
use crate::sys::stop;

/// What is walked, relative to the root.
const TREES: [&str; 11] = [
    "bin",
    "boot",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "opt",
    "run/initramfs",
    "sbin",
    "usr",
];

/// What is passed over.
const LEFT_OUT: [&str; 6] = [
    // The rpmdb, which has the times of installations; its packages are in the key. dnf's history, likewise.
    "usr/share/rpm",
    "usr/lib/sysimage",
    // Mounted or written by whatever builds the image, and never twice the same.
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    // Ours, which says whether it was the cache's.
    report::PATH,
];

/// Where the machine shows itself: nothing of an image.
const OF_THE_MACHINE: [&str; 3] = ["dev", "proc", "sys"];

/// Where a link may lead that is not followed: what comes and goes, and what ostree has a copy of.
const OF_THE_MOMENT: [&str; 7] = [
    "ostree",
    "run",
    "sysroot",
    "tmp",
    "var/cache",
    "var/log",
    "var/tmp",
];

/// dracut with `--reproducible` gives every newer file the time of this one.
const CLOCK: &str = "usr/lib/dracut/dracut-functions.sh";

/// The most that is read for one key (bytes); an image has some GiB.
const BYTES_MAX: u64 = 32 << 30;

/// Most threads that read.
const THREADS: usize = 4;

/// Files that a thread takes at once.
const AT_ONCE: usize = 64;

/// Bytes that are read at once.
const BUFFER: usize = 128 * 1024;

/// Whether what lies at `path` (relative to the root) is in every key.
pub fn is_covered(path: &Path) -> bool {
    is_in(path, &TREES) && !is_in(path, &LEFT_OUT)
}

fn is_in(path: &Path, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

/// The digest of all that dracut could take: of [`TREES`], of what links in there lead to, and of what lies at the paths
/// that are `named` to it.
///
/// # Errors
/// When something cannot be read; when it is more than can be covered; when we are to stop.
pub fn digest(root: &Root, named: &[String]) -> Result<[u8; 32]> {
    let mut todo: Vec<_> = TREES.into_iter().map(PathBuf::from).collect();
    for name in named {
        todo.extend(elsewhere(name)?);
    }
    let newest = newest(root)?;
    let mut seen = BTreeSet::new();
    let (mut entries, mut bytes) = (0, 0_u64);
    let mut sha256 = Sha256::new();
    while !todo.is_empty() {
        let mut found = Vec::new();
        for path in todo.drain(..) {
            if seen.insert(path.clone()) {
                add(root, &path, &mut found)?;
            }
        }
        entries += found.len();
        let sizes = found.iter().map(|entry| entry.meta.size);
        bytes = sizes.fold(bytes, u64::saturating_add);
        if entries > MAX_ENTRIES || bytes > BYTES_MAX {
            bail!("there are {entries} names with {bytes} bytes, more than are read for a key");
        }
        for (entry, body) in found.iter().zip(bodies(root, &found)?) {
            add_entry(&mut sha256, entry, newest, &body);
            if entry.meta.kind == Kind::Symlink {
                let target = Path::new(OsStr::from_bytes(&body));
                todo.extend(outside(&entry.path, target));
            }
        }
    }
    Ok(sha256.finalize().into())
}

/// The time that no file of an initramfs is newer than, if there is one.
fn newest(root: &Root) -> Result<Option<i64>> {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let epoch = epoch.and_then(|epoch| epoch.parse().ok());
    let clock = root.stat(CLOCK)?.map(|meta| meta.mtime);
    // Which of the two a dracut takes is a matter of its age; the later one hides less.
    Ok(clock.map(|clock| clock.max(epoch.unwrap_or(clock))))
}

/// Where a name in dracut's arguments leads to, if what is there is not covered anyway.
fn elsewhere(name: &str) -> Result<Option<PathBuf>> {
    let path = Path::new(name);
    if path.components().any(|part| part == Component::ParentDir) {
        bail!("dracut's argument {name} has a `..` in it, and may lead anywhere. Write it without");
    }
    let path = normal(path);
    let is_known = path.as_os_str().is_empty() || is_covered(&path);
    Ok((!is_known && !is_in(&path, &OF_THE_MACHINE)).then_some(path))
}

/// Where a link leads to, if that is a place that counts and is not covered anyway. Links on the way there are no concern:
/// each is looked at by itself.
fn outside(link: &Path, target: &Path) -> Option<PathBuf> {
    let dir = link.parent().unwrap_or(Path::new(""));
    let path = normal(&dir.join(target));
    let is_known = path.as_os_str().is_empty() || is_in(&path, &TREES);
    let counts = !is_in(&path, &OF_THE_MACHINE) && !is_in(&path, &OF_THE_MOMENT);
    (!is_known && counts).then_some(path)
}

/// The path relative to the root, without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => normal.push(part),
            Component::ParentDir => {
                normal.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal
}

/// Adds what lies at `path`, and below it.
fn add(root: &Root, path: &Path, found: &mut Vec<Walked>) -> Result<()> {
    let Some(meta) = root.lstat(path)? else {
        return Ok(());
    };
    found.push(Walked {
        path: path.to_owned(),
        meta,
    });
    if meta.kind == Kind::Dir {
        let below = root.walk(path)?.into_iter().map(|below| Walked {
            path: path.join(below.path),
            meta: below.meta,
        });
        found.extend(below.filter(|below| !is_in(&below.path, &LEFT_OUT)));
    }
    Ok(())
}

/// Of every file its digest, of every link its target, of a device its number.
fn bodies(root: &Root, found: &[Walked]) -> Result<Vec<Vec<u8>>> {
    // The entries of one directory are opened in it.
    let mut dirs: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (number, Walked { path, .. }) in found.iter().enumerate() {
        let dir = path.parent().unwrap_or(Path::new(""));
        dirs.entry(dir).or_default().push(number);
    }
    let jobs = dirs.iter();
    let jobs: Vec<(&Path, &[usize])> = jobs
        .flat_map(|(dir, numbers)| numbers.chunks(AT_ONCE).map(|some| (*dir, some)))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Vec<u8>)>> {
        let mut done = Vec::new();
        let mut buffer = vec![0; BUFFER];
        while let Some((dir, numbers)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            stop::check()?;
            let place = root.open_place(*dir)?;
            for &number in *numbers {
                let body = body(root, place.as_ref(), &found[number], &mut buffer)?;
                done.push((number, body));
            }
        }
        Ok(done)
    };
    let threads = thread::available_parallelism().map_or(1, |it| it.get().min(THREADS));
    let joined = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = running.into_iter().map(thread::ScopedJoinHandle::join);
        joined.collect::<Result<Vec<_>, _>>()
    });
    let joined = joined.map_err(|_| anyhow!("a thread that reads the tree has panicked"))?;
    let mut bodies = vec![Vec::new(); found.len()];
    for done in joined {
        for (number, body) in done? {
            bodies[number] = body;
        }
    }
    Ok(bodies)
}

fn body(
    root: &Root,
    place: Option<&Place>,
    Walked { path, meta }: &Walked,
    buffer: &mut [u8],
) -> Result<Vec<u8>> {
    match meta.kind {
        Kind::File => {
            let name = path.file_name().unwrap_or_default();
            let file = place.map(|place| place.open_file(name)).transpose()?;
            let (file, _) = file
                .flatten()
                .with_context(|| format!("/{} went while the tree was read", path.display()))?;
            sha256(file, buffer).with_context(|| format!("reading /{}", path.display()))
        }
        Kind::Symlink => {
            let target = root.read_link(path)?.unwrap_or_default();
            Ok(target.into_os_string().into_encoded_bytes())
        }
        Kind::CharDevice | Kind::BlockDevice => Ok(meta.rdev.to_le_bytes().to_vec()),
        Kind::Dir | Kind::Fifo | Kind::Socket => Ok(Vec::new()),
    }
}

fn sha256(mut file: File, buffer: &mut [u8]) -> Result<Vec<u8>> {
    let mut sha256 = Sha256::new();
    loop {
        stop::check()?;
        match file.read(buffer)? {
            0 => return Ok(sha256.finalize().to_vec()),
            count => sha256.update(&buffer[..count]),
        }
    }
}

fn add_entry(
    sha256: &mut Sha256,
    Walked { path, meta }: &Walked,
    newest: Option<i64>,
    body: &[u8],
) {
    let mtime = newest.map_or(meta.mtime, |newest| meta.mtime.min(newest));
    let kind = meta.kind.to_string();
    for field in [path.as_os_str().as_bytes(), kind.as_bytes(), body] {
        sha256.update((field.len() as u64).to_le_bytes());
        sha256.update(field);
    }
    sha256.update(mtime.to_le_bytes());
    for number in [meta.mode, meta.uid, meta.gid] {
        sha256.update(number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered() {
        for (path, expected) in [
            ("usr/bin/x", true),
            ("usr/share/rpmlint", true),
            ("usr/share/rpm/rpmdb.sqlite", false),
            ("etc/hosts.allow", true),
            ("etc/hosts", false),
            ("usrlocal", false),
            ("var/lib/x", false),
        ] {
            assert_eq!(is_covered(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn where_links_lead() {
        for (link, target, expected) in [
            ("usr/local", "../var/usrlocal", Some("var/usrlocal")),
            ("opt", "var/opt", Some("var/opt")),
            ("etc/x", "/srv/./a/../b", Some("srv/b")),
            ("etc/mtab", "../proc/self/mounts", None),
            ("usr/tmp", "../var/tmp", None),
            ("usr/bin/x", "y", None),
            ("etc/x", "../../../../usr/y", None),
            ("etc/root", "/", None),
            ("etc/httpd/run", "/run/httpd", None),
        ] {
            let found = outside(Path::new(link), Path::new(target));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{link} {target}");
        }
    }
}
