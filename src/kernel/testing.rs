// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seeds of the fuzz targets are made by the tests of the rooms that the targets attack.

use std::path::Path;

/// Asserts that `fuzz/seeds/TARGET` holds these files. `make seeds` writes them; what a fuzzer
/// found lies beside them.
pub(crate) fn seeds(target: &str, seeds: &[(&str, Vec<u8>)]) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let update = std::env::var_os("UPDATE_SEEDS").is_some();
    if update {
        fs_err::create_dir_all(&dir).unwrap();
    }
    for (name, bytes) in seeds {
        let path = dir.join(name);
        if update {
            fs_err::write(&path, bytes).unwrap();
        }
        let is_current = fs_err::read(&path).is_ok_and(|found| found == *bytes);
        assert!(is_current, "{} is stale; run make seeds", path.display());
    }
}
