// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of a tree's rpmdb, and good cases with an rpmdb that does not have the kernel, which does not prevent a
//! boot.

use std::path::Path;

use rusqlite::Connection;

use super::case::{Case, CaseKind};
use super::draft::Draft;
use super::products::Base::{TrixieOld, TrixieSlim};

const DIR: &str = "usr/share/rpm";

/// Changes the header blobs of the tree's rpmdb.
pub fn edit(draft: &Draft, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let copy = tempfile::tempdir().unwrap();
    copy_files(&draft.path(DIR), copy.path());
    let connection = Connection::open(copy.path().join("rpmdb.sqlite")).unwrap();
    let mut statement = connection.prepare("SELECT blob FROM Packages").unwrap();
    let blobs = statement.query_map([], |row| row.get(0)).unwrap();
    let mut blobs: Vec<Vec<u8>> = blobs.map(Result::unwrap).collect();
    drop(statement);
    change(&mut blobs);
    // This program reads only the table Packages; the other tables are rpm's indexes.
    let clear = "PRAGMA foreign_keys = OFF; DELETE FROM Packages;";
    connection.execute_batch(clear).unwrap();
    for blob in blobs {
        let sql = "INSERT INTO Packages (blob) VALUES (?1)";
        connection.execute(sql, [blob]).unwrap();
    }
    connection.close().unwrap();
    swap(draft, copy.path());
}

/// Replaces the tree's rpmdb with the one in the directory `from`.
fn swap(draft: &Draft, from: &Path) {
    draft.remove(DIR);
    fs_err::create_dir_all(draft.path(DIR)).unwrap();
    copy_files(from, &draft.path(DIR));
}

fn copy_files(from: &Path, to: &Path) {
    for name in ["rpmdb.sqlite", "rpmdb.sqlite-wal"] {
        if let Ok(bytes) = fs_err::read(from.join(name)) {
            fs_err::write(to.join(name), bytes).unwrap();
        }
    }
}

/// Returns cases with kernels that no package owns.
pub fn cases() -> Vec<Case> {
    let good = |name: &str, special, change: fn(&mut Draft)| {
        Case::new(CaseKind::Good, name, TrixieSlim, special, &[], change)
    };
    vec![
        good(
            "rpmdb-without-the-kernel",
            "a kernel that was copied",
            |draft| {
                swap(draft, &draft.products.path("rpmdb/erased"));
            },
        ),
        good("rpmdb-of-nothing", "an rpmdb without packages", |draft| {
            swap(draft, &draft.products.path("rpmdb/empty"));
        }),
        good("rpmdb-of-the-base", "packages of another kernel", |draft| {
            swap(draft, &draft.products.tree(TrixieOld).join(DIR));
        }),
    ]
}
