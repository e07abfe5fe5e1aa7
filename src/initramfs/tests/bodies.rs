// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files whose facts would exceed the budgets.

use super::super::testing::*;
use super::super::*;
use crate::kernel::testing::module;

fn error(items: &[TestEntry]) -> String {
    let image = pack(Compression::Zstd, &archive(items));
    let limits = Limits {
        ratio: u64::MAX,
        ..Limits::default()
    };
    let mut bodies = Bodies::new(None);
    match read(image.as_slice(), &limits, &mut bodies).unwrap_err() {
        ReadError::Visitor { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// Returns an ELF file that requires `count` times a library whose name has `length` bytes.
fn greedy(count: usize, length: usize) -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(64, 0);
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 2;
    let dynamic = 64 + 2 * 56;
    let strings = dynamic + 16 * (count + 2);
    for (kind, at, size) in [
        (1_u32, 0, strings + length + 1),
        (2, dynamic, 16 * (count + 2)),
    ] {
        elf.extend_from_slice(&kind.to_le_bytes());
        elf.extend_from_slice(&0_u32.to_le_bytes());
        for value in [at, at, at, size, size, 8] {
            elf.extend_from_slice(&(value as u64).to_le_bytes());
        }
    }
    let entries = std::iter::repeat_n((1, 0), count);
    for (tag, value) in [(5, strings)].into_iter().chain(entries).chain([(0, 0)]) {
        elf.extend_from_slice(&(tag as u64).to_le_bytes());
        elf.extend_from_slice(&(value as u64).to_le_bytes());
    }
    elf.resize(elf.len() + length, b'x');
    elf.push(0);
    elf
}

#[test]
fn one_elf_file_has_names_within_a_budget() {
    let names = |elf: &[u8]| Elf::parse(elf).map(|elf| elf.needed.concat().len());
    assert_eq!(names(&greedy(4, 1000)), Ok(4000));
    // 512 names that share their bytes: 20 KB of the file would become 6 MB.
    let what = "bytes of names";
    let limit = 128 << 10;
    assert_eq!(
        names(&greedy(512, 12_000)),
        Err(ElfError::TooMany { what, limit })
    );
}

#[test]
fn all_files_together_say_a_bounded_amount() {
    let budget = "the facts about its modules and programs have more than 8388608 bytes";
    let elf = greedy(1000, 100);
    let programs: Vec<TestEntry> = (0..100).map(|i| file(&format!("p{i}"), &elf)).collect();
    assert_eq!(error(&programs), budget);
    let long = format!("depends={}\0", "a".repeat(60 << 10));
    let module = module(true, false, long.as_bytes());
    let modules: Vec<TestEntry> = (0..140)
        .map(|i| file(&format!("lib/modules/{i}.ko"), &module))
        .collect();
    assert_eq!(error(&modules), budget);
}
