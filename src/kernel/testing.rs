// SPDX-License-Identifier: MIT OR Apache-2.0
//! Helpers for the tests of several modules: a generated kernel module, generated index files, and the check of the
//! fuzz targets' seeds.

use std::path::Path;

/// Builds depmod's index files. The integration tests use the same file.
#[path = "../../tests/it/index.rs"]
pub(crate) mod index;

/// Asserts that the directory `fuzz/seeds/TARGET` contains these files, given as name and content. Writes the files
/// first if `UPDATE_SEEDS` is set, as it is by `make seeds`. Ignores other files in the directory, which are inputs
/// that a fuzzer found.
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

/// Returns an ELF file with the section `.modinfo`, whose content is `info`; see [`sections`].
pub(crate) fn module(wide: bool, big: bool, info: &[u8]) -> Vec<u8> {
    sections(wide, big, &[(".modinfo", info)])
}

/// Returns an ELF file with these sections, given as name and content, and with the section names. The file has 64 bits
/// if `wide` is set, else 32, and is big-endian if `big` is set.
pub(crate) fn sections(wide: bool, big: bool, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let number = |value: usize, size: usize| -> Vec<u8> {
        let bytes = value.to_le_bytes()[..size].to_vec();
        if big {
            bytes.into_iter().rev().collect()
        } else {
            bytes
        }
    };
    let long = if wide { 8 } else { 4 };
    let (header, entry) = if wide { (64, 64) } else { (52, 40) };
    let mut names = b"\0.shstrtab\0".to_vec();
    let mut places = vec![(1, header, 0)];
    let mut contents = Vec::new();
    for (name, content) in sections {
        places.push((names.len(), contents.len(), content.len()));
        names.extend([name.as_bytes(), b"\0"].concat());
        contents.extend(*content);
    }
    places[0].2 = names.len();
    let start = header + names.len();
    for (_, offset, _) in &mut places[1..] {
        *offset += start;
    }
    let mut file = vec![
        0x7f,
        b'E',
        b'L',
        b'F',
        1 + u8::from(wide),
        1 + u8::from(big),
    ];
    file.resize(header - 12 - if wide { 12 } else { 8 }, 0);
    file.extend(number(start + contents.len(), long));
    file.extend([0; 10]);
    for value in [entry, 1 + places.len(), 1] {
        file.extend(number(value, 2));
    }
    assert_eq!(file.len(), header);
    file.extend([names, contents].concat());
    file.extend(vec![0; entry]);
    for (name, offset, size) in places {
        let start = file.len();
        file.extend([number(name, 4), number(1, 4)].concat());
        file.extend(vec![0; long * 2]);
        file.extend(number(offset, long));
        file.extend(number(size, long));
        file.resize(start + entry, 0);
    }
    file
}

/// The content of the section `.modinfo` of a test module.
pub(crate) const INFO: &[u8] =
    b"license=GPL\0alias=fs-x\0alias=y\0depends=dm-mod,jbd2\0softdep=pre: crc32c\0\
    softdep=post: z\0intree=Y\0name=x-y\0noise\0\0vermagic=6.9.4-200.fc40.x86_64 SMP mod_unload \0";
