// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the rpmdb of a tree, in any of its places and formats.
//!
//! SQLite is read here, without starting a program of the tree. The older formats, ndb and Berkeley DB, are read by the
//! image's own rpm, and only for commands that start programs of the image anyway.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::checks;
use crate::package::rpmdb::{BLOB_MAX, Rpmdb, RpmdbReader, Scope};
use crate::sys::exec::Exec;
use crate::sys::root::{self, Root};
use crate::sys::sqlite::{self, Column};
use crate::tools::{cliwrap, rpm};

/// The directories that can hold the rpmdb, relative to the root; often links to one another.
const DIRS: [&str; 3] = ["usr/share/rpm", "usr/lib/sysimage/rpm", "var/lib/rpm"];

/// The column of the packages in a SQLite rpmdb.
const PACKAGES: Column = Column {
    table: "Packages",
    name: "blob",
    max: BLOB_MAX,
};

/// A format that only rpm itself reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseFormat {
    /// `Packages.db`, as in openSUSE.
    Ndb,
    /// `Packages`, as in RHEL 8.
    BerkeleyDb,
}

impl fmt::Display for DatabaseFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ndb => "ndb",
            Self::BerkeleyDb => "Berkeley DB",
        })
    }
}

/// The result of a search that starts no program.
#[derive(Debug)]
pub enum OwnerSearch {
    /// No rpmdb.
    Nothing,
    /// An rpmdb in a format that only rpm reads: the format, and the path relative to the root.
    Foreign(DatabaseFormat, String),
    /// The packages in a SQLite rpmdb.
    Packages(Rpmdb),
}

/// Searches for the rpmdb, and reads it if its format is SQLite. SQLite in any directory is preferred to older formats.
///
/// # Errors
/// When the rpmdb cannot be read.
pub fn look(root: &Root, scope: Scope) -> Result<OwnerSearch> {
    for dir in DIRS {
        let path = format!("{dir}/rpmdb.sqlite");
        if root.is_file(&path)? {
            return read(root, &path, scope).map(OwnerSearch::Packages);
        }
    }
    for dir in DIRS {
        if let Some((format, path)) = foreign(root, dir)? {
            return Ok(OwnerSearch::Foreign(format, path));
        }
    }
    Ok(OwnerSearch::Nothing)
}

/// Returns the packages in the rpmdb; none without an rpmdb. Other formats than SQLite are read by the image's rpm, so
/// this is only for commands that start programs of the image.
///
/// # Errors
/// When the rpmdb cannot be read, or rpm fails.
pub fn packages(exec: &Exec, scope: Scope) -> Result<Rpmdb> {
    match look(exec.root(), scope).context("reading the rpmdb")? {
        OwnerSearch::Packages(rpmdb) => Ok(rpmdb),
        OwnerSearch::Nothing => Ok(Rpmdb::default()),
        OwnerSearch::Foreign(format, path) => {
            let program = cliwrap::real(exec.root(), "rpm")?;
            rpm::packages(exec, &program, scope)
                .with_context(|| format!("reading /{path} ({format}) with rpm"))
        }
    }
}

/// Reads the packages of kernels in the rpmdb, for the checks. Starts no program, so a format other than SQLite is not
/// read.
pub fn for_checks(root: &Root) -> checks::Database {
    match look(root, Scope::Kernels) {
        Ok(OwnerSearch::Packages(rpmdb)) => checks::Database::Read(Arc::new(rpmdb)),
        Ok(OwnerSearch::Nothing) => {
            checks::Database::Unread("there is no rpmdb in the tree".into())
        }
        Ok(OwnerSearch::Foreign(format, path)) => checks::Database::Unread(format!(
            "/{path} has the format {format}, which only the image's rpm can read; verify starts no program of the image"
        )),
        Err(error) => checks::Database::Failed(format!("{error:#}")),
    }
}

fn read(root: &Root, path: &str, scope: Scope) -> Result<Rpmdb> {
    let mut reading = RpmdbReader::new(scope);
    sqlite::each(root, path, PACKAGES, &mut |blob| Ok(reading.take(blob)?))?;
    Ok(reading.finish())
}

