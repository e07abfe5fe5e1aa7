// SPDX-License-Identifier: MIT OR Apache-2.0
//! The policy that decides which algorithms, key sizes and packet versions a signature may use.

use std::time::{Duration, SystemTime};

use sequoia_openpgp::packet::Tag;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_policy_config::ConfiguredStandardPolicy;

use crate::package::PackageError;

/// The longest time by which a signature may be dated in the future, the same as in rpm-sequoia.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The policy of rpm-sequoia, and the time of the run.
#[derive(Debug)]
pub struct Policy {
    rules: StandardPolicy<'static>,
    now: SystemTime,
}

impl Policy {
    /// Returns the policy of an image without a configuration: sequoia's standard policy, except that signatures of
    /// version 3 are accepted, because many distributions still make them.
    pub fn standard(now: SystemTime) -> Self {
        let mut rules = StandardPolicy::at(now);
        rules.accept_packet_tag_version(Tag::Signature, 3);
        Self { rules, now }
    }

    /// Returns the standard policy as changed by a configuration file of rpm-sequoia.
    ///
    /// # Errors
    /// When the file is not TOML, or names a section, an algorithm or a value that does not exist and is not listed in
    /// `ignore_invalid`. rpm rejects such a file, too.
    pub fn configured(now: SystemTime, config: &[u8]) -> Result<Self, PackageError> {
        let mut rules = ConfiguredStandardPolicy::from_policy(Self::standard(now).rules);
        rules
            .parse_bytes(config)
            .map_err(|error| PackageError::Policy(format!("{error:#}")))?;
        Ok(Self {
            rules: rules.build(),
            now,
        })
    }

    /// Returns the rules in sequoia's own type.
    pub(super) fn rules(&self) -> &StandardPolicy<'static> {
        &self.rules
    }

    /// Returns the time of the run.
    pub(super) fn now(&self) -> SystemTime {
        self.now
    }
}
