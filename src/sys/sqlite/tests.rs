// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads files that SQLite wrote, with and without a `-wal`, whole and damaged, and files with a hostile schema.

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{Column, Root, each};

const COLUMN: Column = Column {
    table: "Packages",
    name: "blob",
    max: 1 << 20,
};

/// Opens a database in WAL mode, with the table of an rpmdb and without automatic checkpoints.
fn open(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("db")).unwrap();
    let setup = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        CREATE TABLE IF NOT EXISTS Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL);";
    connection.execute_batch(setup).unwrap();
    connection
}

fn insert(connection: &Connection, blob: &[u8]) {
    let sql = "INSERT INTO Packages (blob) VALUES (?1)";
    connection.execute(sql, [blob]).unwrap();
}

fn read(dir: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut blobs = Vec::new();
    let root = Root::open(dir).unwrap();
    each(&root, "db", COLUMN, &mut |blob| {
        blobs.push(blob.to_vec());
        Ok(())
    })?;
    Ok(blobs)
}

fn error(dir: &Path) -> String {
    format!("{:#}", read(dir).unwrap_err())
}

/// Copies the database and its `-wal` while a writer has them open: a killed writer would leave the same files.
fn killed(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["db", "db-wal"] {
        fs_err::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs_err::read_dir(dir).unwrap();
    let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_database_without_a_log_is_read_and_no_file_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    let large = vec![7; 100_000];
    insert(&writer, b"one");
    insert(&writer, &large);
    drop(writer);
    assert_eq!(names(dir.path()), ["db"]);
    let before = fs_err::read(dir.path().join("db")).unwrap();
    assert_eq!(before[18..20], [2, 2], "WAL mode");
    assert_eq!(read(dir.path()).unwrap(), [b"one".to_vec(), large]);
    assert_eq!(names(dir.path()), ["db"]);
    assert_eq!(fs_err::read(dir.path().join("db")).unwrap(), before);
}

#[test]
fn a_log_counts_up_to_its_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    insert(&writer, b"one");
    writer
        .execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
        .unwrap();
    insert(&writer, &vec![2; 20_000]);
    let with_two = killed(dir.path());
    let size = fs_err::metadata(with_two.path().join("db-wal"))
        .unwrap()
        .len();
    writer
        .execute_batch("DELETE FROM Packages WHERE hnum = 1")
        .unwrap();
    let without_one = killed(dir.path());
    let two = vec![2; 20_000];
    assert_eq!(
        read(with_two.path()).unwrap(),
        [b"one".to_vec(), two.clone()]
    );
    assert_eq!(read(without_one.path()).unwrap(), [two]);
    assert_eq!(names(without_one.path()), ["db", "db-wal"]);
    // From each truncated or damaged log, this reader returns the values that SQLite returns.
    let log = fs_err::read(without_one.path().join("db-wal")).unwrap();
    for cut in [0, 31, 32, 100, size as usize, log.len() - 1, log.len()] {
        let torn = killed(dir.path());
        fs_err::write(torn.path().join("db-wal"), &log[..cut]).unwrap();
        let ours = read(torn.path()).unwrap();
        assert_eq!(ours, sqlite_itself(torn.path()), "cut at {cut}");
    }
    for flipped in [0, 9, 20, 33, 60, 5000, log.len() - 5] {
        let torn = killed(dir.path());
        let mut log = log.clone();
        log[flipped] ^= 1;
        fs_err::write(torn.path().join("db-wal"), &log).unwrap();
        let ours = read(torn.path()).unwrap();
        assert_eq!(ours, sqlite_itself(torn.path()), "flipped {flipped}");
    }
}

fn sqlite_itself(dir: &Path) -> Vec<Vec<u8>> {
    let connection = Connection::open(dir.join("db")).unwrap();
    let mut statement = connection.prepare("SELECT blob FROM Packages").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn content_that_only_the_log_has_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    insert(&writer, b"one");
    let copy = killed(dir.path());
    assert_eq!(read(copy.path()).unwrap(), [b"one".to_vec()]);
}

#[test]
fn unreadable_databases_are_reported() {
    let dir = tempfile::tempdir().unwrap();
    assert!(error(dir.path()).contains("no such file"));
    let path = dir.path().join("db");
    fs_err::write(&path, "no database").unwrap();
    assert!(
        error(dir.path()).contains("not a database"),
        "{}",
        error(dir.path())
    );
    fs_err::write(&path, "").unwrap();
    assert!(error(dir.path()).contains("no table Packages"));
    fs_err::remove_file(&path).unwrap();
    drop(open(dir.path()));
    fs_err::write(dir.path().join("db-journal"), "\0").unwrap();
    assert_eq!(read(dir.path()).unwrap().len(), 0);
    fs_err::write(dir.path().join("db-journal"), "\u{d9}").unwrap();
    assert!(error(dir.path()).contains("unfinished transaction"));
}

#[test]
fn a_hostile_schema_executes_nothing() {
    for (sql, expected) in [
        (
            "CREATE VIEW Packages AS WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT n AS blob FROM x",
            "no table Packages",
        ),
        (
            "CREATE TABLE Packages (a, blob BLOB AS (zeroblob(1000000000)))",
            "too big",
        ),
        ("CREATE TABLE Packages (blob)", "not a blob"),
        ("CREATE TABLE Packages (hnum)", "no such column"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("db")).unwrap();
        connection.execute_batch(sql).unwrap();
        let _ = connection.execute("INSERT INTO Packages DEFAULT VALUES", []);
        drop(connection);
        let said = error(dir.path());
        assert!(said.contains(expected), "{sql}: {said}");
    }
}

#[test]
fn links_do_not_lead_out() {
    let outside = tempfile::tempdir().unwrap();
    insert(&open(outside.path()), b"one");
    let dir = tempfile::tempdir().unwrap();
    let link = |target: &Path| std::os::unix::fs::symlink(target, dir.path().join("db"));
    link(&outside.path().join("db")).unwrap();
    assert!(error(dir.path()).contains("no such file"));
    fs_err::create_dir(dir.path().join("in side?")).unwrap();
    let inside = dir.path().join("in side?/db");
    fs_err::copy(outside.path().join("db"), inside).unwrap();
    fs_err::remove_file(dir.path().join("db")).unwrap();
    link(Path::new("/in side?/db")).unwrap();
    assert_eq!(read(dir.path()).unwrap(), [b"one".to_vec()]);
}

#[test]
fn a_damaged_database_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(dir.path());
    for _ in 0..50 {
        insert(&writer, &[3; 5000]);
    }
    drop(writer);
    let whole = fs_err::read(dir.path().join("db")).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 400) {
        let mut bytes = whole.clone();
        bytes[at] = !bytes[at];
        fs_err::write(dir.path().join("db"), &bytes).unwrap();
        let _ = read(dir.path());
        fs_err::write(dir.path().join("db"), &whole[..at]).unwrap();
        let _ = read(dir.path());
    }
}
