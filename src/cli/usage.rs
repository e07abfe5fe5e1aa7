// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rejects command lines in which an option would have no effect. The error names the remedy, often the command line to
//! type instead. clap itself rejects two options of a command that exclude each other. Most of the rules in this file
//! either combine a global option with an option of one command, or depend on an option's value.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;

use super::{Cli, Command, OutputFormat, definition};
use crate::checks::CHECKS;
use crate::cmd;
use crate::cmd::reading::{Reading, parse};
use crate::kernel::kver::Kver;
use crate::oci::{ImageReference, ReferenceError};
use crate::plan::Backend;

/// The IDs of the options that control the output; they apply to every command.
const PRINTING: [&str; 4] = ["format", "color", "quiet", "verbose"];

/// Checks a command line that clap has accepted.
///
/// # Errors
/// A usage error for an option that would have no effect or that contradicts another, for an argument that must be an
/// image and is none, and for a key or certificate that cannot be used.
pub fn check(cli: &Cli, matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_given = |matches: &ArgMatches, id: &str| {
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let (name, of_command) = matches.subcommand().unwrap_or(("", matches));
    let has_root = is_given(matches, "root");
    let wrong = match &cli.command {
        _ if cli.global.quiet && cli.global.verbose > 0 => {
            Some("--quiet and --verbose exclude each other. Give one of them".to_owned())
        }
        Command::Verify(args) if args.list => {
            let definition = definition();
            let of_verify = definition.find_subcommand("verify").into_iter();
            let options = of_verify
                .flat_map(clap::Command::get_arguments)
                .map(|arg| arg.get_id().as_str())
                .chain(["root"]);
            let mut others = options.filter(|id| *id != "list" && !PRINTING.contains(id));
            others.find(|id| is_given(of_command, id)).map(|id| {
                let option = match id {
                    "images" => "an image".to_owned(),
                    id => format!("--{}", id.replace('_', "-")),
                };
                format!("--list runs no check, and {option} would have no effect. To list the checks, type:\n\n  ostree-kernel verify --list")
            })
        }
        Command::Verify(args) => verify(args, &cli.global.root, has_root),
        Command::Replace(args) => replace(args).or_else(|| ending(&args.ending, &cli.global.root)),
        Command::Rebuild(args) => ending(&args.ending, &cli.global.root),
        Command::Status(args) => status(args, has_root),
        Command::Inspect(args) if args.cat.is_some() && cli.global.format == OutputFormat::Json => {
            Some("--cat writes the file as it is, and --format json would have no effect. Type one of them".to_owned())
        }
        Command::Inspect(args) => inspect(args, has_root),
        _ => None,
    };
    let Some(message) = wrong else {
        return Ok(());
    };
    let mut definition = definition();
    definition.build();
    let command = definition.find_subcommand_mut(name);
    Err(match command {
        Some(command) => command.error(ErrorKind::ArgumentConflict, message),
        None => definition.error(ErrorKind::ArgumentConflict, message),
    })
}

fn verify(args: &cmd::verify::Args, root: &Path, has_root: bool) -> Option<String> {
    if let Some(message) = args.images.iter().find_map(|word| no_image(word)) {
        return Some(message);
    }
    if let Some(image) = args.images.first().map(|it| it.display()) {
        if let Some(file) = &args.initramfs {
            let file = file.display();
            return Some(format!(
                "--initramfs verifies a file alone, and {image} would have no effect. Type one of:\n\n  ostree-kernel verify {image}\n  ostree-kernel verify --initramfs {file}"
            ));
        }
        if has_root {
            let root = root.display();
            return Some(format!(
                "{image} is read directly, and --root would have no effect. Type one of:\n\n  ostree-kernel verify {image}\n  ostree-kernel verify --root {root}"
            ));
        }
    }
    let reads_image = args.against.as_deref().is_some_and(is_image) || !args.images.is_empty();
    if let Some(option) = args.reading.given().filter(|_| !reads_image) {
        return Some(format!(
            "{option} applies to reading images, and has no effect without one. Type:\n\n  ostree-kernel verify {option} … docker://NAME"
        ));
    }
    let words = args.images.iter().chain(&args.against);
    if let Some(message) = no_registry(&args.reading, words) {
        return Some(message);
    }
    if let (Some(file), true) = (&args.initramfs, has_root) {
        let (root, file) = (root.display(), file.display());
        return Some(format!(
            "--initramfs verifies a file alone, and --root would have no effect. Type one of:\n\n  ostree-kernel verify --root {root}\n  ostree-kernel verify --initramfs {file}"
        ));
    }
    if let (Some(file), Some((option, _))) = (&args.initramfs, args.trusted.given().next()) {
        let file = file.display();
        return Some(format!(
            "--initramfs verifies a file alone, and {option} would have no effect. Type:\n\n  ostree-kernel verify --initramfs {file}"
        ));
    }
    if let Err(why) = args.trusted.read() {
        return Some(why);
    }
    let only = |name: &str| args.only.iter().any(|it| it == name);
    if !args.only.is_empty() {
        let comparing = || CHECKS.iter().filter(|check| check.compares);
        if args.against.is_some() && !comparing().any(|check| only(check.name)) {
            let names: Vec<_> = comparing().map(|check| check.name).collect();
            return Some(format!(
                "--against has no effect: no check of --only compares with an earlier initramfs. Add --only for one that does ({}), or remove --against",
                names.join(", ")
            ));
        }
        // With --only, the report lists a skipped check only if --only names it, too. Any other --skip has no effect.
        if let Some(name) = args.demands.skip.iter().find(|name| !only(name)) {
            return Some(format!(
                "--skip {name} has no effect, because no --only names that check. Remove --skip {name}"
            ));
        }
    }
    let mut given = args.trusted.given().chain(args.demands.given());
    let excluded = given.find(|(_, check)| !args.only.is_empty() && !only(check));
    excluded.map(|(option, check)| {
        format!("{option} has no effect without the check {check}, which --only excludes. Add --only {check}, or remove {option}")
    })
}

/// Returns the error for an argument of `verify` that is not an image, with the command lines to type instead if it
/// names no transport; `None` for an image.
fn no_image(word: &OsStr) -> Option<String> {
    let error = parse(word).err()?;
    let text = word.to_string_lossy();
    if error != ReferenceError::NoTransport {
        return Some(format!("{text}: {error}"));
    }
    let path = Path::new(word);
    let line = if path.is_dir() {
        format!("--root {text}")
    } else if path.is_file() {
        format!("--initramfs {text}")
    } else if Kver::new(&text).is_ok_and(|_| text.starts_with(|it: char| it.is_ascii_digit())) {
        format!("--kver {text}")
    } else {
        return Some(format!(
            "{text} is not an image: {error}. Type one of:\n\n  ostree-kernel verify oci:DIR\n  ostree-kernel verify oci-archive:FILE\n  ostree-kernel verify --root DIR\n  ostree-kernel verify --initramfs FILE\n  ostree-kernel verify --kver KVER"
        ));
    };
    Some(format!(
        "{text} is not an image. Type:\n\n  ostree-kernel verify {line}"
    ))
}

fn is_image(word: &OsStr) -> bool {
    parse(word).is_ok()
}

/// Returns the error for an option about registries if none of `words` is an image in a registry. Returns `None` if one
/// of them is, or if no such option is given.
fn no_registry<'w>(
    reading: &Reading,
    mut words: impl Iterator<Item = &'w OsString>,
) -> Option<String> {
    let option = reading.given_for_registry()?;
    if words.any(|word| matches!(parse(word), Ok(ImageReference::Docker(_)))) {
        return None;
    }
    Some(format!(
        "{option} applies to registries, and has no effect without an image of docker://. Remove it"
    ))
}

