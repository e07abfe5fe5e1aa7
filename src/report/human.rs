// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a run as text.

use std::collections::BTreeMap;

use super::{AnswerWord, Command, FailedImage, FindingReport, Outcome, Report};
use crate::checks::Severity;
use crate::plan::change;
use crate::text::{GREEN, RED, YELLOW, one_line, painted};

/// The level of detail, and the use of colours.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Whether `-q` is given.
    pub quiet: bool,
    /// How often `-v` is given.
    pub verbose: u8,
    /// Whether to print colours.
    pub has_colours: bool,
}

/// Returns a filter for the findings to show: notes only with `-v` and without `-q`; with `-q`, warnings only if
/// nothing is fatal.
pub(super) fn is_shown(
    report: &Report,
    quiet: bool,
    verbose: u8,
) -> impl Fn(&FindingReport) -> bool {
    let is_fatal = |it: &FindingReport| it.severity == Severity::Fatal;
    let fatal_only = quiet && report.findings.iter().any(is_fatal);
    move |finding| match finding.severity {
        Severity::Fatal => true,
        Severity::Warning => !fatal_only,
        Severity::Note => verbose > 0 && !quiet,
    }
}

/// Returns the text of a report: changed packages, checks that did not run, findings, and at the end the verdict. For
/// an image, the verdict is first. With `-q`, the text of a good result is empty, and that of another result has
/// neither changed packages nor checks that were skipped or do not apply.
pub fn human(report: &Report, wishes: &Style) -> String {
    if wishes.quiet && !report.outcome.is_bad() {
        return String::new();
    }
    let paint = |words: &str, colour| {
        if wishes.has_colours {
            painted(words, colour)
        } else {
            words.to_owned()
        }
    };
    let mut text = String::new();
    if !wishes.quiet {
        text += &change::table(&report.changes, &report.stays);
        for (why, checks) in by_reason(report, &[AnswerWord::NotApplicable, AnswerWord::Skipped]) {
            text += &format!("skipped {checks}: {}\n", one_line(why));
        }
    }
    let shown = is_shown(report, wishes.quiet, wishes.verbose);
    let shown: Vec<_> = report.findings.iter().filter(|it| shown(it)).collect();
    // The worst findings are printed last. If the verdict is not first, it follows them.
    for (severity, colour) in [
        (Severity::Note, ""),
        (Severity::Warning, YELLOW),
        (Severity::Fatal, RED),
    ] {
        let word = match colour {
            "" => severity.as_str().to_owned(),
            colour => paint(severity.as_str(), colour),
        };
        if severity == Severity::Fatal {
            for (why, checks) in by_reason(report, &[AnswerWord::CouldNotRun]) {
                text += &paint("unknown", YELLOW);
                text += &format!(" {checks}: could not run: {}\n", one_line(why));
            }
        }
        let findings = shown.iter().filter(|it| it.severity == severity);
        text += &blocks(&word, &findings.copied().collect::<Vec<_>>());
    }
    let colour = match report.outcome {
        Outcome::Committed | Outcome::Unchanged | Outcome::Passed => GREEN,
        Outcome::Rejected => RED,
        Outcome::Unknown => YELLOW,
    };
    let verdict = paint(&one_line(&verdict(report)), colour) + "\n";
    // The texts of several images follow one another, so the text of an image begins with the verdict, which names the
    // image.
    if report.image.is_some() {
        verdict + &text
    } else {
        text + &verdict
    }
}

/// Returns the line about an image that could not be read.
pub fn failed(image: &FailedImage, has_colours: bool) -> String {
    let line = one_line(&image.to_string());
    let line = if has_colours {
        painted(&line, YELLOW)
    } else {
        line
    };
    line + "\n"
}

/// Formats findings of one severity, with one line each for the found state, the expected state and the remedy.
/// Findings with the same remedy are grouped, and the remedy is printed once. Likewise, an expected state that
/// successive findings of a group share is printed once.
fn blocks(word: &str, findings: &[&FindingReport]) -> String {
    let mut text = String::new();
    let mut remedies: Vec<&str> = Vec::new();
    for finding in findings {
        if !remedies.contains(&finding.remedy.as_str()) {
            remedies.push(&finding.remedy);
        }
    }
    for remedy in remedies {
        let group: Vec<_> = findings.iter().filter(|it| it.remedy == remedy).collect();
        for (number, finding) in group.iter().enumerate() {
            let FindingReport {
                check, path, found, ..
            } = finding;
            let found = one_line(&format!("{check}: {path}: found {found}"));
            text += &format!("{word} {found}\n");
            let next = group.get(number + 1).map(|it| &it.expected);
            if next != Some(&finding.expected) {
                text += &format!("  expected: {}\n", one_line(&finding.expected));
            }
        }
        let count = match group.iter().map(|it| it.defects()).sum::<usize>() {
            1 => String::new(),
            count => format!(" (for these {count})"),
        };
        text += &format!("  to do:    {}{count}\n", one_line(remedy));
    }
    text
}

