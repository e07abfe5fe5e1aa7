// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the real program on a case, and compares the result with the expected one.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::case::{Case, CaseKind};
use super::draft::Draft;
use super::products::Products;
use super::scratch::Scratch;
use crate::bed::wait;

/// The check that finds files of the image that differ from their source in the tree.
const PROJECTION: &str = "initramfs-projection";

/// The error of a broken case without a fatal finding.
pub const PASSED: &str = "nothing fatal is found";

/// The result of a case.
pub struct Judged {
    /// The checks with a fatal finding, and with `--fatal-warnings` also those with a warning.
    pub found: BTreeSet<String>,
    /// The difference between the answer of `verify` and the expected answer; `None` if there is none.
    pub wrong: Option<String>,
    /// Standard output, which is the report; with standard error if `verify` failed and no check has a fatal finding.
    pub said: String,
}

/// Creates the case and runs `verify` on it, without the check `skip`.
pub fn judge(place: &Scratch, products: &Products, case: &Case, skip: Option<&str>) -> Judged {
    let mut draft = Draft::new(place, products, case.base);
    (case.change)(&mut draft);
    draft.finish();
    let (status, stdout, stderr) = verify(&draft, skip);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap_or_default();
    let findings = report["findings"].as_array().into_iter().flatten();
    let warnings_count = draft.args.iter().any(|it| it == "--fatal-warnings");
    let is_bad = |it: &&serde_json::Value| {
        it["severity"] == "fatal" || warnings_count && it["severity"] == "warning"
    };
    let found: BTreeSet<String> = findings
        .filter(is_bad)
        .filter_map(|it| Some(it["check"].as_str()?.to_owned()))
        .collect();
    let expected: BTreeSet<String> = case.expected.iter().map(|it| (*it).to_owned()).collect();
    // A changed file in the image also differs from its source, if the tree has the source, so `initramfs-projection`
    // may report it, too.
    let mut others = found.clone();
    if !expected.contains(PROJECTION) {
        others.remove(PROJECTION);
    }
    let wrong = match status {
        None => Some("it hangs".to_owned()),
        Some(0 | 4) if stderr.contains("panicked") => Some("it panicked".to_owned()),
        Some(0) if case.kind == CaseKind::Good => None,
        Some(0) => Some(PASSED.to_owned()),
        Some(4) if others == expected && case.kind != CaseKind::Good => None,
        Some(4) => Some("other checks find it".to_owned()),
        Some(other) => Some(format!("exit status {other}")),
    };
    let said = if found.is_empty() && status != Some(0) {
        format!("{stdout}{stderr}")
    } else {
        stdout
    };
    Judged { found, wrong, said }
}

fn verify(draft: &Draft, skip: Option<&str>) -> (Option<i32>, String, String) {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostree-kernel"));
    command.args(["--format", "json"]);
    if let Some(system) = &draft.system {
        command.arg("--root").arg(system);
        command.args(["verify", "--staged"]);
    } else if draft.base.has_tree() {
        command.arg("--root").arg(draft.root());
        command.args(["verify", "--kver", &draft.kver]);
    } else {
        command
            .arg("verify")
            .arg("--initramfs")
            .arg(draft.image_path());
        command.args(["--kver", &draft.kver]);
    }
    command.args(&draft.args);
    if let Some(check) = skip {
        command.args(["--skip", check]);
    }
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    wait(command.spawn().unwrap())
}

/// Returns the fatal findings of a report, and the checks that could not run, as text; `said` itself if it is not a
/// report.
pub fn findings(said: &str) -> String {
    let report: serde_json::Value = serde_json::from_str(said).unwrap_or_default();
    let Some(findings) = report["findings"].as_array() else {
        return said.to_owned();
    };
    let fatal = findings.iter().filter(|it| it["severity"] == "fatal");
    let line = |it: &serde_json::Value| {
        format!(
            "    {}: {}: found {}; expected {}\n",
            it["check"], it["path"], it["found"], it["expected"]
        )
    };
    let unknown = report["checks"].as_array().into_iter().flatten();
    let unknown = unknown.filter(|it| it["answer"] == "could-not-run");
    fatal
        .map(line)
        .chain(unknown.map(|it| format!("    {it}\n")))
        .collect()
}
