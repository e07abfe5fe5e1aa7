// SPDX-License-Identifier: MIT OR Apache-2.0
//! The man pages are made from the same definitions as `--help`, and the committed ones are current.
//! `make man` writes them again.

use std::path::Path;

use clap_mangen::Man;

/// Every page: its file name and its text.
fn pages() -> Vec<(String, Vec<u8>)> {
    let mut overview = ostree_kernel::cli::definition();
    overview.build();
    let mut commands: Vec<_> = overview
        .get_subcommands()
        .map(|command| {
            // clap takes names that live for ever; a test may leak a few.
            let name = format!("{}-{}", overview.get_name(), command.get_name());
            let usage = format!("{} {}", overview.get_name(), command.get_name());
            let name: &'static str = name.leak();
            command
                .clone()
                .name(name)
                .bin_name(usage.leak() as &'static str)
        })
        .collect();
    commands.push(overview);
    let page = |command: clap::Command| {
        let name = format!("{}.8", command.get_name());
        let mut text = Vec::new();
        let man = Man::new(command)
            .section("8")
            .manual("System administration");
        man.render(&mut text).expect("writing to memory");
        (name, text)
    };
    commands.into_iter().map(page).collect()
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
