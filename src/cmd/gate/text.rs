// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages of the gate.

use crate::node::Deployment;
use crate::node::record::{Judgement, Verdict};
use crate::text::{one_line, plain};

/// Returns the reason for a verdict: the error, if the deployment could not be verified, else the first finding.
fn cause(judgement: &Judgement) -> String {
    let error = judgement.error.clone();
    error.unwrap_or_else(|| judgement.reason())
}

/// Returns the verdict as a sentence for the log or standard output.
pub(super) fn verdict(judgement: &Judgement, booted: Option<&Deployment>) -> String {
    let name = &judgement.deployment;
    let reason = judgement.reason();
    match judgement.verdict {
        _ if judgement.released => {
            format!("staged deployment {name} was released, and is finalised at shutdown")
        }
        Verdict::Verified => format!("staged deployment {name} is fit to boot"),
        Verdict::Warned => format!(
            "staged deployment {name} is not fit to boot ({reason}), but is finalised at shutdown (--warn-only)"
        ),
        Verdict::Unknown => format!(
            "staged deployment {name} could not be verified ({}), but is finalised at shutdown (--on-error allow or --warn-only)",
            cause(judgement)
        ),
        Verdict::Refused => {
            let stays = booted.map_or("the running deployment".to_owned(), |it| {
                it.name.to_string()
            });
            format!(
                "staged deployment {name} is refused, and is not finalised at shutdown: {reason}. The machine stays on {stays}. To verify it again: ostree-kernel verify --staged. To let it pass: ostree-kernel gate --release"
            )
        }
    }
}

/// Returns the message at login about a deployment that is refused, or that `--warn-only` allows. `is_staged` is false
/// if the deployment is no longer staged, for example after a reboot.
pub(super) fn message(judgement: &Judgement, is_staged: bool) -> String {
    let Judgement {
        deployment, time, ..
    } = judgement;
    let is_unverified = judgement.error.is_some();
    let what = match (judgement.verdict, is_unverified, is_staged) {
        (Verdict::Warned, _, _) => "is not fit to boot, but is finalised at shutdown",
        (_, true, true) => "is refused, because it could not be verified",
        (_, true, false) => "was refused, because it could not be verified",
        (_, false, true) => "is refused: this machine would not boot it",
        (_, false, false) => "was refused: this machine would not have booted it",
    };
    let lines = format!(
        "ostree-kernel: the update {deployment} {what} ({time}).\n  {}\n  Details: ostree-kernel status\n",
        one_line(&cause(judgement))
    );
    plain(&lines)
}

/// Returns the reason why a deployment is not verified: the run of the gate failed. `result` is the `$SERVICE_RESULT`
/// of that run.
pub(super) fn failed_run(result: &str) -> String {
    format!("the run of the gate failed ({})", one_line(result))
}

/// The sentence about a staged deployment that cannot be identified, and is refused because of `--on-error refuse`.
pub(super) const UNREAD: &str = "the staged deployment is refused, and is not finalised at shutdown, because the gate failed (--on-error refuse). Remove it (rpm-ostree cleanup -p, or ostree admin undeploy 0), or stage the update again";

/// Returns the message at login about a staged deployment that cannot be identified.
pub(super) fn unread_message(why: &str) -> String {
    plain(&format!(
        "ostree-kernel: the staged update is refused, because the gate failed.\n  {}\n",
        one_line(why)
    ))
}

/// Returns the sentence after the release of a refused deployment. `is_locked` means that another program's lock
/// remains.
pub(super) fn released(judgement: &Judgement, is_locked: bool) -> String {
    let name = &judgement.deployment;
    let lock = if is_locked {
        " as soon as the lock of another program is removed (ostree admin lock-finalization --unlock)"
    } else {
        ""
    };
    format!(
        "released {name}: ostree finalises it at the next shutdown{lock}, and the machine then boots it. Reason of the refusal: {}. If the machine does not boot, choose the second entry of the boot menu",
        judgement.reason()
    )
}

/// Returns the sentence after the release of a deployment that is no longer staged.
pub(super) fn forgotten(judgement: &Judgement) -> String {
    format!(
        "no deployment is staged. The refusal of {} is no longer shown at login. To verify the update again, stage it again",
        judgement.deployment
    )
}

/// Returns the sentence after `--release` if no refusal is recorded, and another program has locked the finalisation.
pub(super) fn locked_by_others(staged: &Deployment) -> String {
    format!(
        "the gate has not locked the finalisation of {}; another program or the administrator has. To unlock it, type: ostree admin lock-finalization --unlock",
        staged.name
    )
}

/// Returns the sentence after `--release` if no refusal is recorded, and the finalisation is not locked.
pub(super) fn not_held_back(staged: &Deployment) -> String {
    format!(
        "the gate has not locked the finalisation of {}; ostree finalises it at the next shutdown",
        staged.name
    )
}

/// Returns the sentence after `--release` if the gate has locked the finalisation, but no refusal is recorded.
pub(super) fn not_judged(staged: &Deployment) -> String {
    format!(
        "removed the lock that an interrupted gate had left on {}. The deployment is verified at the next shutdown",
        staged.name
    )
}