/// Detects an rpmdb of an older format in `dir` by its magic number. Returns the format and the path; `None` if there
/// is no such rpmdb.
fn foreign(root: &Root, dir: &str) -> Result<Option<(DatabaseFormat, String)>, root::Error> {
    let start = |path: &str| {
        let mut start = Vec::new();
        let file = root.open_file(path)?;
        let read = file.map(|file| file.take(16).read_to_end(&mut start));
        Ok::<_, root::Error>(read.is_some_and(|it| it.is_ok()).then_some(start))
    };
    let ndb = format!("{dir}/Packages.db");
    if root.is_file(&ndb)? && start(&ndb)?.is_some_and(|it| it.starts_with(b"RpmP")) {
        return Ok(Some((DatabaseFormat::Ndb, ndb)));
    }
    let bdb = format!("{dir}/Packages");
    // Berkeley DB's magic numbers of a hash and of a B-tree, in the byte order of the machine that wrote the file.
    let is_bdb = |start: Vec<u8>| {
        let magic = start.get(12..16).unwrap_or_default();
        [0x0006_1561_u32, 0x0005_3162]
            .iter()
            .any(|known| magic == known.to_be_bytes() || magic == known.to_le_bytes())
    };
    if root.is_file(&bdb)? && start(&bdb)?.is_some_and(is_bdb) {
        return Ok(Some((DatabaseFormat::BerkeleyDb, bdb)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = dir.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, bytes).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    fn database(dir: &std::path::Path) {
        fs_err::create_dir_all(dir).unwrap();
        let connection = rusqlite::Connection::open(dir.join("rpmdb.sqlite")).unwrap();
        let sql = "PRAGMA journal_mode = WAL;
            CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL);
            INSERT INTO Packages (blob) VALUES (zeroblob(8));";
        connection.execute_batch(sql).unwrap();
    }

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        let bdb = |magic: [u8; 4]| [&[0; 12], magic.as_slice()].concat();
        let table: [(&str, Vec<u8>, &str); 7] = [
            (
                "usr/lib/sysimage/rpm/Packages.db",
                b"RpmP\0\0".to_vec(),
                "ndb",
            ),
            (
                "var/lib/rpm/Packages",
                bdb([0x61, 0x15, 6, 0]),
                "Berkeley DB",
            ),
            (
                "var/lib/rpm/Packages",
                bdb([0, 6, 0x15, 0x61]),
                "Berkeley DB",
            ),
            (
                "usr/share/rpm/Packages",
                bdb([0x62, 0x31, 5, 0]),
                "Berkeley DB",
            ),
            ("usr/share/rpm/Packages", bdb([1, 2, 3, 4]), ""),
            ("usr/share/rpm/Packages", Vec::new(), ""),
            ("usr/share/rpm/Packages.db", Vec::new(), ""),
        ];
        for (path, bytes, expected) in table {
            let (_dir, root) = tree(&[(path, &bytes)]);
            let found = match look(&root, Scope::All).unwrap() {
                OwnerSearch::Foreign(format, at) => {
                    assert_eq!(at, path);
                    format.to_string()
                }
                OwnerSearch::Nothing => String::new(),
                OwnerSearch::Packages(_) => panic!("{path}"),
            };
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn sqlite_wins_and_is_found_through_links() {
        for place in DIRS {
            let (dir, root) = tree(&[("usr/share/rpm/Packages.db", b"RpmP")]);
            database(&dir.path().join(place));
            let found = look(&root, Scope::All).unwrap();
            let OwnerSearch::Packages(rpmdb) = found else {
                panic!("{place}: {found:?}");
            };
            assert_eq!(rpmdb.packages().len(), 1, "{place}");
        }
        let (dir, root) = tree(&[("etc/x", b"")]);
        database(&dir.path().join("usr/elsewhere"));
        fs_err::create_dir_all(dir.path().join("var/lib")).unwrap();
        std::os::unix::fs::symlink("/usr/elsewhere", dir.path().join("var/lib/rpm")).unwrap();
        let found = look(&root, Scope::All).unwrap();
        assert!(matches!(found, OwnerSearch::Packages(_)), "{found:?}");
    }
}
