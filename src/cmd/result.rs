// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the result of a run, and writes it to the file of `--report`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use fs_err::OpenOptions;

use crate::checks::Severity;
use crate::cli::{self, Format, Global};
use crate::plan::{Refusal, change};
use crate::report::{COULD_NOT_LOOK, FindingReport, Outcome, Report};
use crate::sys::console;

/// `--report` could not be written. The result itself was printed.
#[derive(Debug, thiserror::Error)]
#[error("writing the report: {0}")]
pub struct ReportNotWritten(io::Error);

/// Checks that the file of `--report` can be written, so that a run does not find out after its work. Leaves no file
/// where there was none.
///
/// # Errors
/// When it cannot be written.
pub fn admit_report(file: &Path) -> Result<(), Refusal> {
    let refused = |why: String| Refusal::Report {
        file: file.display().to_string(),
        why,
    };
    match fs_err::metadata(file) {
        Ok(meta) if meta.is_dir() => return Err(refused("it is a directory".to_owned())),
        // Opening a pipe that nobody reads yet would wait, and closing it again would end its reader.
        Ok(meta) if !meta.is_file() => return Ok(()),
        _ => {}
    }
    // A file that was not there, or the target of a link that leads nowhere.
    let is_new = !file.exists();
    let opened = OpenOptions::new().write(true).create(true).open(file);
    opened.map_err(|error| refused(error.to_string()))?;
    if is_new {
        let target = fs_err::canonicalize(file).and_then(fs_err::remove_file);
        target.map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

/// Prints a report in the format asked for, and writes it to `file`.
pub(super) fn publish(report: &Report, global: &Global, file: Option<&Path>) -> Result<()> {
    let json = serde_json::to_string_pretty(report).context("writing the report")? + "\n";
    let text = match global.format {
        Format::Json => console::plain(&json),
        Format::Human => human(report, global),
    };
    if console::is_read_by_github() {
        console::write(&console::plain(&annotations(report, global.quiet)));
    }
    match deliver(&text, &json, file) {
        // The exit status is that of the result.
        Err(error) if is_bad(report.outcome) => {
            tracing::error!("{error:#}");
            Ok(())
        }
        delivered => delivered,
    }
}

/// Prints `text` with a single write, and writes `json` to `file`. A failure of one does not prevent the other.
pub(super) fn deliver(text: &str, json: &str, file: Option<&Path>) -> Result<()> {
    let printed = cli::print_with(|out| out.write_all(text.as_bytes()));
    if let Some(file) = file {
        fs_err::write(file, json).map_err(ReportNotWritten)?;
    }
    printed.context("printing the result")
}

fn is_bad(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Rejected | Outcome::Unknown)
}

/// Returns the findings as commands of GitHub's runner, which reads them from standard error.
fn annotations(report: &Report, quiet: bool) -> String {
    let data = |text: &str| {
        let text = text.replace('%', "%25").replace('\r', "%0D");
        text.replace('\n', "%0A")
    };
    let mut text = String::new();
    let shown = least(report, quiet, 1);
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
        let message = format!("{path}: found {found}; expected {expected}; to do: {remedy}");
        text += &format!("::{level} title={check}::{}\n", data(&message));
    }
    let level = match report.outcome {
        Outcome::Unknown => "error",
        _ => "warning",
    };
    for check in report
        .checks
        .iter()
        .filter(|it| it.answer == COULD_NOT_LOOK)
    {
        let why = data(check.why.as_deref().unwrap_or_default());
        text += &format!("::{level} title={}::could not look: {why}\n", check.check);
    }
    text
}

/// Returns whether a finding is shown: notes with `-v` only, and with `-q` warnings only where nothing is fatal.
fn least(report: &Report, quiet: bool, verbose: u8) -> impl Fn(&FindingReport) -> bool {
    let is_fatal = |it: &FindingReport| it.severity == Severity::Fatal;
    let fatal_only = quiet && report.findings.iter().any(is_fatal);
    move |finding| match finding.severity {
        Severity::Fatal => true,
        Severity::Warning => !fatal_only,
        Severity::Note => verbose > 0 && !quiet,
    }
}

