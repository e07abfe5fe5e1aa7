// SPDX-License-Identifier: MIT OR Apache-2.0
//! Trees of the corpus as container images. For each transport, the report of `verify` must be that of `verify --root`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::case::{Case, CaseKind};
use super::cases;
use super::draft::Draft;
use super::products::{Base, Products, of_the_bed};
use super::scratch::Scratch;
use crate::bed::wait;
use crate::images::chunked::{Chunked, part, reference};
use crate::images::make::{self, Packed};
use crate::images::registry::{host, serve_images};
use crate::images::storage::storage;

/// The transports that are compared, in the order in which their images are made: `oci-archive` is packed from `oci
/// gzip`.
const TRANSPORTS: [&str; 9] = [
    "oci gzip",
    "oci zstd",
    "oci-archive",
    "dir",
    "docker-archive",
    "docker gzip",
    "docker chunked",
    "docker whole",
    "storage",
];

/// Runs `verify` with `args`, which name an image or a tree, and the options `more`. Returns the exit status, the
/// report without the field `image`, and the log.
fn verify(args: &[&str], more: &[String]) -> (Option<i32>, Value, String) {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_ostree-kernel"));
    command.args(["--format", "json", "verify"]).args(args);
    command.args(more).env_clear().stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (status, stdout, stderr) = wait(command.spawn().unwrap());
    let mut report: Value = serde_json::from_str(&stdout).unwrap_or_default();
    if let Some(fields) = report.as_object_mut() {
        fields.remove("image");
    }
    (status, report, stderr)
}

/// Compares the images of all transports with the tree. Returns a message for each transport whose report or exit
/// status differs from the tree's, and the tree's line for the printed table.
fn compare(name: &str, root: &Path, beside: &Path, more: &[String]) -> (Vec<String>, String) {
    let start = Instant::now();
    let (status, expected, stderr) = verify(&["--root", root.to_str().unwrap()], more);
    assert!(expected.is_object(), "{name}: {stderr}");
    let (plain, diff_ids) = make::of_tree(root, Packed::Plain);
    let gzip: Vec<_> = plain.iter().map(|it| Packed::Gzip.pack(it)).collect();
    let chunked = Chunked::new(&plain, &diff_ids, |_, _| {});
    let by_range = chunked.serve(part);
    let whole = chunked.serve(|blob, _, _, stream| crate::server::answer(stream, 200, "", blob));
    let (server, _) = serve_images(&[("c", gzip.clone(), diff_ids.clone())]);
    let path = |name: &str| beside.join(name).display().to_string();
    let images = TRANSPORTS.map(|transport| match transport {
        "oci gzip" => {
            make::layout(&beside.join("oci"), &gzip, &diff_ids);
            format!("oci:{}", path("oci"))
        }
        "oci zstd" => {
            let zstd: Vec<_> = plain.iter().map(|it| Packed::Zstd.pack(it)).collect();
            make::layout(&beside.join("zstd"), &zstd, &diff_ids);
            format!("oci:{}", path("zstd"))
        }
        "oci-archive" => {
            make::oci_archive(&beside.join("oci"), &beside.join("oci.tar"));
            format!("oci-archive:{}", path("oci.tar"))
        }
        "dir" => {
            make::skopeo_dir(&beside.join("dir"), &gzip, &diff_ids);
            format!("dir:{}", path("dir"))
        }
        "docker-archive" => {
            let layers = (plain.clone(), diff_ids.clone());
            make::docker_archive(&beside.join("docker.tar"), &layers);
            format!("docker-archive:{}", path("docker.tar"))
        }
        "docker gzip" => format!("docker://{}/a/b:c", host(&server)),
        "docker chunked" => reference(&by_range),
        "docker whole" => reference(&whole),
        _ => {
            storage(&beside.join("storage"), root);
            format!("containers-storage:[overlay@{}]a/b", path("storage"))
        }
    });
    let mut wrong = Vec::new();
    for (transport, image) in TRANSPORTS.iter().zip(&images) {
        let (found, report, stderr) = verify(&[image], more);
        if (found, &report) != (status, &expected) {
            let lines = |it: &Value| serde_json::to_string_pretty(it).unwrap_or_default();
            let (one, other) = (lines(&expected), lines(&report));
            let other: Vec<_> = other.lines().collect();
            let only = one.lines().filter(|line| !other.contains(line));
            let only: Vec<_> = only.take(10).collect();
            wrong.push(format!("{name}, {transport}: {found:?}: {only:?} {stderr}"));
        }
    }
    for name in ["oci", "zstd", "dir", "storage"] {
        fs_err::remove_dir_all(beside.join(name)).unwrap();
    }
    for name in ["oci.tar", "docker.tar"] {
        fs_err::remove_file(beside.join(name)).unwrap();
    }
    let findings = expected["findings"].as_array().map_or(0, Vec::len);
    let same = TRANSPORTS.len() - wrong.len();
    let size: usize = plain.iter().map(Vec::len).sum();
    let line = format!(
        "| {name} | {:.0} MiB | {} | {findings} | {same} of {} | {:.0} s |",
        size as f64 / f64::from(1 << 20),
        status.map_or("killed".to_owned(), |it| it.to_string()),
        TRANSPORTS.len(),
        start.elapsed().as_secs_f64(),
    );
    (wrong, line)
}

