// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes cases into a directory, to boot them:
//! `CORPUS_OUT=DIR [CORPUS_CASES=NAME,…] cargo test --test it corpus_write -- --ignored`.
//!
//! `DIR/list.tsv` has a line for each case, which includes the result of `verify`; an empty field is `-`. `DIR/NAME/`
//! has the case's `initramfs.img`, and the differences from the good tree: new and changed files in `tree/`, and the
//! names of removed files in `removed`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::case::{Case, CaseKind};
use super::draft::Draft;
use super::judge::{PASSED, judge};
use super::products::Products;
use super::scratch::Scratch;
use super::selected;

const COLUMNS: &str = "name\tkind\texpected\tfound\tkver\timage\tgood tree\twhat it comes of";

#[test]
#[ignore = "writes to CORPUS_OUT"]
fn corpus_write() {
    let out = std::env::var_os("CORPUS_OUT").expect("CORPUS_OUT says where to");
    let out = PathBuf::from(out);
    let Some(products) = Products::made() else {
        return;
    };
    let place = Scratch::new();
    let mut lines = vec![COLUMNS.to_owned()];
    for case in selected(&products) {
        let dir = out.join(&case.name);
        let _ = fs_err::remove_dir_all(&dir);
        fs_err::create_dir_all(&dir).unwrap();
        lines.push(write(&place, &products, &case, &dir));
    }
    fs_err::write(out.join("list.tsv"), lines.join("\n") + "\n").unwrap();
    println!("{} cases in {}", lines.len() - 1, out.display());
}

/// Writes one case and verifies it; returns its line of the list.
fn write(place: &Scratch, products: &Products, case: &Case, dir: &Path) -> String {
    let mut draft = Draft::new(place, products, case.base);
    (case.change)(&mut draft);
    if case.base.has_tree() {
        differences(&products.tree(case.base), &draft.root(), dir);
    }
    draft.finish();
    let image = dir.join("initramfs.img");
    let is_file = draft.image_path().is_file();
    if is_file {
        fs_err::copy(draft.image_path(), &image).unwrap();
    }
    let kver = draft.kver.clone();
    drop(draft);
    let judged = judge(place, products, case, None);
    let found = match judged.wrong {
        Some(wrong) if judged.found.is_empty() && wrong != PASSED => wrong,
        _ => or_none(
            !judged.found.is_empty(),
            Vec::from_iter(judged.found).join(","),
        ),
    };
    let kind = match case.kind {
        CaseKind::Good => "good",
        CaseKind::Broken => "broken",
        CaseKind::Damaged => "damaged",
    };
    [
        case.name.clone(),
        kind.to_owned(),
        or_none(!case.expected.is_empty(), case.expected.join(",")),
        found,
        kver,
        or_none(is_file, image.display()),
        or_none(case.base.has_tree(), products.tree(case.base).display()),
        case.comes_of.to_owned(),
    ]
    .join("\t")
}

fn or_none(there: bool, what: impl ToString) -> String {
    if there {
        what.to_string()
    } else {
        "-".to_owned()
    }
}

/// The properties of a file or link that are compared to detect a change.
#[derive(PartialEq)]
struct Seen {
    mode: u32,
    size: u64,
    time: (i64, i64),
    target: Option<PathBuf>,
}

fn look(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let entries = WalkDir::new(root).min_depth(1).into_iter();
    let entries = entries.map(Result::unwrap);
    let entries = entries.filter(|entry| !entry.file_type().is_dir());
    entries
        .map(|entry| {
            let meta = entry.metadata().unwrap();
            let seen = Seen {
                mode: meta.mode(),
                size: meta.size(),
                time: (meta.mtime(), meta.mtime_nsec()),
                target: fs_err::read_link(entry.path()).ok(),
            };
            (entry.path().strip_prefix(root).unwrap().to_owned(), seen)
        })
        .collect()
}

fn differences(good: &Path, changed: &Path, dir: &Path) {
    let (before, after) = (look(good), look(changed));
    let mut removed = String::new();
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        removed += &format!("{}\n", path.display());
    }
    fs_err::write(dir.join("removed"), removed).unwrap();
    for (path, seen) in &after {
        if before.get(path) == Some(seen) {
            continue;
        }
        let place = dir.join("tree").join(path);
        fs_err::create_dir_all(place.parent().unwrap()).unwrap();
        match &seen.target {
            Some(target) => std::os::unix::fs::symlink(target, place).unwrap(),
            None => drop(fs_err::copy(changed.join(path), place).unwrap()),
        }
    }
}
