// SPDX-License-Identifier: MIT OR Apache-2.0
//! What came of a run, and what a test may say about it. Whatever fails explains itself.

use crate::schema;
use crate::tree::Tree;

/// What came of a run.
pub struct Ran {
    pub command: String,
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Every stub that ran, with its arguments.
    pub ran: Vec<String>,
    /// What was in place while the packages changed.
    pub seen: Vec<String>,
    /// `program: NAME=VALUE` of every stub that ran.
    pub env: Vec<String>,
    pub before: Tree,
    pub after: Tree,
}

impl Ran {
    /// The exit status.
    #[track_caller]
    pub fn ends_with(&self, status: i32) -> &Self {
        self.require(
            self.status == Some(status),
            &format!("exit status {status} was expected"),
        );
        self
    }

    /// The programs that changed something, in order, each with as many words as are expected of it.
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

    /// What became of the tree, as [`Tree::changes`] says it.
    #[track_caller]
    pub fn changes(&self, expected: &[&str]) -> &Self {
        let mut found = self.before.changes(&self.after);
        found.retain(|change| !self.may_stay(&change[1..]));
        let says = format!("changes of the tree: expected {expected:#?}, found {found:#?}");
        self.require(found == expected, &says);
        self
    }

    /// What a failed run leaves in /run for who has to understand it, and for the next run.
    fn may_stay(&self, path: &str) -> bool {
        let kept = ["", "/log", "/journal.json", "/journal.json.new"]
            .map(|name| format!("run/ostree-kernel{name}"));
        !matches!(self.status, Some(0 | 3)) && kept.iter().any(|it| it == path)
    }

    /// The tree is the same in everything, times too.
    #[track_caller]
    pub fn untouched(&self) -> &Self {
        self.changes(&[]);
        self.require(self.before == self.after, "a directory was touched");
        self
    }

    /// What the user reads on stderr.
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

    /// What the user reads on stdout.
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

    /// The programs that ran, but for the version of an rpm-ostree that is of no package.
    pub fn order(&self) -> Vec<&str> {
        let ran = self.ran.iter().map(String::as_str);
        ran.filter(|line| *line != "rpm-ostree --version").collect()
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let json = serde_json::from_str(&self.stdout);
        let json = json.unwrap_or_else(|error| self.fail(&format!("stdout is not JSON: {error}")));
        self.documented(json)
    }

    /// The report in the image, as it lies there.
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

    /// What holds of every run.
    #[track_caller]
    pub fn house_rules(&self, stdin: &[String]) {
        self.require(!self.stderr.contains("panicked at"), "it panicked");
        if self.status.is_none() {
            // It was killed, and could not tidy up; the next run does.
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
