// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rpmdb of a root as rpm writes it: SQLite, in WAL mode, with a header blob for each package.
//!
//! The stubs are shell scripts, and store a package as two text files, `usr/share/rpm/NAME.pkg` and `NAME.files`. From
//! the text files, the test writes `rpmdb.sqlite` in the same directory, before each run, and during a run when a stub
//! requests it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

/// The directory of the rpmdb.
pub const DIR: &str = "usr/share/rpm";

/// The file with which a stub requests a new `rpmdb.sqlite`: the stub creates it, and waits until the test removes it.
const ASK: &str = "stub/rpmdb.ask";

/// A copy of the texts from which `rpmdb.sqlite` was last written.
const WRITTEN: &str = "stub/rpmdb.written";

/// A value of a tag: type, number of items, bytes.
struct Value(u32, usize, Vec<u8>);

impl Value {
    fn texts<S: AsRef<str>>(texts: &[S]) -> Self {
        let each = texts
            .iter()
            .map(|it| [it.as_ref().as_bytes(), b"\0"].concat());
        Self(8, texts.len(), each.collect::<Vec<_>>().concat())
    }

    fn text(text: &str) -> Self {
        Self(6, 1, [text.as_bytes(), b"\0"].concat())
    }

    fn numbers(numbers: &[u32]) -> Self {
        let bytes = numbers.iter().flat_map(|it| it.to_be_bytes());
        Self(4, numbers.len(), bytes.collect())
    }

    fn modes(modes: &[u16]) -> Self {
        let bytes = modes.iter().flat_map(|it| it.to_be_bytes());
        Self(3, modes.len(), bytes.collect())
    }
}

/// Returns a header blob with these tags, as in an rpmdb.
fn blob(tags: Vec<(u32, Value)>) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let count = tags.len() as u32;
    for (tag, Value(kind, items, bytes)) in tags {
        let size = match kind {
            3 => 2,
            4 => 4,
            _ => 1,
        };
        data.resize(usize::next_multiple_of(data.len(), size), 0);
        for word in [tag, kind, data.len() as u32, items as u32] {
            index.extend(word.to_be_bytes());
        }
        data.extend(bytes);
    }
    let counts = [count.to_be_bytes(), (data.len() as u32).to_be_bytes()];
    [counts.concat(), index, data].concat()
}

/// Returns the header blob of a package, from the content of its two text files.
fn header(package: &str, files: &str) -> Vec<u8> {
    let mut tags = Vec::new();
    let mut caps: [[Vec<&str>; 3]; 2] = Default::default();
    for line in package.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        match fields.as_slice() {
            ["N", name, epoch, version, release, arch, digest] => {
                if *digest != "(none)" {
                    tags.push((273, Value::text(digest)));
                }
                for (tag, text) in [(1000, name), (1001, version), (1002, release), (1022, arch)] {
                    tags.push((tag, Value::text(text)));
                }
                tags.push((1003, Value::numbers(&[epoch.parse().unwrap()])));
            }
            [kind @ ("P" | "R"), cap @ ..] => {
                let place = &mut caps[usize::from(*kind == "R")];
                for (place, field) in place.iter_mut().zip(cap) {
                    place.push(field);
                }
            }
            _ => panic!("{line:?} is no line of a .pkg"),
        }
    }
    for ([names, flags, versions], numbers) in caps
        .into_iter()
        .zip([[1047, 1112, 1113], [1049, 1048, 1050]])
    {
        let flag = |op: &&str| -> u32 {
            let signs = [('<', 2), ('>', 4), ('=', 8)];
            signs
                .iter()
                .filter(|it| op.contains(it.0))
                .map(|it| it.1)
                .sum()
        };
        let flags: Vec<u32> = flags.iter().map(flag).collect();
        tags.push((numbers[0], Value::texts(&names)));
        tags.push((numbers[1], Value::numbers(&flags)));
        tags.push((numbers[2], Value::texts(&versions)));
    }
    tags.extend(of_files(files));
    blob(tags)
}

