// SPDX-License-Identifier: MIT OR Apache-2.0
//! The completions of bash, zsh and fish are generated from the definitions of `--help`, and the committed ones
//! are current. `make man` writes them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap_complete::{Shell, generate};

use crate::privilege::say;

const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "ostree-kernel.bash"),
    (Shell::Zsh, "_ostree-kernel"),
    (Shell::Fish, "ostree-kernel.fish"),
];

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions")
}

/// Generates completions, and corrects two errors of clap_complete 4.6.11. If the program's name has a dash, the script
/// for bash looks subcommands up under another name than the one that it defines. In the script for fish, an option
/// without its value, typed before the subcommand, ends all completions.
fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    let mut definition = ostree_kernel::cli::definition();
    generate(shell, &mut definition, "ostree-kernel", &mut text);
    let text = String::from_utf8(text).unwrap();
    text.replace("ostree__subcmd__kernel", "ostree__kernel")
        .replace("\n    or return\n", "\n    or return 0\n")
}

#[test]
fn completions_are_current() {
    let dir = dir();
    for (shell, name) in SHELLS {
        let text = completions(shell);
        if std::env::var_os("UPDATE_MAN").is_some() {
            fs_err::create_dir_all(&dir).unwrap();
            fs_err::write(dir.join(name), &text).unwrap();
        }
        let is_current =
            fs_err::read_to_string(dir.join(name)).is_ok_and(|committed| committed == text);
        assert!(is_current, "completions/{name} is stale; run make man");
    }
}

/// Returns the output of a script in a shell; `None` if the shell is not installed. Prints the shell's errors, which
/// are shown if the test fails.
fn said(shell: &[&str], script: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the shell that completes")]
    let output = std::process::Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", script])
        .output();
    if output
        .as_ref()
        .is_err_and(|it| it.kind() == ErrorKind::NotFound)
    {
        say(&format!("ignored: no {} on this machine", shell[0]));
        return None;
    }
    let output = output.unwrap();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn bash_completes() {
    for (words, expected) in [
        ("ostree-kernel re", "replace rebuild"),
        (
            "ostree-kernel replace --req",
            "--require-signature --require-driver",
        ),
        ("ostree-kernel replace --backend d", "dnf5 dnf"),
        ("ostree-kernel verify --format ", "human json"),
    ] {
        let script = format!(
            ". {}; COMP_WORDS=({words}{}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _ostree__kernel ostree-kernel \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[*]}}\"",
            dir().join("ostree-kernel.bash").display(),
            if words.ends_with(' ') { "\"\"" } else { "" },
        );
        let Some(said) = said(&["bash", "--norc"], &script) else {
            return;
        };
        assert_eq!(said.trim_end(), expected, "{words}");
    }
}

#[test]
fn fish_completes() {
    let file = dir().join("ostree-kernel.fish");
    for (line, expected) in [
        ("ostree-kernel re", "rebuild replace"),
        ("ostree-kernel --color ", "always auto never"),
        ("ostree-kernel --root /mnt veri", "verify"),
        (
            "ostree-kernel replace --req",
            "--require-driver --require-signature",
        ),
        ("ostree-kernel -q replace --backend d", "dnf dnf5"),
        ("ostree-kernel verify --format ", "human json"),
    ] {
        let script = format!("source {}; complete -C '{line}'", file.display());
        let Some(said) = said(&["fish", "--no-config"], &script) else {
            return;
        };
        let words = said.lines().filter_map(|it| it.split('\t').next());
        assert_eq!(words.collect::<Vec<_>>().join(" "), expected, "{line}");
    }
}
