// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ordering cycles and conflicts in the transactions of a boot (`src/core/transaction.c`, v257). A transaction consists
//! of the jobs that systemd starts together. From an ordering cycle, systemd removes an optional job; if the cycle has
//! none, systemd refuses the transaction (`transaction_verify_order_one`).

use std::collections::{BTreeMap, BTreeSet};

use super::transaction::Boot;
use super::unit::Dependency;

/// The maximum number of examined transactions. They begin with `initrd.target` and with the units that commands start.
const ROOTS_MAX: usize = 16;

/// Jobs that wait for each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cycle {
    /// The numbers of the jobs, sorted.
    pub jobs: Vec<usize>,
    /// The jobs that systemd may remove; empty if it refuses the transaction.
    pub removable: Vec<usize>,
}

impl Boot {
    /// Returns the ordering cycles in the first [`ROOTS_MAX`] transactions, sorted and without duplicates.
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut cycles = BTreeSet::new();
        for root in self.roots() {
            let required = self.with_required(&[root]);
            let all = self.transaction(root);
            for jobs in self.circles(&required) {
                let removable = Vec::new();
                cycles.insert(Cycle { jobs, removable });
            }
            for jobs in self.circles(&all) {
                let removable = jobs.iter().copied().filter(|it| !required.contains(it));
                let removable: Vec<_> = removable.collect();
                if !removable.is_empty() {
                    cycles.insert(Cycle { jobs, removable });
                }
            }
        }
        cycles.into_iter().collect()
    }

    /// Returns pairs of jobs in one transaction that systemd cannot run together (`transaction_ensure_mergeable`):
    /// systemd drops one job of the pair, or refuses the transaction. A pair in several transactions is repeated.
    pub fn conflicts(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for root in self.roots() {
            let all = self.transaction(root);
            for &at in &all {
                let edges = self.jobs[at].edges().iter();
                let conflicts =
                    edges.filter(|it| it.0 == Dependency::Conflicts && all.contains(&it.1));
                found.extend(conflicts.map(|it| (at, it.1)));
            }
        }
        found
    }

    /// Returns the jobs that begin a transaction, at most [`ROOTS_MAX`].
    fn roots(&self) -> impl Iterator<Item = usize> {
        let mut roots = BTreeSet::from([0]);
        let jobs = self.jobs.iter().enumerate();
        for (_, job) in jobs.filter(|it| self.is_reached(it.0)) {
            let starts = job.edges().iter().filter(|it| it.0 == Dependency::Starts);
            roots.extend(starts.map(|it| it.1));
        }
        let roots = roots.into_iter().filter(|&root| self.is_reached(root));
        roots.take(ROOTS_MAX)
    }

    /// Returns the jobs of the transaction that `root` begins.
    fn transaction(&self, root: usize) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        let mut todo = vec![root];
        while let Some(at) = todo.pop() {
            if self.is_reached(at) && all.insert(at) {
                let starts = [Dependency::Requires, Dependency::Wants];
                let edges = self.jobs[at].edges().iter();
                todo.extend(edges.filter(|it| starts.contains(&it.0)).map(|it| it.1));
            }
        }
        all
    }

    /// Returns, for each of `jobs` that waits for others of `jobs`, these others.
    fn waits(&self, jobs: &BTreeSet<usize>) -> BTreeMap<usize, Vec<usize>> {
        let mut waits: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &at in jobs {
            for &(kind, to) in self.jobs[at].edges() {
                if !jobs.contains(&to) || to == at {
                    continue;
                }
                match kind {
                    Dependency::After => waits.entry(at).or_default().push(to),
                    Dependency::Before => waits.entry(to).or_default().push(at),
                    Dependency::Requires | Dependency::Wants if self.waits_by_default(at, to) => {
                        waits.entry(at).or_default().push(to);
                    }
                    _ => {}
                }
            }
        }
        waits
    }

    /// Returns the sets of jobs that wait for each other: the strongly connected components, by Tarjan's
    /// algorithm without recursion.
    fn circles(&self, jobs: &BTreeSet<usize>) -> Vec<Vec<usize>> {
        let waits = self.waits(jobs);
        let mut order: BTreeMap<usize, usize> = BTreeMap::new();
        let mut low: BTreeMap<usize, usize> = BTreeMap::new();
        let mut open: Vec<usize> = Vec::new();
        let mut is_open = BTreeSet::new();
        let mut circles = Vec::new();
        for &start in jobs {
            if order.contains_key(&start) {
                continue;
            }
            let mut path = vec![(start, 0)];
            while let Some(&mut (at, ref mut next)) = path.last_mut() {
                if *next == 0 {
                    let number = order.len();
                    order.insert(at, number);
                    low.insert(at, number);
                    open.push(at);
                    is_open.insert(at);
                }
                let to = waits.get(&at).and_then(|it| it.get(*next)).copied();
                *next += 1;
                match to {
                    Some(to) if !order.contains_key(&to) => path.push((to, 0)),
                    Some(to) if is_open.contains(&to) => lower(&mut low, at, order[&to]),
                    Some(_) => {}
                    None => {
                        path.pop();
                        if let Some((above, _)) = path.last() {
                            let of_this = low[&at];
                            lower(&mut low, *above, of_this);
                        }
                        if low[&at] == order[&at] {
                            let from = open.iter().rposition(|&it| it == at).unwrap_or(0);
                            let mut circle = open.split_off(from);
                            circle.iter().for_each(|it| {
                                is_open.remove(it);
                            });
                            circle.sort_unstable();
                            if circle.len() > 1 {
                                circles.push(circle);
                            }
                        }
                    }
                }
            }
        }
        circles
    }
}

fn lower(low: &mut BTreeMap<usize, usize>, at: usize, to: usize) {
    if let Some(it) = low.get_mut(&at) {
        *it = (*it).min(to);
    }
}