/// Returns the changed packages, the checks that did not run, the findings, and last the verdict. With `-q` a good
/// result is empty.
fn human(report: &Report, global: &Global) -> String {
    if global.quiet && !is_bad(report.outcome) {
        return String::new();
    }
    let has_colours = global.color.is_on(&io::stdout());
    let paint = |words: &str, colour| match has_colours {
        true => cli::painted(words, colour),
        false => words.to_owned(),
    };
    let mut text = String::new();
    if !global.quiet {
        text += &change::table(&report.changes);
        for (why, checks) in by_reason(report, &["not-applicable", "skipped"]) {
            text += &format!("skipped {checks}: {}\n", one_line(why));
        }
    }
    let shown = least(report, global.quiet, global.verbose);
    let shown: Vec<_> = report.findings.iter().filter(|it| shown(it)).collect();
    // The worst is nearest to the verdict, where a log is read first.
    for (severity, colour) in [
        (Severity::Note, ""),
        (Severity::Warning, cli::YELLOW),
        (Severity::Fatal, cli::RED),
    ] {
        let word = match colour {
            "" => severity.as_str().to_owned(),
            colour => paint(severity.as_str(), colour),
        };
        if severity == Severity::Fatal {
            for (why, checks) in by_reason(report, &[COULD_NOT_LOOK]) {
                text += &paint("unknown", cli::YELLOW);
                text += &format!(" {checks}: could not look: {}\n", one_line(why));
            }
        }
        let findings = shown.iter().filter(|it| it.severity == severity);
        text += &blocks(&word, &findings.copied().collect::<Vec<_>>());
    }
    let colour = match report.outcome {
        Outcome::Committed | Outcome::Unchanged | Outcome::Passed => cli::GREEN,
        Outcome::Rejected => cli::RED,
        Outcome::Unknown => cli::YELLOW,
    };
    let verdict = one_line(&verdict(report));
    text + &paint(&verdict, colour) + "\n"
}

/// Returns findings of one severity: what was found, what was expected and what to do, a line each. Findings with the
/// same remedy are together, and the remedy is said once.
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
        let count = match group.len() {
            1 => String::new(),
            count => format!(" (these {count})"),
        };
        text += &format!("  to do:    {}{count}\n", one_line(remedy));
    }
    text
}

/// Returns the text as one line: a name with a line break must not look like a line of this program.
fn one_line(text: &str) -> String {
    console::plain(text).replace('\n', "\\u000a")
}

/// Returns the last line: the kernel, whether it is fit to boot, and the counts.
fn verdict(report: &Report) -> String {
    let after = &report.kernel.after;
    let kernel = match &report.kernel.before {
        Some(before) => format!("kernel {} -> {}", before.kver, after.kver),
        None => format!("kernel {}", after.kver),
    };
    let severities = |severity| {
        let findings = report.findings.iter();
        findings.filter(|it| it.severity == severity).count()
    };
    let answers = |answers: &[&str]| {
        let checks = report.checks.iter();
        checks.filter(|it| answers.contains(&it.answer)).count()
    };
    let (fatal, warnings) = (severities(Severity::Fatal), severities(Severity::Warning));
    let (ran, all) = (answers(&["good", "found"]), report.checks.len());
    let ran = format!("{ran} of {all} checks ran");
    let warned = match warnings {
        0 => String::new(),
        _ => format!(", {}", counted(warnings, "warning")),
    };
    let unfinished = match report.command {
        "verify" => "",
        _ => "; nothing was committed",
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
        Outcome::Unknown => match answers(&[COULD_NOT_LOOK]) {
            0 => format!(
                "unknown: {ran}, so nothing was verified; select checks that apply (verify --list){unfinished}"
            ),
            count => format!(
                "unknown: {} could not look, {ran}{warned}{unfinished}",
                counted(count, "check")
            ),
        },
    };
    format!("{kernel}: {verdict}")
}

/// `1 warning`, `2 warnings`.
fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns the checks with one of these answers, by the reason for it.
fn by_reason<'a>(report: &'a Report, answers: &[&str]) -> BTreeMap<&'a str, String> {
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
        }
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
            "  to do:    rebuild (these 3)",
            "fatal two: c: found nothing",
            "  expected: a link",
            "  to do:    remove it",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_report_is_admitted_where_it_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs_err::write(path("old"), "old").unwrap();
        std::os::unix::fs::symlink("target", path("link")).unwrap();
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for good in ["new", "old", "link", "fifo"] {
            admit_report(&path(good)).unwrap();
        }
        admit_report(Path::new("/dev/null")).unwrap();
        assert_eq!(fs_err::read_to_string(path("old")).unwrap(), "old");
        assert!(!path("new").exists() && !path("target").exists());
        assert!(path("link").is_symlink());
        for bad in [dir.path(), &path("nowhere/report"), &path("old/report")] {
            let why = admit_report(bad).unwrap_err().to_string();
            assert!(why.starts_with("--report "), "{why}");
        }
    }
}