/// Returns the tags about files. Each line of `files` is a path, or a path, a tab and the file's SHA-256.
fn of_files(files: &str) -> Vec<(u32, Value)> {
    let files: Vec<_> = files
        .lines()
        .map(|line| line.split_once('\t').unwrap_or((line, "")))
        .collect();
    if files.is_empty() {
        return Vec::new();
    }
    let split = |path: &'_ str| {
        let at = path.rfind('/').unwrap() + 1;
        (path[..at].to_owned(), path[at..].to_owned())
    };
    let paths: Vec<_> = files.iter().map(|(path, _)| split(path)).collect();
    let dirs: BTreeSet<_> = paths.iter().map(|it| it.0.clone()).collect();
    let dirs: Vec<_> = dirs.into_iter().collect();
    let index = |dir: &String| dirs.iter().position(|it| it == dir).unwrap() as u32;
    let indexes: Vec<_> = paths.iter().map(|it| index(&it.0)).collect();
    let names: Vec<_> = paths.into_iter().map(|it| it.1).collect();
    let digests: Vec<_> = files.iter().map(|it| it.1).collect();
    vec![
        (1030, Value::modes(&vec![0o100_644; files.len()])),
        (1035, Value::texts(&digests)),
        (1037, Value::numbers(&vec![0; files.len()])),
        (1116, Value::numbers(&indexes)),
        (1117, Value::texts(&names)),
        (1118, Value::texts(&dirs)),
        (5011, Value::numbers(&[8])),
    ]
}

/// Writes `rpmdb.sqlite` with these blobs to `dir`. With `logged`, the blobs are only in the write-ahead log, as after
/// rpm was killed.
pub fn write_blobs(dir: &Path, blobs: &[Vec<u8>], logged: bool) {
    let made = tempfile::tempdir().unwrap();
    let file = made.path().join("rpmdb.sqlite");
    let mut connection = Connection::open(&file).unwrap();
    let setup = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
        CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);
        CREATE TABLE Name (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);";
    connection.execute_batch(setup).unwrap();
    if logged {
        connection
            .execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
            .unwrap();
    }
    let transaction = connection.transaction().unwrap();
    for blob in blobs {
        let sql = "INSERT INTO Packages (blob) VALUES (?1)";
        transaction.execute(sql, [blob]).unwrap();
    }
    transaction.commit().unwrap();
    let copy = |name: &str| fs_err::copy(made.path().join(name), dir.join(name)).map(|_| ());
    if logged {
        copy("rpmdb.sqlite-wal").unwrap();
    } else {
        connection.close().unwrap();
    }
    // The copy fails if the test's disk is full.
    if copy("rpmdb.sqlite").is_err() {
        let _ = fs_err::remove_file(dir.join("rpmdb.sqlite"));
    }
}

/// Returns the header blobs of the packages below `root`.
pub fn blobs(root: &Path) -> Vec<Vec<u8>> {
    texts(root)
        .iter()
        .map(|(package, files)| header(package, files))
        .collect()
}

/// Returns the contents of the two text files of each package, sorted by name.
fn texts(root: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs_err::read_dir(root.join(DIR)) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|it| it.extension().is_some_and(|it| it == "pkg"))
        .collect();
    paths.sort();
    let text = |path: &Path| fs_err::read_to_string(path).unwrap_or_default();
    let texts = paths
        .iter()
        .map(|it| (text(it), text(&it.with_extension("files"))));
    texts.collect()
}

/// Writes `rpmdb.sqlite` from the text files, unless they are unchanged since the last time, there are none, or the
/// test has an rpmdb of another format.
pub fn write(root: &Path) {
    let dir = root.join(DIR);
    let texts = format!("{:?}", texts(root));
    let written = root.join(WRITTEN);
    let is_written = fs_err::read_to_string(&written).is_ok_and(|it| it == texts);
    if texts == "[]" || is_written || dir.join("Packages.db").exists() {
        return;
    }
    write_blobs(&dir, &blobs(root), false);
    let _ = fs_err::write(written, texts);
}

/// Writes `rpmdb.sqlite` each time that a stub requests it, until `done` is set.
pub fn serve(root: &Path, done: &AtomicBool) {
    let ask = root.join(ASK);
    while !done.load(Ordering::Relaxed) {
        if ask.exists() {
            write(root);
            let _ = fs_err::remove_file(&ask);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}
