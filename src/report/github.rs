// SPDX-License-Identifier: MIT OR Apache-2.0
//! Findings as annotations in GitHub Actions.

use super::human::is_shown;
use super::{AnswerWord, FailedImage, FindingReport, Outcome, Report};
use crate::checks::Severity;

/// Returns the findings, and the checks that could not run, as workflow commands, which GitHub's runner reads from
/// standard error. With `quiet`, notes are left out and, if there is a fatal finding, warnings, too.
pub fn annotations(report: &Report, quiet: bool) -> String {
    let mut text = String::new();
    let shown = is_shown(report, quiet, 1);
    for finding in report.findings.iter().filter(|it| shown(it)) {
        let level = match finding.severity {
            Severity::Fatal => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let FindingReport {
            check,
            path,
            found,
            expected,
            remedy,
            ..
        } = finding;
        let image = image(report);
        let message = format!("{image}{path}: found {found}; expected {expected}; to do: {remedy}");
        text += &format!("::{level} title={check}::{}\n", data(&message));
    }
    let level = match report.outcome {
        Outcome::Unknown => "error",
        _ => "warning",
    };
    for check in report
        .checks
        .iter()
        .filter(|it| it.answer == AnswerWord::CouldNotRun)
    {
        let why = data(check.why.as_deref().unwrap_or_default());
        let image = data(&image(report));
        let name = check.check;
        text += &format!("::{level} title={name}::{image}could not run: {why}\n");
    }
    text
}

/// Returns the annotation for an image that could not be read.
pub fn failed(image: &FailedImage) -> String {
    let message = data(&image.to_string());
    format!("::error title=verify::{message}\n")
}

/// Escapes the text of an annotation.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D");
    text.replace('\n', "%0A")
}

/// Returns the reference of the image, as the beginning of a message; empty for a tree.
fn image(report: &Report) -> String {
    let image = report.image.as_ref();
    image.map_or_else(String::new, |it| format!("{}: ", it.reference))
}
