// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks. A check has a name, a severity, a description in one line, the public issue that led to it, and a pure
//! function.
//!
//! A check examines facts; it opens no file and starts no program. It returns its findings (an empty list means that
//! the rule holds), or the reason why it could not run or does not apply. The names of checks are stable, since users
//! write them into pipelines.

mod able;
mod baseline;
mod blocked;
mod boot_space;
mod dracut_conf;
mod early;
mod finding;
mod initramfs;
mod kernel;
mod kmod_userland;
mod kmods;
mod leaner;
mod leftovers;
mod lost;
mod module_signers;
mod module_versions;
mod modules;
mod node;
mod omitted;
mod os_release;
mod prepare_root;
mod registry;
mod remedy;
mod setup_root;
mod setups;
mod squash;
mod subject;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod uki;
pub mod verdict;
mod wanted;

use std::collections::BTreeMap;
use std::convert::Infallible;

use crate::pool;

pub use baseline::{Baseline, plain_firmware};
pub use blocked::{ModuleParameters, with_options};
pub use boot_space::SPACE_CHECK;
pub use dracut_conf::DracutConf;
pub use early::kinds as early_kinds;
pub use finding::{Answer, Finding, Severity};
use finding::{listed, show};
pub use initramfs::drivers::DRIVER_CHECK;
pub use initramfs::intent::{COPIED_DIRS, copies};
pub use initramfs::sources::{Alteration, AlteredElf};
pub use kernel::files::{InnerKernel, KernelFiles, ModuleState, OtherModule, VmlinuzState};
pub use kernel::hmac::{Hmac, is_read as reads_hmac};
pub use kernel::signer::SignerFacts;
pub use kmod_userland::{Userland, firmware_dirs};
pub use kmods::{Kmod, is_foreign, is_out_of_tree};
pub use module_signers::ModuleSigners;
pub use module_versions::{
    Exports, SymbolVersions, compares_versions, is_one_build, modules_for_root,
};
pub use omitted::Omitted;
pub use os_release::OsRelease;
pub use registry::CHECKS;
pub use remedy::{Remedy, Situation};
pub use setups::Setups;
pub use subject::{
    AllLacking, BootedBy, Database, ImageFile, Initramfs, Lacking, Lists, NoRelease, Shadow,
    Subject, TreeFacts,
};
pub use wanted::{Artefact, Budget, RootDevice, Wanted};

/// One check of the registry.
#[derive(Debug)]
pub struct Check {
    /// The stable name.
    pub name: &'static str,
    /// The severity of its findings, except those that have a lower one ([`Finding::milder`]).
    pub severity: Severity,
    /// The condition that must hold, in one line.
    pub about: &'static str,
    /// The public issue that led to the check: `owner/repository#number` or a CVE.
    pub issue: &'static str,
    /// Whether the answer can depend on the [`Baseline`], the facts about an earlier initramfs and its kernel.
    pub compares: bool,
    /// The function. `Err` is the answer if the check does not apply or could not run.
    pub look: fn(&Subject) -> Result<Vec<Finding>, Answer>,
}

/// The checks to run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The only checks to run; all checks if the list is empty.
    pub only: Vec<String>,
    /// Checks that are not run; the report lists them as skipped.
    pub skip: Vec<String>,
}

/// Runs the selected checks on two threads, and returns their answers in the order of [`CHECKS`]. More threads would
/// not be faster, since the check `initramfs-modules` alone takes half of the total time.
pub fn run(subject: &Subject, selection: &Selection) -> Vec<(&'static Check, Answer)> {
    let named = |names: &[String], check: &Check| names.iter().any(|name| name == check.name);
    let look = |check: &'static Check| {
        if named(&selection.skip, check) {
            return (check, Answer::Skipped);
        }
        match (check.look)(subject) {
            Ok(findings) if findings.is_empty() => (check, Answer::Good),
            Ok(findings) => (check, Answer::Found(findings)),
            Err(answer) => (check, answer),
        }
    };
    let selected = CHECKS
        .iter()
        .filter(|check| selection.only.is_empty() || named(&selection.only, check));
    let Ok(mut answers) = pool::try_map(selected, 2, |check| Ok::<_, Infallible>(look(check)));
    once(&mut answers);
    answers
}

/// Removes the findings of `initramfs-projection` about files for which another check has a finding of the same or a
/// higher severity, since both findings then have the same cause.
fn once(answers: &mut [(&'static Check, Answer)]) {
    const COPIES: &str = "initramfs-projection";
    let mut known: BTreeMap<String, Severity> = BTreeMap::new();
    for (check, answer) in answers.iter().filter(|(check, _)| check.name != COPIES) {
        let Answer::Found(findings) = answer else {
            continue;
        };
        for finding in findings {
            let severity = finding.milder.unwrap_or(check.severity);
            let worst = known.entry(finding.path.clone()).or_insert(severity);
            *worst = severity.min(*worst);
        }
    }
    for (check, answer) in answers.iter_mut().filter(|(check, _)| check.name == COPIES) {
        let Answer::Found(findings) = answer else {
            continue;
        };
        findings.retain(|finding| {
            let severity = finding.milder.unwrap_or(check.severity);
            known
                .get(&finding.path)
                .is_none_or(|worst| *worst > severity)
        });
        if findings.is_empty() {
            *answer = Answer::Good;
        }
    }
}