/// Returns the error for an argument of `status` or `inspect`: an image reference that is not valid, or an image
/// together with `--root`. Returns `None` for a word that names no transport, such as a path.
fn image(command: &str, word: &OsStr, has_root: bool) -> Option<String> {
    match parse(word) {
        Ok(image) if has_root => Some(format!(
            "{image} is read directly, and --root would have no effect. Type:\n\n  ostree-kernel {command} {image}"
        )),
        Ok(_) | Err(ReferenceError::NoTransport) => None,
        Err(error) => Some(format!("{}: {error}", word.to_string_lossy())),
    }
}

fn status(args: &cmd::status::Args, has_root: bool) -> Option<String> {
    let Some(word) = &args.image else {
        return args.reading.given().map(|option| {
            format!("{option} applies to reading images, and has no effect without one. Type:\n\n  ostree-kernel status {option} … docker://NAME")
        });
    };
    if !is_image(word) && parse(word) == Err(ReferenceError::NoTransport) {
        return Some(format!(
            "{} is not an image. To show the tree in a directory, type:\n\n  ostree-kernel status --root {}",
            word.display(),
            word.display()
        ));
    }
    let message = image("status", word, has_root);
    message.or_else(|| no_registry(&args.reading, std::iter::once(word)))
}

fn inspect(args: &cmd::inspect::Args, has_root: bool) -> Option<String> {
    let words = std::iter::once(&args.image).chain(&args.diff);
    if let Some(message) = words.clone().find_map(|it| image("inspect", it, has_root)) {
        return Some(message);
    }
    let reads_image = words.clone().any(|it| is_image(it));
    let without_image = args.reading.given().filter(|_| !reads_image).map(|option| {
        format!("{option} applies to reading images, and has no effect on a file. Remove it")
    });
    without_image.or_else(|| no_registry(&args.reading, words))
}