/// Compares all cases as [`compare`] does and prints a table; panics if there are differences.
fn compare_all(products: &Products, cases: &[Case]) {
    let place = Scratch::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    println!("| tree | size | exit status | findings | same findings | time |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for case in cases {
        let mut draft = Draft::new(&place, products, case.base);
        (case.change)(&mut draft);
        draft.finish();
        let mut more = vec!["--kver".to_owned(), draft.kver.clone()];
        more.extend(draft.args.iter().cloned());
        let beside = tempfile::TempDir::with_prefix("ostree-kernel-images-").unwrap();
        let (found, line) = compare(&case.name, &draft.root(), beside.path(), &more);
        println!("{line}");
        wrong.extend(found);
        count += TRANSPORTS.len();
    }
    println!("{count} images, {} differences", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_whole(case: &Case) -> bool {
    let whole = [Base::TrixieWhole, Base::BookwormWhole, Base::SidWhole];
    whole.contains(&case.base)
}

/// Returns cases with the unchanged trees of these bases, if they exist.
fn unchanged(products: &Products, bases: &[Base]) -> Vec<Case> {
    let there = bases.iter().filter(|base| products.has(**base));
    let case = |base: &Base| {
        let name = format!("{base:?}").to_lowercase();
        Case::new(CaseKind::Good, name, *base, "", &[], |_| ())
    };
    there.map(case).collect()
}

#[test]
fn a_whole_tree_as_images() {
    if let Some(products) = Products::made() {
        compare_all(&products, &unchanged(&products, &[Base::TrixieWhole]));
    }
}

/// Compares all trees unchanged, and all cases with whole trees; only the cases of CORPUS_CASES if it is set.
#[test]
#[ignore = "minutes; make images"]
fn all_trees_as_images() {
    let Some(products) = Products::made() else {
        panic!("make images needs root and the corpus");
    };
    if std::env::var_os("CORPUS_CASES").is_some() {
        return compare_all(&products, &super::selected(&products));
    }
    let bases = [
        Base::TrixieOld,
        Base::TrixieNew,
        Base::TrixieSlim,
        Base::TrixieWhole,
        Base::TrixiePlain,
        Base::TrixieBootc,
        Base::BookwormOld,
        Base::BookwormOmit,
        Base::BookwormWhole,
        Base::BookwormSquash,
        Base::Sid,
        Base::SidWhole,
        Base::SidSquash,
        Base::SidErofs,
    ];
    let mut all = unchanged(&products, &bases);
    all.extend(cases(&products).into_iter().filter(is_whole));
    compare_all(&products, &all);
}

/// Compares the unchanged trees of other architectures.
#[test]
#[ignore = "minutes; make images"]
fn trees_of_other_architectures_as_images() {
    let Some(dir) = of_the_bed("foreign") else {
        return;
    };
    let beside = tempfile::TempDir::with_prefix("ostree-kernel-images-").unwrap();
    for arch in ["aarch64", "s390x", "ppc64le"] {
        let root: PathBuf = dir.join(arch);
        if !root.is_dir() {
            continue;
        }
        let (wrong, line) = compare(arch, &root, beside.path(), &[]);
        println!("{line}");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
