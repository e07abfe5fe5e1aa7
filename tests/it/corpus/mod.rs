// SPDX-License-Identifier: MIT OR Apache-2.0
//! The corpus: real images that boot, and broken ones. `verify` must accept every good image, and reject every broken
//! one with findings of exactly the expected checks.

pub mod archive;
mod broken;
mod case;
mod draft;
mod foreign;
mod good;
mod images;
mod judge;
mod node;
pub mod products;
mod rpmdb;
mod scratch;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use ostree_kernel::checks::{CHECKS, Severity};

use case::{Case, CaseKind};
use judge::{Judged, PASSED, findings, judge};
use products::Products;
use scratch::Scratch;

/// The minimum number of good images.
const GOOD: usize = 20;
/// The minimum number of broken images.
const BROKEN: usize = 120;
/// The maximum number of broken images with truncated, flipped or wrong bytes.
const DAMAGED: usize = 30;
/// The minimum number of broken images for each fatal check.
const EACH: usize = 3;

fn fatal_checks() -> impl Iterator<Item = &'static str> {
    let fatal = CHECKS
        .iter()
        .filter(|check| check.severity == Severity::Fatal);
    fatal.map(|check| check.name)
}

/// Returns the cases whose products exist.
fn cases(products: &Products) -> Vec<Case> {
    let mut cases = good::cases();
    cases.extend(broken::cases());
    cases.extend(rpmdb::cases());
    cases.retain(|case| products.has(case.base));
    let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    cases
}

/// Returns the cases that `CORPUS_CASES` selects: a comma-separated list of names or parts of names. Returns all cases
/// if it is not set.
fn selected(products: &Products) -> Vec<Case> {
    let mut cases = cases(products);
    if let Ok(only) = std::env::var("CORPUS_CASES") {
        let names: BTreeSet<_> = cases.iter().map(|case| case.name.clone()).collect();
        let fits = |name: &str, part: &str| {
            if names.contains(part) {
                name == part
            } else {
                name.contains(part)
            }
        };
        cases.retain(|case| only.split(',').any(|part| fits(&case.name, part)));
    }
    cases
}

/// Judges the cases on all processors; returns the answers in the order of the cases.
fn judge_all(products: &Products, cases: &[&Case], skip: Option<&str>) -> Vec<Judged> {
    let next = AtomicUsize::new(0);
    let work = || {
        let place = Scratch::new();
        let mut done = Vec::new();
        while let Some((at, case)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            cases.get(at).map(|case| (at, case))
        } {
            done.push((at, judge(&place, products, case, skip)));
        }
        done
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, judged)| judged).collect()
}

fn list<S: AsRef<str>>(checks: impl IntoIterator<Item = S>) -> String {
    let checks: Vec<_> = checks
        .into_iter()
        .map(|it| it.as_ref().to_owned())
        .collect();
    match checks.as_slice() {
        [] => "nothing fatal".to_owned(),
        checks => checks.join(" "),
    }
}

#[test]
fn corpus() {
    let Some(products) = Products::made() else {
        return;
    };
    let cases = selected(&products);
    let judged = judge_all(&products, &cases.iter().collect::<Vec<_>>(), None);
    // Errors are printed at the end, since CI may truncate a log in the middle.
    let mut wrong = Vec::new();
    for (case, judged) in cases.iter().zip(&judged) {
        let found = list(&judged.found);
        match case.kind {
            CaseKind::Good => println!("good {}: {found}", case.name),
            _ => {
                let expected = list(&case.expected);
                println!("broken {}: expected {expected}, found {found}", case.name);
            }
        }
        if let Some(why) = &judged.wrong {
            wrong.push(format!(
                "{}: {why}: expected {}, found {found} ({})\n{}",
                case.name,
                list(&case.expected),
                case.comes_of,
                findings(&judged.said)
            ));
        }
    }
    let count = |fits: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| fits(case)).count();
    let good = count(&|case| case.kind == CaseKind::Good);
    let broken = cases.len() - good;
    let damaged = count(&|case| case.kind == CaseKind::Damaged);
    let few: Vec<_> = fatal_checks()
        .filter(|check| count(&|case| case.expected.contains(check)) < EACH)
        .collect();
    let enough = fatal_checks().count() - few.len();
    println!(
        "{good} good, {broken} broken ({damaged} of them damaged bytes), {enough} fatal checks with at least {EACH} cases"
    );
    assert!(
        wrong.is_empty(),
        "{} cases have another answer than expected:\n{}",
        wrong.len(),
        wrong.concat()
    );
    if std::env::var_os("CORPUS_CASES").is_none() {
        assert!(good >= GOOD, "{good} good images, expected {GOOD}");
        assert!(broken >= BROKEN, "{broken} broken ones, expected {BROKEN}");
        assert!(
            damaged <= DAMAGED,
            "{damaged} of damaged bytes, at most {DAMAGED}"
        );
        assert!(
            few.is_empty(),
            "checks with fewer than {EACH} cases: {few:?}"
        );
    }
}

/// Run by `make mutants`. For each fatal check, the answer of at least one case must change if the check is skipped;
/// otherwise the corpus does not test the check.
#[test]
#[ignore = "runs most cases again; make mutants"]
fn corpus_mutants() {
    let Some(products) = Products::made() else {
        return;
    };
    let cases = cases(&products);
    let mut survived = Vec::new();
    for check in fatal_checks() {
        // The answers of the other cases do not depend on the check.
        let cases: Vec<_> = cases
            .iter()
            .filter(|case| case.expected.contains(&check))
            .collect();
        let judged = judge_all(&products, &cases, Some(check));
        let red = judged.iter().filter(|it| it.wrong.is_some()).count();
        let out = judged
            .iter()
            .filter(|it| it.wrong.as_deref() == Some(PASSED));
        let out = out.count();
        let verdict = if red > 0 { "red" } else { "GREEN" };
        println!(
            "mutant without {check}: {verdict}, {red} of {} cases answered otherwise, {out} of them passed",
            cases.len()
        );
        if red == 0 {
            survived.push(check);
        }
    }
    assert!(survived.is_empty(), "the corpus does not miss {survived:?}");
}