/// Returns the line with the verdict, without a line break: the image or deployment, the kernel, whether the kernel is
/// fit to boot, and the counts of checks and findings.
fn verdict(report: &Report) -> String {
    let after = &report.kernel.after;
    let kernel = match &report.kernel.before {
        Some(before) => format!("kernel {} -> {}", before.kver, after.kver),
        None => format!("kernel {}", after.kver),
    };
    let kernel = match (&report.image, &report.deployment) {
        (Some(image), _) => format!("{}: {kernel}", image.reference),
        (_, Some(it)) => format!("{} deployment {}, {kernel}", it.place.as_str(), it.name),
        (None, None) => kernel,
    };
    let severities = |severity| {
        let findings = report.findings.iter();
        let findings = findings.filter(|it| it.severity == severity);
        findings.map(FindingReport::defects).sum::<usize>()
    };
    let answers = |answers: &[AnswerWord]| {
        let checks = report.checks.iter();
        checks.filter(|it| answers.contains(&it.answer)).count()
    };
    let (fatal, warnings) = (severities(Severity::Fatal), severities(Severity::Warning));
    let (ran, all) = (
        answers(&[AnswerWord::Good, AnswerWord::Found]),
        report.checks.len(),
    );
    let ran = format!("{ran} of {all} checks ran");
    let warned = match warnings {
        0 => String::new(),
        _ => format!(", {}", counted(warnings, "warning")),
    };
    let unfinished = match report.command {
        Command::Verify | Command::Gate => "",
        Command::Replace | Command::Rebuild => "; nothing was committed",
    };
    let verdict = match report.outcome {
        Outcome::Committed | Outcome::Unchanged | Outcome::Passed => {
            let mib =
                |size: u64| format!("initramfs {:.1} MiB, ", size as f64 / f64::from(1 << 20));
            let size = after.initramfs_size.map(mib).unwrap_or_default();
            format!("{size}{ran}, no fatal findings{warned}")
        }
        Outcome::Rejected if fatal == 0 => {
            let warnings = counted(warnings, "warning");
            format!("rejected by --fatal-warnings: {warnings}, {ran}{unfinished}")
        }
        Outcome::Rejected => {
            let fatal = counted(fatal, "fatal finding");
            format!("not fit to boot: {fatal}{warned}, {ran}{unfinished}")
        }
        Outcome::Unknown => match answers(&[AnswerWord::CouldNotRun]) {
            0 => format!(
                "unknown: {ran}, so nothing was verified; select checks that apply (verify --list){unfinished}"
            ),
            count => format!(
                "unknown: {} could not run, {ran}{warned}{unfinished}",
                counted(count, "check")
            ),
        },
    };
    format!("{kernel}: {verdict}")
}

/// Returns a count with its noun: `1 warning`, `2 warnings`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns the names of the checks with one of `answers`, by the reason for the answer; the names are separated by
/// commas.
fn by_reason<'a>(report: &'a Report, answers: &[AnswerWord]) -> BTreeMap<&'a str, String> {
    let mut checks = BTreeMap::<_, Vec<_>>::new();
    for check in &report.checks {
        if answers.contains(&check.answer) {
            let why = check.why.as_deref().unwrap_or_default();
            checks.entry(why).or_default().push(check.check);
        }
    }
    let joined = checks
        .into_iter()
        .map(|(why, checks)| (why, checks.join(", ")));
    joined.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: &'static str, path: &str, expected: &str, remedy: &str) -> FindingReport {
        FindingReport {
            check,
            severity: Severity::Fatal,
            path: path.to_owned(),
            found: "nothing".to_owned(),
            expected: expected.to_owned(),
            remedy: remedy.to_owned(),
            count: None,
        }
    }

    #[test]
    fn a_cut_list_counts_as_its_defects() {
        let last = FindingReport {
            count: Some(30),
            ..finding("one", "b", "a file", "rebuild")
        };
        let text = blocks("fatal", &[&finding("one", "a", "a file", "rebuild"), &last]);
        assert!(text.contains("rebuild (for these 31)"), "{text}");
    }

    #[test]
    fn a_remedy_is_said_once() {
        let all = [
            finding("one", "a", "a file", "rebuild"),
            finding("one", "b", "a file", "rebuild"),
            finding("two", "c", "a link", "remove it"),
            finding("three", "d\ne", "a file\u{1b}", "rebuild"),
        ];
        let text = blocks("fatal", &all.iter().collect::<Vec<_>>());
        let expected = [
            "fatal one: a: found nothing",
            "fatal one: b: found nothing",
            "  expected: a file",
            "fatal three: d\\u000ae: found nothing",
            "  expected: a file\\u001b",
            "  to do:    rebuild (for these 3)",
            "fatal two: c: found nothing",
            "  expected: a link",
            "  to do:    remove it",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
