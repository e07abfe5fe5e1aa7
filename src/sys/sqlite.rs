// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads one column of a table in an SQLite file of the tree, without changing the tree.
//!
//! An rpmdb is in WAL mode. Even for reading, SQLite creates the files `-shm` and `-wal` next to a database in this
//! mode. That changes the tree, and fails on a read-only mount. Therefore the database is opened as immutable. If it
//! has a `-wal` with a committed transaction, the two files are merged in memory, and SQLite opens the result.
//!
//! The file may be hostile: its views, triggers and virtual tables are not used, its schema can call only functions
//! that SQLite regards as innocuous, and sizes and time are bounded.

mod wal;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use self::wal::Wal;
use super::root::Root;

/// Upper bound of a file that is read in place (bytes).
const FILE_MAX: u64 = 4 << 30;

/// Upper bound of a file that is read into memory, and of a `-wal` (bytes).
const MEMORY_MAX: u64 = 1 << 30;

/// The timeout for reading a column. A large rpmdb takes a second.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Number of SQLite's virtual machine instructions between checks of the timeout.
const STEPS: i32 = 10_000;

/// One column of blobs.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The table's name.
    pub table: &'static str,
    /// The column's name.
    pub name: &'static str,
    /// Upper bound of a value (bytes).
    pub max: u32,
}

/// Passes each value of `column` in the file at `path` (relative to the root) to `value`.
///
/// # Errors
/// When the file cannot be read, does not have the table or the column, has an unfinished transaction, or exceeds a
/// limit of size or time; or when `value` fails.
pub fn each(
    root: &Root,
    path: &str,
    column: Column,
    value: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let file = root.open_file(path)?.context("no such file")?;
    let read = || {
        refuse_journal(root, path)?;
        let wal = root.open_file(format!("{path}-wal"))?;
        let wal = wal.map(|wal| Wal::read(wal, MEMORY_MAX)).transpose();
        let wal = wal.context("reading its -wal")?.flatten();
        let connection = match wal {
            Some(wal) => in_memory(file, Some(wal))?,
            None => in_place(file)?,
        };
        restrict(&connection, column)?;
        rows(&connection, column, value)
    };
    read().with_context(|| format!("reading /{path} as an SQLite file"))
}

/// Fails if there is a rollback journal of an unfinished transaction: before it is rolled back, the file is
/// inconsistent. The journal of a finished transaction is empty or starts with a zero byte.
fn refuse_journal(root: &Root, path: &str) -> Result<()> {
    let journal = root.open_file(format!("{path}-journal"))?;
    let mut first = [0];
    if let Some(mut journal) = journal
        && journal.read(&mut first)? == 1
        && first != [0]
    {
        bail!(
            "/{path}-journal holds an unfinished transaction: run rpm -q rpm in the image, which finishes it, and build the layer again"
        );
    }
    Ok(())
}

/// Opens the file in place. SQLite needs a path, not a descriptor; the path is read from the descriptor's link in
/// `/proc`. If there is no link, or the path no longer leads to the same file, the file is read into memory.
fn in_place(file: File) -> Result<Connection> {
    let meta = file.metadata()?;
    if meta.len() > FILE_MAX {
        bail!("it has {} bytes, the limit is {FILE_MAX}", meta.len());
    }
    let name = fs_err::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let Ok(name) = name else {
        return in_memory(file, None);
    };
    let is_it = fs_err::symlink_metadata(&name)
        .is_ok_and(|it| (it.dev(), it.ino()) == (meta.dev(), meta.ino()));
    if !is_it {
        return in_memory(file, None);
    }
    let name = percent_encode(name.as_os_str().as_bytes(), NON_ALPHANUMERIC);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(
        format!("file:{name}?immutable=1"),
        flags,
    )?)
}

/// Reads the file into memory, applies the pages of its `-wal` if one is given, and opens the result.
fn in_memory(mut file: File, wal: Option<Wal>) -> Result<Connection> {
    let size = match &wal {
        Some(wal) => wal.size(),
        None => file.metadata()?.len(),
    };
    if size > MEMORY_MAX {
        bail!("it has {size} bytes, the limit in memory is {MEMORY_MAX}");
    }
    let mut image = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(size).read_to_end(&mut image)?;
    if let Some(wal) = wal {
        wal.apply(&mut image)?;
    }
    // Sets the write and read versions in the header to 1 (rollback journal), since a database in memory cannot be in
    // WAL mode.
    if let Some(versions) = image.get_mut(18..20) {
        versions.fill(1);
    }
    let mut connection = Connection::open_in_memory()?;
    let size = image.len();
    connection.deserialize_read_exact(c"main", image.as_slice(), size, true)?;
    Ok(connection)
}

/// Disables features that reading a table does not need, and sets the limits.
fn restrict(connection: &Connection, column: Column) -> rusqlite::Result<()> {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
    ] {
        connection.set_db_config(config, on)?;
    }
    let max = i32::try_from(column.max).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, max)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    let start = Instant::now();
    connection.progress_handler(STEPS, Some(move || start.elapsed() > TIME_MAX))?;
    connection.execute_batch(
        "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA query_only = ON;",
    )
}

fn rows(
    connection: &Connection,
    column: Column,
    value: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let Column { table, name, .. } = column;
    // A virtual table would execute code.
    let is_plain =
        "SELECT count(*) FROM sqlite_schema WHERE name = ?1 AND type = 'table' AND rootpage > 0";
    let count: i64 = connection.query_row(is_plain, [table], |row| row.get(0))?;
    if count != 1 {
        bail!("it has no table {table}");
    }
    let mut statement = connection.prepare(&format!("SELECT {name} FROM {table}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob();
        value(bytes.with_context(|| format!("{table}.{name} is not a blob"))?)?;
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends. Returns the number of bytes read.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests;
