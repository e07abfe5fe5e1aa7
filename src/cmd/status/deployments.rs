// SPDX-License-Identifier: MIT OR Apache-2.0
//! The deployments of a machine, and the gate's verdict on the staged one.

use anyhow::Result;

use crate::node::Deployment;
use crate::node::record::{Judgement, Record, Verdict};
use crate::report::documents::{DeploymentsStatus, LockStatus};
use crate::site::deployments::{self, System};
use crate::site::gate::{self, Lock};
use crate::sys::root::Root;
use crate::text::one_line;

/// The deployments and the gate's record.
pub(super) struct Deployments {
    /// The system, or the reason why its deployments cannot be read.
    system: Result<System, String>,
    record: Record,
    lock: Option<Lock>,
    /// The identity of the staged deployment; `None` if nothing is staged, or if its files cannot be read.
    identity: Option<String>,
}

impl Deployments {
    /// Reads the deployments and the gate's record. `None` for an image, and for a root that was not booted from a
    /// deployment. It is not an error if the deployments cannot be read, but it is one if the gate's record or lock
    /// cannot be read.
    pub(super) fn read(root: &Root) -> Result<Option<Self>> {
        if root.is_image() || root.stat(deployments::BOOTED)?.is_none() {
            return Ok(None);
        }
        let system = deployments::read(root);
        let staged = system.as_ref().ok().and_then(|it| it.staged());
        let lock = staged.map(|it| gate::lock_state(root, it)).transpose()?;
        let identity = match (&system, staged) {
            (Ok(system), Some(staged)) => gate::identity(system, staged).ok(),
            _ => None,
        };
        Ok(Some(Self {
            lock,
            identity,
            record: gate::record(root)?,
            system: system.map_err(|error| format!("{error:#}")),
        }))
    }

    fn staged(&self) -> Option<&Deployment> {
        self.system.as_ref().ok().and_then(System::staged)
    }

    /// Returns the gate's verdict on the staged deployment, if the deployment has not changed since that verdict.
    fn judgement(&self) -> Option<&Judgement> {
        self.record.of(self.identity.as_deref()?)
    }

    /// Returns the lines of the text output, each with its label.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        match &self.system {
            Err(why) => lines.push(("deployments", why.clone())),
            Ok(system) => {
                let booted = system.booted().map(|it| ("booted", it.name.to_string()));
                lines.extend(booted);
            }
        }
        if let Some(staged) = self.staged() {
            let state = match (self.judgement(), self.lock) {
                (Some(judgement), lock) => state(judgement, lock),
                (None, Some(Lock::Own)) => "not verified, locked by an interrupted gate".to_owned(),
                (None, Some(Lock::Other)) => "not verified, locked by another program".to_owned(),
                (None, _) => "not verified".to_owned(),
            };
            lines.push(("staged", format!("{} ({state})", staged.name)));
        }
        lines.extend(self.record.refusals().map(|it| {
            let released = if it.released { ", released" } else { "" };
            let reason = one_line(&it.reason());
            let line = format!("{} at {}{released}: {reason}", it.deployment, it.time);
            ("refused", line)
        }));
        lines
    }

    /// Returns the deployments, the lock and the verdicts for the JSON output.
    pub(super) fn status(&self) -> DeploymentsStatus<'_> {
        let system = self.system.as_ref();
        let booted = system.ok().and_then(System::booted);
        DeploymentsStatus {
            booted: booted.map(|it| &it.name),
            staged: self.staged().map(|it| &it.name),
            judgement: self.judgement(),
            refusals: self.record.refusals().collect(),
            lock: self.lock.map(|lock| match lock {
                Lock::Open => LockStatus::Open,
                Lock::Own => LockStatus::Gate,
                Lock::Other => LockStatus::Other,
            }),
            error: system.err().map(String::as_str),
        }
    }
}

fn state(judgement: &Judgement, lock: Option<Lock>) -> String {
    let verdict = match judgement.verdict {
        _ if judgement.released => "refused, then released",
        Verdict::Verified => "verified",
        Verdict::Refused => "refused",
        Verdict::Warned => "not fit to boot, but not refused",
        Verdict::Unknown => "could not be verified",
    };
    let lock = match lock {
        Some(Lock::Own) => ", locked",
        Some(Lock::Other) => ", locked by another program",
        // The refusal is still in effect: at shutdown the gate locks the finalisation again.
        Some(Lock::Open) if judgement.holds_back() => ", unlocked by another program",
        _ => "",
    };
    format!("{verdict}{lock}")
}
