// SPDX-License-Identifier: MIT OR Apache-2.0
//! depmod writes `modules.dep` and its kin. It runs before dracut, which otherwise finds no
//! modules.dep (coreos/rpm-ostree#5578).

use crate::kernel::kver::Kver;
use crate::sys::exec::Cmd;

/// `depmod -a K`.
pub fn all(kver: &Kver) -> Cmd {
    Cmd::new("depmod").arg("-a").arg(kver.as_str())
}

/// Whether depmod calls a file so until it is whole: `modules.dep.PID.MICROSECONDS.SECONDS`. One that
/// is killed leaves it (kmod, tools/depmod.c).
pub fn is_temporary(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    parts.by_ref().take(3).all(is_number) && name.starts_with("modules.") && parts.count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_not_whole_are_known_by_their_names() {
        for (name, expected) in [
            ("modules.symbols.bin.199.544824.1795550183", true),
            ("modules.dep.1.2.3", true),
            ("modules.dep", false),
            ("modules.1.2.3", false),
            ("modules.dep.bin.2.3", false),
            ("vmlinuz.1.2.3", false),
        ] {
            assert_eq!(is_temporary(name), expected, "{name}");
        }
    }
}
