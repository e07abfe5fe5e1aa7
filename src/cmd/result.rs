// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints the result of a run, and writes it to the file of `--report`.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use fs_err::OpenOptions;

use super::page::{self, Global, OutputFormat};
use crate::plan::Refusal;
use crate::report::{
    Command, ImageEntry, ImageReports, Outcome, Report, SchemaVersion, github, human, tool,
};
use crate::sys::console;
use crate::text::plain;

/// The error that the file of `--report` could not be written. The result has been printed before, or printing has
/// failed, too.
#[derive(Debug, thiserror::Error)]
#[error("writing the report: {0}")]
pub struct ReportNotWritten(io::Error);

/// Checks that the file of `--report` can be written, so that a run does not fail after its work. Removes the file if
/// the check has created it.
///
/// # Errors
/// When the file cannot be written.
pub fn admit_report(file: &Path) -> Result<(), Refusal> {
    let refused = |why: String| Refusal::Report {
        file: file.display().to_string(),
        why,
    };
    match fs_err::metadata(file) {
        Ok(meta) if meta.is_dir() => return Err(refused("it is a directory".to_owned())),
        // A pipe or device is not opened: without a reader, opening a pipe would block, and a reader would take closing
        // it for the end of the data.
        Ok(meta) if !meta.is_file() => return Ok(()),
        _ => {}
    }
    // True if the file does not exist or is a dangling link: `open` then creates the file or the link's target.
    let is_new = fs_err::metadata(file).is_err();
    let opened = OpenOptions::new().write(true).create(true).open(file);
    opened.map_err(|error| refused(error.to_string()))?;
    if is_new {
        let target = fs_err::canonicalize(file).and_then(fs_err::remove_file);
        target.map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

/// Prints a report in the chosen format, and writes it to `file` as JSON. In GitHub Actions, also prints annotations.
pub(super) fn publish(report: &Report, global: &Global, file: Option<&Path>) -> Result<()> {
    let json = page::json(report)?;
    let text = match global.format {
        OutputFormat::Json => plain(&json),
        OutputFormat::Human => text_of(report, global),
    };
    if console::is_read_by_github() {
        console::write(&plain(&github::annotations(report, global.quiet)));
    }
    match deliver(&text, &json, file) {
        // The exit status already reports a bad outcome, so an output that cannot be written is only logged.
        Err(error) if report.outcome.is_bad() => {
            tracing::error!("{error:#}");
            Ok(())
        }
        delivered => delivered,
    }
}

/// Prints the reports of several images together, and writes them to `file` as one JSON document. Returns the worst
/// outcome: rejected is worse than unknown, and unknown worse than passed.
pub(super) fn publish_all(
    images: &[ImageEntry],
    global: &Global,
    file: Option<&Path>,
) -> Result<Outcome> {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Committed | Outcome::Unchanged | Outcome::Passed => 0,
        Outcome::Unknown => 1,
        Outcome::Rejected => 2,
    };
    let outcomes = images.iter().map(ImageEntry::outcome);
    let outcome = outcomes.max_by_key(rank).unwrap_or(Outcome::Unknown);
    let all = ImageReports {
        schema: SchemaVersion,
        tool: tool(),
        command: Command::Verify,
        outcome,
        images,
    };
    let json = page::json(&all)?;
    let text = match global.format {
        OutputFormat::Json => plain(&json),
        OutputFormat::Human => images.iter().map(|it| text_of_entry(it, global)).collect(),
    };
    if console::is_read_by_github() {
        let all = images.iter().map(|it| match it {
            ImageEntry::Verified(report) => github::annotations(report, global.quiet),
            ImageEntry::Failed(failed) => github::failed(failed),
        });
        console::write(&plain(&all.collect::<String>()));
    }
    match deliver(&text, &json, file) {
        Err(error) if outcome.is_bad() => tracing::error!("{error:#}"),
        delivered => delivered?,
    }
    Ok(outcome)
}

fn text_of_entry(entry: &ImageEntry, global: &Global) -> String {
    match entry {
        ImageEntry::Verified(report) => text_of(report, global),
        ImageEntry::Failed(failed) => human::failed(failed, global.color.is_on(&io::stdout())),
    }
}

fn text_of(report: &Report, global: &Global) -> String {
    human::human(
        report,
        &human::Style {
            quiet: global.quiet,
            verbose: global.verbose,
            has_colours: global.color.is_on(&io::stdout()),
        },
    )
}

/// Prints `text` with a single write, and writes `json` to `file`, also if printing fails. If both fail, logs the error
/// of printing and returns the error of the file.
pub(super) fn deliver(text: &str, json: &str, file: Option<&Path>) -> Result<()> {
    let printed = page::print_with(|out| out.write_all(text.as_bytes()));
    let printed = printed.context("printing the result");
    let Some(Err(error)) = file.map(|file| fs_err::write(file, json)) else {
        return printed;
    };
    if let Err(error) = printed {
        tracing::error!("{error:#}");
    }
    Err(ReportNotWritten(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_file_is_checked_before_the_run() {
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
