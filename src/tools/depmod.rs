// SPDX-License-Identifier: MIT OR Apache-2.0
//! depmod writes `modules.dep` and its kin. It runs before dracut, which otherwise finds no
//! modules.dep (coreos/rpm-ostree#5578).

use crate::kernel::kver::Kver;
use crate::sys::exec::Cmd;

/// `depmod -a K`.
pub fn all(kver: &Kver) -> Cmd {
    Cmd::new("depmod").arg("-a").arg(kver.as_str())
}
