// SPDX-License-Identifier: MIT OR Apache-2.0
//! The man pages of section 8 are generated from the definitions of `--help`, and the committed ones are current.
//! `make man` writes them. Those of section 7 are written by hand.

use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use ostree_kernel::checks::CHECKS;
use roff::{Roff, bold, italic, roman};

/// Pages that every page refers to, besides those of the commands.
const SEE_ALSO: [(&str, &str); 8] = [
    ("ostree-kernel-pitfalls", "7"),
    ("ostree-kernel-verdict", "7"),
    ("rpm-ostree", "1"),
    ("ostree", "1"),
    ("bootc", "8"),
    ("dracut", "8"),
    ("lsinitrd", "1"),
    ("depmod", "8"),
];

/// The definition of the apostrophe in roff, which a page needs only once.
const APOSTROPHES: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Returns whether a command has a page: `help` and `version` have none.
fn has_page(command: &Command) -> bool {
    command.get_after_long_help().is_some()
}

/// Returns every generated page: its file name and its text.
fn pages() -> Vec<(String, Vec<u8>)> {
    let without_page = |command: Command| command.hide(true);
    let mut overview = ostree_kernel::cli::definition()
        .mut_subcommand("help", without_page)
        .mut_subcommand("version", without_page);
    overview.build();
    let program = overview.get_name().to_owned();
    let name_of = |command: &Command| format!("{program}-{}", command.get_name());
    let with_page = overview.get_subcommands().filter(|it| has_page(it));
    let names: Vec<_> = with_page.map(name_of).collect();
    let mut commands: Vec<_> = overview
        .get_subcommands()
        .filter(|command| has_page(command))
        .map(|command| {
            let usage = format!("{program} {}", command.get_name());
            // clap accepts only static names; a test may leak a few.
            command
                .clone()
                .name(name_of(command).leak() as &'static str)
                .bin_name(usage.leak() as &'static str)
                .version(env!("CARGO_PKG_VERSION"))
        })
        .collect();
    commands.push(overview);
    let page = |command: Command| {
        let name = command.get_name().to_owned();
        let others = [&program].into_iter().chain(&names);
        let others = others.filter(|other| **other != name).map(String::as_str);
        (format!("{name}.8"), page(command, others.collect()))
    };
    commands.into_iter().map(page).collect()
}

fn page(mut command: Command, others: Vec<&str>) -> Vec<u8> {
    let usage = command.render_usage().to_string();
    let after = command.get_after_long_help().map(ToString::to_string);
    let is_overview = command.has_subcommands();
    let name = command.get_name().to_owned();
    let man = Man::new(with_sentences(command)).section("8");
    let mut text = title(&name);
    man.render_name_section(&mut text).unwrap();
    text.extend(synopsis(&usage));
    man.render_description_section(&mut text).unwrap();
    man.render_options_section(&mut text).unwrap();
    if is_overview {
        man.render_subcommands_section(&mut text).unwrap();
    }
    if name.ends_with("-verify") {
        text.extend(checks());
    }
    text.extend(sections(&after.expect("every command has examples")));
    text.extend(see_also(&others));
    // Each renderer of clap_mangen writes the definition of the apostrophe again.
    let text = String::from_utf8(text).unwrap().replace(APOSTROPHES, "");
    (APOSTROPHES.to_owned() + &text).into_bytes()
}

/// Ends the first line of the description with a full stop, which clap's help does not have.
fn with_sentences(command: Command) -> Command {
    let about = command
        .get_long_about()
        .or_else(|| command.get_about())
        .expect("every command has a description")
        .to_string();
    let (first, rest) = about.split_at(about.find('\n').unwrap_or(about.len()));
    let about = format!("{first}.{rest}");
    command.long_about(about)
}

/// Returns the title line, with an empty date, so that equal sources give equal pages. clap_mangen would leave the
/// empty argument out.
fn title(name: &str) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let title =
        format!(".TH {name} 8 \"\" \"ostree-kernel {version}\" \"System administration\"\n");
    title.into_bytes()
}

/// Returns clap's synopsis, with the program in bold.
fn synopsis(usage: &str) -> Vec<u8> {
    let usage = usage.trim_start_matches("Usage: ");
    let end = usage.find(['[', '<']).unwrap_or(usage.len());
    let (program, arguments) = usage.split_at(end);
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(program), roman(arguments)]);
    roff.render().into_bytes()
}