/// Checks the options that `replace` and `rebuild` share. Reads the keys and certificates, so that a file that cannot
/// be used is reported before anything changes.
fn ending(ending: &cmd::job::Ending, root: &Path) -> Option<String> {
    let against = ending.against.as_ref();
    if let Some(option) = ending.reading.given()
        && !against.is_some_and(|word| is_image(word))
    {
        return Some(format!(
            "{option} applies to reading the image of --against, and has no effect without one. Remove it, or add --against docker://NAME"
        ));
    }
    let message = no_registry(&ending.reading, against.into_iter());
    message.or_else(|| ending.signing.read(root).err())
}

fn replace(args: &cmd::replace::Args) -> Option<String> {
    let backend = args.backend.filter(|it| *it != Backend::RpmOstree)?;
    args.no_repos.then(|| {
        format!("--no-repos hides repositories from rpm-ostree, and has no effect with --backend {backend}. Remove one of them")
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn no_option_is_ignored() {
        for (line, expected) in [
            (
                "verify 6.9.4-200.fc40.x86_64",
                "verify --kver 6.9.4-200.fc40.x86_64\n",
            ),
            ("verify /nowhere/x", "  ostree-kernel verify --root DIR\n"),
            ("verify /usr", "  ostree-kernel verify --root /usr\n"),
            (
                "verify Cargo.toml",
                "  ostree-kernel verify --initramfs Cargo.toml\n",
            ),
            (
                "verify --initramfs Cargo.toml 6.9.4",
                "verify --kver 6.9.4\n",
            ),
            ("verify quay.io/a/b:c", "  ostree-kernel verify oci:DIR\n"),
            (
                "verify docker://fedora",
                "docker://docker.io/library/fedora",
            ),
            ("verify docker-daemon:a", "is not supported"),
            (
                "verify oci:x --authfile f",
                "--authfile applies to registries, and has no effect without an image of docker://",
            ),
            (
                "verify oci:x --tls-verify=false",
                "--tls-verify applies to registries",
            ),
            (
                "inspect oci:x --cert-dir d",
                "--cert-dir applies to registries",
            ),
            (
                "status oci:x --authfile f",
                "--authfile applies to registries",
            ),
            (
                "verify --tls-verify=false",
                "--tls-verify applies to reading images",
            ),
            ("verify oci:x --initramfs f", "oci:x would have no effect"),
            ("verify oci:x --root /y", "--root would have no effect"),
            (
                "verify --platform linux/arm64",
                "--platform applies to reading images",
            ),
            (
                "rebuild --authfile f",
                "--authfile applies to reading the image of --against",
            ),
            (
                "replace x --against f --tls-verify=false",
                "or add --against docker://NAME",
            ),
            (
                "rebuild --against oci:x --cert-dir d",
                "--cert-dir applies to registries",
            ),
            ("verify --list oci:x", "an image would have no effect"),
            ("status oci:x --root /y", "--root would have no effect"),
            ("inspect oci:x --root /y", "--root would have no effect"),
            ("inspect f --diff docker://a", "short name"),
            (
                "inspect f --platform linux/arm64",
                "has no effect on a file",
            ),
            (
                "--root /x verify --initramfs f",
                "  ostree-kernel verify --initramfs f\n",
            ),
            (
                "verify --initramfs f --root /",
                "  ostree-kernel verify --root /\n",
            ),
            (
                "verify --list --fatal-warnings",
                "--fatal-warnings would have no effect",
            ),
            ("--root /x verify --list", "--root would have no effect"),
            (
                "verify --list --root-fs xfs",
                "--root-fs would have no effect",
            ),
            (
                "verify --only kernel-single --root-fs xfs",
                "--root-fs has no effect",
            ),
            (
                "verify --only kernel-single --require-driver x",
                "--require-driver has no effect",
            ),
            (
                "verify --only kernel-hmac --only os-release --against f",
                "--against has no effect: no check of --only compares",
            ),
            (
                "verify --only kernel-hmac --skip os-release",
                "--skip os-release has no effect",
            ),
            (
                "replace --backend dnf5 --no-repos /rpms",
                "has no effect with --backend dnf5",
            ),
            ("-q verify -v", "--quiet and --verbose"),
            ("status /mnt", "  ostree-kernel status --root /mnt\n"),
            ("inspect f --cat x --format json", "--cat writes"),
            ("--format json inspect f --cat x", "--cat writes"),
            (
                "replace --from r --max-size 1G kernel",
                "cannot be used with",
            ),
            (
                "rebuild --cache-dir /c",
                "unexpected argument '--cache-dir'",
            ),
        ] {
            let words = std::iter::once("ostree-kernel").chain(line.split(' '));
            let error = parse(words.map(Into::into).collect()).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            let text = error.to_string();
            assert!(text.contains(expected), "{line}: {text}");
            assert!(text.contains("Usage: ostree-kernel "), "{line}: {text}");
        }
        for line in [
            "verify --list --format json -q",
            "verify --root /x --kver 6.9.4",
            "verify --initramfs f --kver 6.9.4",
            "verify --only initramfs-root-drivers --root-fs xfs",
            "verify --only kernel-hmac --only kmods --against f",
            "verify --only kernel-hmac --only kmods --skip kmods",
            "verify --skip kmods --against f",
            "replace --backend rpm-ostree --no-repos /rpms",
            "replace --cache-dir /c /rpms",
            "--root /x inspect f --cat x",
            "verify oci:x dir:y --kver 6.9.4 --platform linux/arm64",
            "verify --against oci:x --platform linux/arm64",
            "status oci:x",
            "status docker://quay.io/a/b --tls-verify=false",
            "verify docker://quay.io/a/b:c oci:x --authfile f --cert-dir d",
            "verify oci:x --against docker://quay.io/a/b:c --authfile f",
            "rebuild --against docker://quay.io/a/b:c --authfile f --tls-verify=false",
            "replace x --against oci:x --platform linux/arm64",
            "inspect oci:x --diff docker://quay.io/a/b:c --tls-verify false",
            "inspect f --diff oci:x --platform linux/arm64",
        ] {
            let words = std::iter::once("ostree-kernel").chain(line.split(' '));
            parse(words.map(Into::into).collect()).unwrap();
        }
    }
}
