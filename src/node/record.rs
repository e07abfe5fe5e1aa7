// SPDX-License-Identifier: MIT OR Apache-2.0
//! The record of the gate: its verdict on the staged deployment, and earlier refusals.

use serde::{Deserialize, Serialize};

use super::deployment::Name;

/// The version of the record's format.
pub const SCHEMA: u32 = 1;

/// Upper bound of the earlier refusals that are kept.
const HISTORY_MAX: usize = 10;

/// Upper bound of the findings that are recorded for one verdict.
const FINDINGS_MAX: usize = 20;

/// The content of `/var/lib/ostree-kernel/gate.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the record's format: [`SCHEMA`].
    pub schema: u32,
    /// The last verdict.
    #[serde(default)]
    pub current: Option<Judgement>,
    /// Earlier refusals, the latest first.
    #[serde(default)]
    pub history: Vec<Judgement>,
}

/// The output of `gate`: its verdict on one staged deployment, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Judgement {
    /// The staged deployment.
    pub deployment: Name,
    /// A digest of the facts that identify the verified state: name, arguments, directory, kernel, initramfs files,
    /// version of this program.
    pub identity: String,
    /// The kernel's release, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kver: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The time of the verdict (UTC, RFC 3339).
    pub time: String,
    /// The fatal findings; the record keeps the first 20.
    #[serde(default)]
    pub findings: Vec<RecordedFinding>,
    /// The reason why the deployment could not be verified; absent if it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the administrator released the deployment with `gate --release`.
    #[serde(default)]
    pub released: bool,
}

/// The verdict of the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// There are no fatal findings; ostree finalises the deployment.
    Verified,
    /// There are fatal findings, or the deployment could not be verified and `--on-error` demands a refusal. The gate
    /// locks the finalisation.
    Refused,
    /// There are fatal findings, but `--warn-only` was given; ostree finalises the deployment.
    Warned,
    /// The deployment could not be verified; ostree finalises it.
    Unknown,
}

/// A fatal finding in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecordedFinding {
    /// The name of the check.
    pub check: String,
    /// The path of the file with the fault.
    pub path: String,
    /// The state that was found, as text.
    pub found: String,
    /// The expected state, as text.
    pub expected: String,
    /// The remedy, as text.
    pub remedy: String,
}

impl Judgement {
    /// Returns whether the gate locks the finalisation of the deployment.
    pub fn holds_back(&self) -> bool {
        self.verdict == Verdict::Refused && !self.released
    }

    /// Returns the reason for the verdict: the first finding and the number of others or, without findings, the error.
    pub fn reason(&self) -> String {
        match (self.findings.as_slice(), &self.error) {
            ([], Some(error)) => format!("it could not be verified: {error}"),
            ([], None) => "no reason is recorded".to_owned(),
            ([first, others @ ..], _) => {
                let RecordedFinding {
                    check, path, found, ..
                } = first;
                let more = match others.len() {
                    0 => String::new(),
                    count => format!(" (and {count} more)"),
                };
                format!("{check}: {path}: found {found}{more}")
            }
        }
    }
}

impl Record {
    /// Parses a record; `None` if the bytes are not a record, or are a record of another version.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.schema == SCHEMA).then_some(record)
    }

    /// Returns the last verdict; `None` if there is no verdict, or if the last one is on a deployment with another
    /// identity.
    pub fn of(&self, identity: &str) -> Option<&Judgement> {
        let current = self.current.as_ref();
        current.filter(|it| it.identity == identity)
    }

    /// Sets the last verdict. The previous verdict is moved to the history if it is a refusal and its deployment has
    /// another identity.
    pub fn set(&mut self, mut judgement: Judgement) {
        self.schema = SCHEMA;
        judgement.findings.truncate(FINDINGS_MAX);
        if let Some(before) = self.current.take()
            && before.identity != judgement.identity
            && before.verdict == Verdict::Refused
        {
            self.history.insert(0, before);
            self.history.truncate(HISTORY_MAX);
        }
        self.current = Some(judgement);
    }

    /// Returns the refusals, the latest first: the last verdict, if it is a refusal, and then the history.
    pub fn refusals(&self) -> impl Iterator<Item = &Judgement> {
        let current = self.current.iter();
        current
            .filter(|it| it.verdict == Verdict::Refused)
            .chain(&self.history)
    }
}

/// Formats a time, given in seconds since 1970, as `2026-11-30T09:00:00Z`.
pub fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's algorithm `civil_from_days`, in which a year begins in March and an era has 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(identity: &str, verdict: Verdict) -> Judgement {
        Judgement {
            deployment: Name::new("os", &"a".repeat(64), 0).unwrap(),
            identity: identity.to_owned(),
            kver: None,
            verdict,
            time: utc(0),
            findings: Vec::new(),
            error: None,
            released: false,
        }
    }

    #[test]
    fn times() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_996_800 - 1, "2026-11-29T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), expected);
        }
    }

    #[test]
    fn refusals_become_history() {
        let mut record = Record::default();
        for number in 0..15 {
            record.set(judgement(&number.to_string(), Verdict::Refused));
            record.set(judgement(&number.to_string(), Verdict::Refused));
        }
        record.set(judgement("good", Verdict::Verified));
        let names: Vec<_> = record.history.iter().map(|it| &*it.identity).collect();
        assert_eq!(
            names,
            ["14", "13", "12", "11", "10", "9", "8", "7", "6", "5"]
        );
        assert!(record.of("14").is_none() && record.of("good").is_some());
        let text = serde_json::to_vec(&record).unwrap();
        assert_eq!(Record::parse(&text), Some(record));
    }

    #[test]
    fn records_of_others() {
        for text in [
            "",
            "{}",
            "[]",
            "{\"schema\":2}",
            "{\"schema\":1,\"current\":7}",
        ] {
            assert_eq!(Record::parse(text.as_bytes()), None, "{text}");
        }
        assert!(Record::parse(b"{\"schema\":1}").is_some());
    }
}
