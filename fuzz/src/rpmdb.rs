// SPDX-License-Identifier: MIT OR Apache-2.0
//! Header blobs of an rpmdb.

use ostree_kernel::package::rpmdb::{FILES_MAX, Record, RpmdbReader, Scope};

use crate::memory::within;

/// Parses a blob of the table `Packages`.
pub fn rpmdb(bytes: &[u8]) {
    // Each path is stored with its directory, up to FILES_MAX bytes for all files. Other strings are copied once.
    let most = (1 << 20) + 2 * FILES_MAX + 64 * bytes.len();
    let record = within(most, || Record::parse(bytes));
    let mut reading = RpmdbReader::new(Scope::All);
    let taken = reading.take(bytes);
    let rpmdb = reading.finish();
    match record {
        Ok(record) => {
            assert_eq!(taken, Ok(()));
            assert_eq!(rpmdb.packages(), [record.clone()]);
            for (path, file) in &record.files {
                let owner = rpmdb.owners_of(path).next();
                assert_eq!(owner, Some((&record, file)), "{path}");
                assert!(rpmdb.owns_in(path));
            }
            assert!(record.kernels().all(|kver| !kver.contains('/')));
        }
        Err(error) => {
            assert_eq!(taken, Err(error));
            assert!(rpmdb.packages().is_empty());
        }
    }
}
