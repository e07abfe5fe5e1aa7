// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages of the gate.

use crate::node::Deployment;
use crate::node::record::{Judgement, Verdict};
use crate::text::{one_line, plain};

/// Returns the verdict for the log.
pub(super) fn verdict(judgement: &Judgement, booted: Option<&Deployment>) -> String {
    let name = &judgement.deployment;
    let reason = judgement.reason();
    match judgement.verdict {
        _ if judgement.released => {
            format!("staged deployment {name} was released, and is finalised at shutdown")
        }
        Verdict::Verified => format!("staged deployment {name} is fit to boot"),
        Verdict::Warned => format!(
            "staged deployment {name} is not fit to boot ({reason}), and is finalised at shutdown nevertheless (--warn-only)"
        ),
        Verdict::Unknown => format!(
            "staged deployment {name} could not be verified, and is finalised at shutdown nevertheless (--on-error allow): {reason}"
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

/// Returns the message at login.
pub(super) fn message(judgement: &Judgement, is_staged: bool) -> String {
    let Judgement {
        deployment, time, ..
    } = judgement;
    let what = match (judgement.verdict, is_staged) {
        (Verdict::Warned, _) => "is not fit to boot, and is finalised at shutdown",
        (_, true) => "is refused: this machine would not boot it",
        (_, false) => "was refused: this machine would not have booted it",
    };
    let lines = format!(
        "ostree-kernel: the update {deployment} {what} ({time}).\n  {}\n  Details: ostree-kernel status\n",
        one_line(&judgement.reason())
    );
    plain(&lines)
}

/// Returns why a deployment is not verified after the gate was ended.
pub(super) fn ended(result: &str) -> String {
    format!("the gate did not complete ({})", one_line(result))
}

/// The sentence about a staged deployment that cannot be identified, with the policy to refuse.
pub(super) const UNREAD: &str = "the staged deployment is refused, and is not finalised at shutdown, because it cannot be read (--on-error refuse). Remove it (rpm-ostree cleanup -p, or ostree admin undeploy 0), or stage the update again";

/// Returns the message at login about such a deployment.
pub(super) fn unread_message(why: &str) -> String {
    plain(&format!(
        "ostree-kernel: the staged update is refused, because it cannot be read.\n  {}\n",
        one_line(why)
    ))
}

/// Returns the sentence after a release.
pub(super) fn released(judgement: &Judgement, is_locked: bool) -> String {
    let name = &judgement.deployment;
    let lock = if is_locked {
        " as soon as the lock of another program is removed (ostree admin lock-finalization --unlock)"
    } else {
        ""
    };
    format!(
        "released {name}: ostree finalises it at the next shutdown{lock}, and the machine then boots it, although it was found not fit to boot ({}). If it does not come up, choose the second entry of the boot menu",
        judgement.reason()
    )
}

/// Returns the sentence after a release of a deployment that is not staged any more.
pub(super) fn forgotten(judgement: &Judgement) -> String {
    format!(
        "no deployment is staged; the refusal of {} is not shown at login any more. To have the update verified again, stage it again",
        judgement.deployment
    )
}

pub(super) fn locked_by_others(staged: &Deployment) -> String {
    format!(
        "another program locked the finalisation of {}, not the gate. To unlock it, type: ostree admin lock-finalization --unlock",
        staged.name
    )
}

pub(super) fn not_held_back(staged: &Deployment) -> String {
    format!(
        "the gate has not locked the finalisation of {}; ostree finalises it at the next shutdown",
        staged.name
    )
}

pub(super) fn not_judged(staged: &Deployment) -> String {
    format!(
        "removed the lock of {} that an interrupted gate left; it is verified again at the next shutdown",
        staged.name
    )
}