/// Returns the table of `verify --list`, with the public issue of each check.
fn checks() -> Vec<u8> {
    let mut roff = Roff::new();
    roff.control("SH", ["CHECKS"]);
    roff.text([roman(
        "Each check requires the condition after its name. The severity of its findings is in parentheses.",
    )]);
    for check in CHECKS {
        roff.control("TP", []);
        roff.text([
            bold(check.name),
            roman(format!(" ({})", check.severity.as_str())),
        ]);
        roff.text([roman(format!(
            "{}. Reported in {}.",
            check.about, check.issue
        ))]);
    }
    roff.render().into_bytes()
}

/// Converts the text after the options of `--help` to sections in roff. In the text, a heading is at the margin, an
/// entry is after two spaces, and a continuation line is after more spaces.
fn sections(help: &str) -> Vec<u8> {
    let mut roff = Roff::new();
    let mut examples = false;
    let mut literal = false;
    for line in help.lines().filter(|line| !line.is_empty()) {
        let body = line.trim_start();
        let more = line.starts_with("    ");
        if literal && !more {
            roff.control("EE", []);
            roff.control("RE", []);
            literal = false;
        }
        if let Some(heading) = line.strip_suffix(':').filter(|_| body == line) {
            roff.control("SH", [heading.to_uppercase().as_str()]);
            examples = heading == "Examples";
        } else if examples && more {
            if !literal {
                roff.control("RS", ["4"]);
                roff.control("EX", []);
                literal = true;
            }
            roff.text([roman(line.strip_prefix("    ").unwrap_or(body))]);
        } else if examples {
            roff.control("PP", []);
            roff.text([roman(body)]);
        } else if more {
            roff.text([roman(body)]);
        } else {
            let (term, text) = body.split_once("  ").unwrap_or((body, ""));
            roff.control("TP", []);
            roff.text([bold(term)]);
            if !text.is_empty() {
                roff.text([roman(text.trim_start())]);
            }
        }
    }
    roff.render().into_bytes()
}

fn see_also(others: &[&str]) -> Vec<u8> {
    let ours = others.iter().map(|name| (*name, "8"));
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (name, section) in ours.chain(SEE_ALSO) {
        if !line.is_empty() {
            line.push(roman(", "));
        }
        line.extend([italic(name), roman(format!("({section})"))]);
    }
    roff.text(line);
    roff.render().into_bytes()
}

#[test]
fn man_pages_are_current() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let pages = pages();
    if std::env::var_os("UPDATE_MAN").is_some() {
        fs_err::create_dir_all(&dir).unwrap();
        for (name, text) in &pages {
            fs_err::write(dir.join(name), text).unwrap();
        }
    }
    let mut committed: Vec<_> = fs_err::read_dir(&dir)
        .expect("man/ is there")
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // Pages of section 7 are written by hand.
        .filter(|name| name.ends_with(".8"))
        .collect();
    committed.sort();
    let mut expected: Vec<_> = pages.iter().map(|(name, _)| name.clone()).collect();
    expected.sort();
    assert_eq!(
        committed, expected,
        "man/ does not hold one page per command; run make man"
    );
    for (name, text) in pages {
        let is_current = fs_err::read(dir.join(&name)).unwrap() == text;
        assert!(is_current, "man/{name} is stale; run make man");
    }
}

#[test]
fn examples_are_understood() {
    let mut tried = 0;
    let mut overview = ostree_kernel::cli::definition();
    overview.build();
    let commands = overview
        .get_subcommands()
        .filter(|it| has_page(it))
        .chain([&overview]);
    for command in commands {
        let help = command.get_after_long_help().unwrap().to_string();
        let examples = help.split("Exit status:").next().unwrap();
        // Joins continued command lines, and removes quotes as a shell does.
        let examples = examples.replace("\\\n", " ").replace(['\'', '"'], "");
        for line in examples.lines().filter(|line| line.starts_with("    ")) {
            let Some(at) = line.find(" ostree-kernel ") else {
                assert!(line.trim().starts_with("COPY "), "{line}");
                continue;
            };
            let words = line[at + 1..].split('|').next().unwrap();
            let words = words
                .replace("$(podman image mount IMAGE)", "/mnt")
                .replace('…', "");
            let parsed =
                ostree_kernel::cli::definition().try_get_matches_from(words.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried} examples found");
}
