// SPDX-License-Identifier: MIT OR Apache-2.0
//! Privileges of the tests: chroot(2) and mount(2) need root, or a user namespace.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use walkdir::WalkDir;

const IGNORED: &str = "ignored: needs root or user namespaces";

/// Options of unshare(1) with which a user becomes root of a user namespace: first with the user's subordinate IDs,
/// then with the user's own ID only.
const NAMESPACES: [&[&str]; 2] = [
    &["--user", "--map-root-user", "--map-auto", "--mount"],
    &["--user", "--map-root-user", "--mount"],
];

/// Returns if this process is root. Otherwise runs the same tests again in a user namespace, in place of this process.
/// Where user namespaces are forbidden, runs only the modules of tests that never call this function.
pub fn need_root() {
    if nix::unistd::geteuid().is_root() {
        return;
    }
    // Tests run on threads of one process: the first thread that comes here replaces the process for all.
    static FIRST: Mutex<()> = Mutex::new(());
    let _first = FIRST.lock();
    let program = std::env::current_exe().unwrap();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    for options in NAMESPACES {
        let works = unshare(options).arg("true").output();
        if works.is_ok_and(|it| it.status.success()) {
            say("not root: running the tests again in a user namespace");
            let error = unshare(options).arg(&program).args(&arguments).exec();
            panic!("unshare: {error}");
        }
    }
    let modules = modules_that_need_root();
    for module in &modules {
        say(&format!("test {module}:: ... {IGNORED}"));
    }
    let skipped = modules
        .iter()
        .flat_map(|module| ["--skip".to_owned(), format!("{module}::")]);
    let error = command(&program).args(&arguments).args(skipped).exec();
    panic!("{}: {error}", program.display());
}

/// Returns whether files can be given to the user `id`; in a user namespace, only mapped users exist. If not, prints
/// that a test is ignored.
pub fn has_user(id: u32) -> bool {
    let map = fs_err::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let has = map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(|it| it.parse::<u32>());
        let (Some(Ok(first)), Some(Ok(_)), Some(Ok(count)), None) = (
            numbers.next(),
            numbers.next(),
            numbers.next(),
            numbers.next(),
        ) else {
            return false;
        };
        id.checked_sub(first).is_some_and(|offset| offset < count)
    });
    if !has {
        say("ignored: needs root or subordinate user IDs (subuid(5), newuidmap(1))");
    }
    has
}

/// Returns whether this process is root of the machine, not only of a user namespace.
pub fn is_root_of_the_machine() -> bool {
    let map = fs_err::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let map: Vec<_> = map.split_whitespace().collect();
    nix::unistd::geteuid().is_root() && map == ["0", "0", "4294967295"]
}

/// Returns the top-level modules whose source calls [`need_root`], or prepares a root with `Bed`.
fn modules_that_need_root() -> BTreeSet<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut found = BTreeSet::new();
    for entry in WalkDir::new(&here) {
        let entry = entry.unwrap();
        let text = fs_err::read_to_string(entry.path()).unwrap_or_default();
        if text.contains("need_root()") || text.contains("Bed::") {
            let path = entry.path().strip_prefix(&here).unwrap();
            let name = path.iter().next().unwrap().to_str().unwrap();
            found.insert(name.trim_end_matches(".rs").to_owned());
        }
    }
    found
}

/// Prints a line that libtest does not capture.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
}

fn unshare(options: &[&str]) -> Command {
    let mut command = command(Path::new("unshare"));
    command.args(options);
    command
}

fn command(program: &Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the tests themselves")]
    Command::new(program)
}
