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
    /// The files in place during the transaction.
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

    /// Asserts the programs that changed something, in order. Only the expected words of each command line are
    /// compared.
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

    /// Asserts the changes of the tree, as [`Snapshot::changes`] lists them.
    #[track_caller]
    pub fn changes(&self, expected: &[&str]) -> &Self {
        let mut found = self.before.changes(&self.after);
        found.retain(|change| !self.may_stay(&change[1..]));
        let says = format!("changes of the tree: expected {expected:#?}, found {found:#?}");
        self.require(found == expected, &says);
        self
    }

    /// Returns whether a failed run may leave the file in /run, for the user and for the next run.
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

    /// Asserts texts on stderr.
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

    /// Asserts texts on stdout.
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

    /// Returns the programs that ran, except the version query of an rpm-ostree that no package owns.
    pub fn order(&self) -> Vec<&str> {
        let ran = self.ran.iter().map(String::as_str);
        ran.filter(|line| *line != "rpm-ostree --version").collect()
    }

    /// Parses stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let json = serde_json::from_str(&self.stdout);
        let json = json.unwrap_or_else(|error| self.fail(&format!("stdout is not JSON: {error}")));
        self.documented(json)
    }

    /// Returns the report in the image.
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

    /// Asserts the conditions that every run must fulfil.
    #[track_caller]
    pub fn house_rules(&self, stdin: &[String]) {
        self.require(!self.stderr.contains("panicked at"), "it panicked");
        if self.status.is_none() {
            // A killed run cannot clean up; the next run does.
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
