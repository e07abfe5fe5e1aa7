// SPDX-License-Identifier: MIT OR Apache-2.0
//! The facts of ELF files that the dynamic linker uses, parsed as a whole and as a stream.

use ostree_kernel::initramfs::{Bodies, Elf, Inventory, Limits, read};

use crate::memory::within;
use crate::newc::archive;

/// Upper bound of the memory in bytes for the start of a file, its dynamic section, and the facts; lists may double
/// while they grow.
const MEMORY: usize = 2 << 20;

/// Parses an ELF file as a whole and as a stream, and asserts that the results are the same.
pub fn elf(bytes: &[u8]) {
    let parsed = within(MEMORY, || Elf::parse(bytes));
    if let Ok(elf) = &parsed {
        let paths = [&elf.interpreter, &elf.soname, &elf.rpath, &elf.runpath];
        for text in paths.into_iter().flatten().chain(&elf.needed) {
            assert!(!text.contains(&0) && text.len() < bytes.len());
        }
    }
    if !bytes.starts_with(b"\x7fELF") {
        assert!(parsed.is_err());
        return;
    }
    let image = archive([(b"elf".as_slice(), 0o100_755, bytes)]);
    let limits = Limits::default();
    let mut bodies = Bodies::new(None);
    let mut inventory = Inventory::new(&limits);
    read(image.as_slice(), &limits, &mut inventory.with(&mut bodies)).expect("a good archive");
    let node = inventory.node(b"elf").expect("its only file");
    let streamed = bodies.take_facts();
    let streamed = streamed.elf(&inventory, node).expect("it is an ELF file");
    assert_eq!(streamed, &parsed, "as it streams by");
}
