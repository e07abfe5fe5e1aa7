// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel modules, compressed and not, and the files that depmod and the kernel's build create.

use ostree_kernel::kernel::modules::{
    Aliases, IndexError, MAX_UNPACKED, Modinfo, ModinfoError, ModuleList, ModuleName, ModulesDep,
    ParseError, Softdep, Softdeps, aliased, exported, imported, unpack,
};

use crate::memory::within;
use crate::trickle::Trickle;

/// Upper bound of the memory in bytes: twice the largest unpacked module, since a `Vec` that grows is copied, and a
/// decoder's buffers.
const MODULE_MEMORY: usize = 2 * MAX_UNPACKED as usize + (1 << 20);

/// Reads a module file. The first byte of the input selects the compression, and is not a part of the file.
pub fn module(bytes: &[u8]) {
    const NAMES: [&[u8]; 4] = [b"m.ko", b"m.ko.xz", b"m.ko.zst", b"m.ko.gz"];
    let Some((which, file)) = bytes.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*which) % NAMES.len()];
    let (mut plain, mut slow) = (Vec::new(), Vec::new());
    let fast = within(MODULE_MEMORY, || unpack(name, file, &mut plain));
    match (fast, unpack(name, Trickle::new(file), &mut slow)) {
        (Ok(()), Ok(())) => {}
        (Err(_), Err(_)) => return,
        (fast, slow) => panic!("{fast:?}; one byte at a time: {slow:?}"),
    }
    assert!(plain == slow && plain.len() as u64 <= MAX_UNPACKED);
    // The names of at most 16,384 symbols, and a map of them.
    if let Ok(crcs) = within(16 << 20, || imported(&plain)) {
        assert!(crcs.len() <= 16 << 10);
    }
    match within(2 * plain.len() + 4096, || Modinfo::of_module(&plain)) {
        Ok(info) => {
            let names = info.depends().into_iter().chain(info.softdep().pre);
            for name in names.chain(info.name()) {
                assert!(!name.as_bytes().is_empty());
            }
            let _ = (info.kver(), info.vermagic(), info.intree());
        }
        Err(ModinfoError::Truncated { size, .. }) => assert_eq!(size, plain.len()),
        Err(ModinfoError::NotElf { first }) => assert!(plain.starts_with(&first)),
        Err(ModinfoError::NoSection) => {}
    }
}

/// Runs each of these parsers on the bytes: of `modules.dep`, `modules.order`, `modules.builtin`, `modules.softdep`,
/// `modules.alias`, `modules.builtin.modinfo`, `modules.dep.bin`, `modules.alias.bin` and `symvers`, and of the value of
/// a softdep.
pub fn lists(bytes: &[u8]) {
    // Each line costs a few small allocations.
    let most = 256 * bytes.len() + 4096;
    let place = |error: &ParseError| {
        let line = bytes.split(|&byte| byte == b'\n').nth(error.line - 1);
        let line = line.expect("a line of the file");
        let found = line
            .windows(error.found.len())
            .any(|part| part == error.found);
        assert!(found && error.found.len() <= 80, "{error}");
    };
    match within(most, || ModulesDep::parse(bytes)) {
        Ok(dep) => dep_again(&dep),
        Err(error) => place(&error),
    }
    for parse in [ModuleList::parse_order, ModuleList::parse_builtin] {
        match within(most, || parse(bytes)) {
            Ok(list) => assert!(
                list.paths()
                    .iter()
                    .all(|path| ModuleName::of_path(path).is_some_and(|name| list.contains(&name)))
            ),
            Err(error) => place(&error),
        }
    }
    let exports = within(most, || exported(bytes, |name| name != b"x"));
    assert!(exports.len() <= bytes.len());
    match within(most, || Softdeps::parse(bytes)) {
        Ok(softdeps) => softdeps.iter().for_each(|(name, softdep)| {
            assert_eq!(softdeps.get(name), Some(softdep));
        }),
        Err(error) => place(&error),
    }
    let _ = within(most, || Softdep::parse(bytes));
    match within(most, || Aliases::parse(bytes)) {
        Ok(aliases) => resolved(&aliases),
        Err(error) => place(&error),
    }
    resolved(&within(most, || Aliases::parse_builtin(bytes)));
    let inside = |error: IndexError| {
        assert!(
            error.offset <= bytes.len() || error.what.contains("truncated"),
            "{error}"
        )
    };
    match within(most, || ModulesDep::parse_index(bytes)) {
        Ok(dep) => dep_again(&dep),
        Err(error) => inside(error),
    }
    if let Err(error) = within(most, || aliased(bytes)) {
        inside(error);
    }
}

/// Writes the dependencies as text, parses that text, and asserts that the number of modules is unchanged.
fn dep_again(dep: &ModulesDep) {
    let mut text = Vec::new();
    for (path, needs) in dep.iter() {
        assert_eq!(dep.needs(path), Some(needs));
        let name = ModuleName::of_path(path).expect("a module's path");
        assert!(dep.path_of(&name).is_some());
        text.extend_from_slice(path);
        text.extend_from_slice(b": ");
        text.extend_from_slice(&needs.iter().collect::<Vec<_>>().join(&b' '));
        text.push(b'\n');
    }
    assert_eq!(
        ModulesDep::parse(&text).map(|again| again.len()),
        Ok(dep.len())
    );
}

/// Asserts that a pattern without a wildcard matches itself.
fn resolved(aliases: &Aliases) {
    for (pattern, name) in aliases.iter().take(64) {
        let is_plain = !pattern.iter().any(|byte| b"*?[\\".contains(byte));
        let serves = aliases.resolve(pattern).contains(&name);
        assert!(serves || !is_plain, "{}", pattern.escape_ascii());
    }
}
