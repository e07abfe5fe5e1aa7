// SPDX-License-Identifier: MIT OR Apache-2.0
//! The result of a run, and assertions about it. A failed assertion prints the whole run.

use crate::schema;
use crate::tree::Snapshot;

/// The result of a run.
pub struct Ran {
    pub command: String,
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Every stub that ran, with its arguments.
    pub ran: Vec<String>,
    /// The state that a stub saw during the transaction: the lines that `look_around` of tests/stub/lib.sh prints.
    pub seen: Vec<String>,
    /// `program: NAME=VALUE` of every stub that ran.
    pub env: Vec<String>,
    pub before: Snapshot,
    pub after: Snapshot,
}

impl Ran {
    /// Asserts the exit status.
    #[track_caller]
    pub fn ends_with(&self, status: i32) -> &Self {
        self.require(
            self.status == Some(status),
            &format!("exit status {status} was expected"),
        );
        self
    }

    /// Asserts which stubs ran, in order, except those that [`Ran::order`] leaves out. A command line may have more
    /// words than the expected one.
    #[track_caller]
    pub fn in_order(&self, expected: &[&str]) -> &Self {
        let order = self.order();
        let same = order.len() == expected.len()
            && order.iter().zip(expected).all(|(line, expected)| {
                line == expected || line.starts_with(&format!("{expected} "))
            });
        self.require(same, &format!("expected in this order: {expected:#?}"));
        self
    }

    /// Asserts the changes of the tree, as [`Snapshot::changes`] lists them, except files that a failed run may leave.
    #[track_caller]
    pub fn changes(&self, expected: &[&str]) -> &Self {
        let mut found = self.before.changes(&self.after);
        found.retain(|change| !self.may_stay(&change[1..]));
        let says = format!("changes of the tree: expected {expected:#?}, found {found:#?}");
        self.require(found == expected, &says);
        self
    }

    /// Returns whether this run may leave the file `path`: a failed run leaves its log and its journal in /run, for the
    /// user and for the next run.
    fn may_stay(&self, path: &str) -> bool {
        let kept = ["", "/log", "/journal.json", "/journal.json.new"]
            .map(|name| format!("run/ostree-kernel{name}"));
        !matches!(self.status, Some(0 | 3)) && kept.iter().any(|it| it == path)
    }

    /// Asserts that the tree is unchanged, including times.
    #[track_caller]
    pub fn untouched(&self) -> &Self {
        self.changes(&[]);
        self.require(self.before == self.after, "a directory was touched");
        self
    }

    /// Asserts that stderr contains each of the texts.
    #[track_caller]
    pub fn complains(&self, expected: &[&str]) -> &Self {
        for text in expected {
            self.require(
                self.stderr.contains(text),
                &format!("on stderr was expected: {text}"),
            );
        }
        self
    }

    /// Asserts that stdout contains each of the texts.
    #[track_caller]
    pub fn prints(&self, expected: &[&str]) -> &Self {
        for text in expected {
            self.require(
                self.stdout.contains(text),
                &format!("on stdout was expected: {text}"),
            );
        }
        self
    }

    /// Returns the command lines of the stubs that ran, except `rpm-ostree --version`, which is run only if no package
    /// owns rpm-ostree.
    pub fn order(&self) -> Vec<&str> {
        let ran = self.ran.iter().map(String::as_str);
        ran.filter(|line| *line != "rpm-ostree --version").collect()
    }

    /// Parses stdout as JSON, and asserts that the schema describes it.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let json = serde_json::from_str(&self.stdout);
        let json = json.unwrap_or_else(|error| self.fail(&format!("stdout is not JSON: {error}")));
        self.documented(json)
    }

    /// Returns the report that the run wrote into the tree; asserts that the schema describes it.
    #[track_caller]
    pub fn report(&self) -> serde_json::Value {
        let bytes = self.after.file("usr/share/ostree-kernel/report.json");
        let bytes = bytes.unwrap_or_else(|| self.fail("there is no report in the image"));
        self.documented(serde_json::from_slice(bytes).unwrap())
    }

    #[track_caller]
    fn documented(&self, json: serde_json::Value) -> serde_json::Value {
        let wrong = schema::undocumented(&json);
        let what = wrong.join("\n");
        self.require(
            wrong.is_empty(),
            &format!("packaging/report.schema.json: {what}"),
        );
        json
    }

    /// Asserts the conditions that every run must fulfil. `stdin` has a line for each stub: `PROGRAM: STANDARD-INPUT
    /// WORKING-DIRECTORY`.
    #[track_caller]
    pub fn house_rules(&self, stdin: &[String]) {
        self.require(!self.stderr.contains("panicked at"), "it panicked");
        if self.status.is_none() {
            // A killed run cannot remove its files; the next run removes them.
            return;
        }
        for line in stdin {
            let is_null = line.ends_with(": /dev/null /");
            self.require(
                is_null,
                &format!("stdin null and cwd / were expected: {line}"),
            );
        }
        for line in &self.env {
            self.require(
                !line.contains("hostile"),
                &format!("leaked to a child: {line}"),
            );
        }
        for path in self.after.paths() {
            let ours =
                path.contains("ostree-kernel") && !path.starts_with("usr/share/ostree-kernel");
            let saved = path.ends_with(".rpmostreesave") || path.ends_with("systemctl.backup");
            self.require(
                !(ours || saved) || self.before.mode(path).is_some() || self.may_stay(path),
                &format!("a temporary file stays: {path}"),
            );
        }
        let shim = "usr/libexec/rpm-ostree/wrapped/dracut";
        self.require(
            self.after.file(shim).is_none() || self.before.file(shim) == self.after.file(shim),
            "the shim stays",
        );
    }

    #[track_caller]
    pub fn require(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!(
            "{what}\n--- command\n{}\n--- status\n{:?}\n--- stdout\n{}\n--- stderr\n{}\n--- programs\n{}\n--- seen during the transaction\n{}\n--- changes\n{}\n--- tree\n{}",
            self.command,
            self.status,
            self.stdout,
            self.stderr,
            self.ran.join("\n"),
            self.seen.join("\n"),
            self.before.changes(&self.after).join("\n"),
            self.after
        )
    }
}
