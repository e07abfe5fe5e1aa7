// SPDX-License-Identifier: MIT OR Apache-2.0
//! The jobs of a boot: the units that systemd starts from `initrd.target` to the switch to the real root
//! (`src/core/transaction.c`, v257).
//!
//! Most units that generators write are unknown. A unit without a file therefore counts as present if its type is in
//! [`MADE`], or if its name has an `@`.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::binfmt::{CannotRun, run};
use super::command::{UnitCommand, started_by};
use super::condition::Conditions;
use super::context::Work;
use super::names::type_of;
use super::unit::{Dependency, Load, Unit};
use super::units::Units;
use crate::initramfs::{Facts, Inventory};

/// The unit that systemd starts in an initramfs.
const ROOT: &[u8] = b"initrd.target";

/// The maximum number of units in one boot. Real images have about 100.
const JOBS_MAX: usize = 10_000;

/// Types of units that generators, udev and systemd itself create.
const MADE: [&[u8]; 6] = [
    b".device",
    b".mount",
    b".swap",
    b".slice",
    b".scope",
    b".automount",
];

/// Names of units to load, each with the number of the job that refers to it and the kind of dependency; `None` for the
/// first unit.
type Todo = VecDeque<(Vec<u8>, Option<(usize, Dependency)>)>;

/// The reason why a unit does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The unit does not exist.
    NotFound,
    /// An empty file, a device or a link to `/dev/null` replaces the unit; the path.
    Masked(Vec<u8>),
    /// systemd refuses the unit; the reason.
    Bad(String),
    /// A condition is false, so systemd skips the unit: the line, and the file that contains the line.
    Condition(String, Vec<u8>),
    /// An assertion is false, so the unit fails: the line, and the file that contains the line.
    Assert(String, Vec<u8>),
    /// A setting prevents the unit's work: the line, the file that contains the line, and the reason.
    Setting(String, Vec<u8>, String),
    /// The kernel cannot execute a program of the unit: the number of the command, and the reason.
    Program(usize, CannotRun),
}

/// The outcome of starting a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    /// A condition prevents its start, which is not a failure.
    Skipped,
    Fails,
    /// systemd cannot load the unit or refuses to start it, and refuses each transaction that requires the unit.
    Unloadable,
}

/// A unit that `initrd.target` leads to.
#[derive(Debug)]
pub struct StartJob {
    /// The unit.
    pub unit: Unit,
    /// The first job that leads to this one, and the kind of the dependency; `None` for the job of `initrd.target`.
    pub from: Option<(usize, Dependency)>,
    /// The fault of the unit itself.
    pub fault: Option<Fault>,
    state: State,
    /// The dependencies of the unit, each with the number of the other unit's job.
    edges: Vec<(Dependency, usize)>,
}

/// Whether a boot runs a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The command runs. These jobs lead to it, from the first one to the one that runs it.
    Runs(Vec<usize>),
    /// These jobs lead to the command. One of them, or a unit that one of them requires, does not start, or the kernel
    /// cannot execute the command.
    Broken(Vec<usize>),
    /// No job leads to the command.
    Never,
}

impl StartJob {
    /// Returns the dependencies of the job on other jobs.
    pub(super) fn edges(&self) -> &[(Dependency, usize)] {
        &self.edges
    }
}

/// The jobs of a boot.
#[derive(Debug)]
pub struct Boot {
    /// The jobs; the first one starts `initrd.target`.
    pub jobs: Vec<StartJob>,
    /// The numbers of the jobs that systemd creates, each with the number of the job that leads to it. `jobs` also has
    /// jobs to which only a unit with a fault leads.
    strict: HashMap<usize, Option<usize>>,
    /// Whether a limit was exceeded or a text was not kept: then no unit is reported as missing.
    pub is_partial: bool,
}

impl Boot {
    /// Follows the units of an initramfs. `work` returns the kind of work that a command does.
    pub(super) fn new(
        inventory: &Inventory,
        facts: &Facts,
        work: &dyn Fn(&UnitCommand) -> Work,
    ) -> Self {
        let units = Units::new(inventory);
        let conditions = Conditions::new(inventory, facts);
        let mut boot = Self {
            jobs: Vec::new(),
            strict: HashMap::new(),
            is_partial: false,
        };
        boot.follow(&units);
        for job in &mut boot.jobs {
            job.fault = fault(&job.unit, inventory, facts, &conditions, work);
        }
        for (at, why) in boot.refused_starts() {
            boot.jobs[at].fault.get_or_insert(Fault::Bad(why));
        }
        for job in &mut boot.jobs {
            job.state = match &job.fault {
                None => State::Runs,
                Some(Fault::NotFound | Fault::Masked(_) | Fault::Bad(_)) => State::Unloadable,
                Some(Fault::Condition(..)) => State::Skipped,
                Some(Fault::Program(number, _)) => match job.unit.commands.get(*number) {
                    Some(command) if command.may_fail => State::Runs,
                    _ => State::Fails,
                },
                Some(Fault::Assert(..) | Fault::Setting(..)) => State::Fails,
            };
        }
        boot.spread();
        boot.start();
        boot
    }

    /// Adds a job for each unit that `initrd.target` leads to, even if a unit on the path does not start.
    fn follow(&mut self, units: &Units) {
        let mut known: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut todo: Todo = VecDeque::from([(ROOT.to_vec(), None)]);
        while let Some((name, from)) = todo.pop_front() {
            let at = match known.get(&name) {
                Some(&at) => at,
                None if self.jobs.len() == JOBS_MAX => {
                    self.is_partial = true;
                    break;
                }
                None => {
                    let unit = units.load(&name);
                    let at = known.get(&unit.name).copied();
                    let at = at.unwrap_or_else(|| self.add(unit, from, &mut todo));
                    known.insert(self.jobs[at].unit.name.clone(), at);
                    known.insert(name, at);
                    at
                }
            };
            if let Some((from, kind)) = from {
                self.jobs[from].edges.push((kind, at));
            }
        }
        // Ordering and conflicts start no unit, so these edges connect existing jobs only.
        for at in 0..self.jobs.len() {
            let ordered = self.jobs[at].unit.dependencies.iter();
            let ordered = ordered.filter(|(kind, _)| is_order(*kind));
            let ordered = ordered.filter_map(|(kind, name)| Some((*kind, *known.get(name)?)));
            let ordered: Vec<_> = ordered.collect();
            self.jobs[at].edges.extend(ordered);
        }
    }

    fn add(&mut self, unit: Unit, from: Option<(usize, Dependency)>, todo: &mut Todo) -> usize {
        let at = self.jobs.len();
        let starts = unit
            .dependencies
            .iter()
            .filter(|(kind, _)| !is_order(*kind));
        todo.extend(starts.map(|(kind, name)| (name.clone(), Some((at, *kind)))));
        self.is_partial |= unit.load == Load::Unread;
        self.jobs.push(StartJob {
            unit,
            from,
            fault: None,
            state: State::Runs,
            edges: Vec::new(),
        });
        at
    }

    /// Returns the numbers of the jobs whose units systemctl refuses to start or to isolate, with the reason
    /// (`manager_add_job_full`, `method_start_unit_generic`).
    fn refused_starts(&self) -> Vec<(usize, String)> {
        let mut refused = Vec::new();
        for job in &self.jobs {
            let starts = job.unit.commands.iter().flat_map(started_by);
            for (isolates, name) in starts {
                let is_named = |it: &&(Dependency, usize)| {
                    let unit = &self.jobs[it.1].unit;
                    it.0 == Dependency::Starts && unit.is_called(&name)
                };
                let Some(&(_, to)) = job.edges.iter().find(is_named) else {
                    continue;
                };
                let unit = &self.jobs[to].unit;
                let by = String::from_utf8_lossy(&job.unit.name);
                if unit.refuses_start {
                    refused.push((
                        to,
                        format!("it has RefuseManualStart=yes, and {by} starts it"),
                    ));
                } else if isolates && !unit.allows_isolate && unit.load == Load::Loaded {
                    let why = format!("it has no AllowIsolate=yes, and {by} isolates it");
                    refused.push((to, why));
                }
            }
        }
        refused
    }

    /// Propagates failures to the units that require a failed unit. If the failed unit is [`State::Unloadable`], all of
    /// these units are, too; otherwise only those that start after it fail.
    fn spread(&mut self) {
        let mut requiring: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, job) in self.jobs.iter().enumerate() {
            for (_, to) in job.edges.iter().filter(|it| it.0 == Dependency::Requires) {
                requiring.entry(*to).or_default().push(at);
            }
        }
        let is_wrong = |state| matches!(state, State::Fails | State::Unloadable);
        let wrong = (0..self.jobs.len()).filter(|&at| is_wrong(self.jobs[at].state));
        let mut todo: Vec<_> = wrong.collect();
        while let Some(at) = todo.pop() {
            let state = self.jobs[at].state;
            for &by in requiring.get(&at).into_iter().flatten() {
                let is_reached = state == State::Unloadable || self.is_after(by, at);
                let worse = match (self.jobs[by].state, state) {
                    (State::Unloadable, _) => false,
                    (State::Fails, State::Fails) => false,
                    _ => is_reached,
                };
                if worse {
                    self.jobs[by].state = state;
                    todo.push(by);
                }
            }
        }
    }

    /// Returns whether the job `by` starts after the job `at`, because of a setting, or because `by` is a target that
    /// waits by default.
    fn is_after(&self, by: usize, at: usize) -> bool {
        let has = |job: usize, edge| self.jobs[job].edges.contains(&edge);
        has(by, (Dependency::After, at))
            || has(at, (Dependency::Before, by))
            || self.waits_by_default(by, at)
    }

    /// Returns whether `by` is a target that by default waits for `at`, a unit that the target starts: both have
    /// default dependencies, and no setting orders `by` before `at`.
    pub(super) fn waits_by_default(&self, by: usize, at: usize) -> bool {
        let (target, other) = (&self.jobs[by].unit, &self.jobs[at].unit);
        let mut orders = self.jobs[by].edges.iter();
        let mut others = self.jobs[at].edges.iter();
        is_target(target)
            && target.has_defaults()
            && other.has_defaults()
            && !orders.any(|it| *it == (Dependency::Before, at))
            && !others.any(|it| *it == (Dependency::After, by))
    }

    /// Fills `strict` with the jobs that systemd creates.
    fn start(&mut self) {
        let Some(root) = self.jobs.first().filter(|it| it.state == State::Runs) else {
            return;
        };
        debug_assert!(root.from.is_none());
        self.strict.insert(0, None);
        let mut todo = VecDeque::from([0]);
        while let Some(at) = todo.pop_front() {
            let job = &self.jobs[at];
            for &(kind, to) in job.edges.iter().filter(|it| !is_order(it.0)) {
                let starts = kind != Dependency::Starts || job.state == State::Runs;
                let is_new = !self.strict.contains_key(&to);
                if starts && is_new && self.jobs[to].state != State::Unloadable {
                    self.strict.insert(to, Some(at));
                    todo.push_back(to);
                }
            }
        }
    }

    /// Returns whether a boot runs a command that `is_goal` accepts.
    pub fn reach(&self, is_goal: &dyn Fn(&UnitCommand) -> bool) -> Reach {
        let runs = |job: &StartJob| {
            let broken = match &job.fault {
                Some(Fault::Program(number, _)) => Some(*number),
                _ => None,
            };
            let mut commands = job.unit.commands.iter().enumerate();
            job.state == State::Runs && commands.any(|(at, it)| broken != Some(at) && is_goal(it))
        };
        let wants = |job: &StartJob| job.unit.commands.iter().any(is_goal);
        let order = 0..self.jobs.len();
        let mut strict = order.clone().filter(|at| self.strict.contains_key(at));
        if let Some(at) = strict.find(|&at| runs(&self.jobs[at])) {
            return Reach::Runs(self.path(at, |at| self.strict.get(&at).copied().flatten()));
        }
        let by = |at: usize| self.jobs[at].from.map(|(from, _)| from);
        match order.clone().find(|&at| wants(&self.jobs[at])) {
            Some(at) => Reach::Broken(self.path(at, by)),
            None => Reach::Never,
        }
    }

    fn path(&self, to: usize, from: impl Fn(usize) -> Option<usize>) -> Vec<usize> {
        let mut path = vec![to];
        let mut at = to;
        while let Some(before) = from(at).filter(|_| path.len() <= self.jobs.len()) {
            path.push(before);
            at = before;
        }
        path.reverse();
        path
    }

    /// Returns these jobs and all jobs that they require.
    pub fn with_required(&self, jobs: &[usize]) -> BTreeSet<usize> {
        let mut todo = jobs.to_vec();
        let mut all = BTreeSet::new();
        while let Some(at) = todo.pop() {
            if all.insert(at) {
                let edges = self.jobs[at].edges.iter();
                todo.extend(
                    edges
                        .filter(|it| it.0 == Dependency::Requires)
                        .map(|it| it.1),
                );
            }
        }
        all
    }

    /// Returns whether systemd creates the job.
    pub fn is_reached(&self, job: usize) -> bool {
        self.strict.contains_key(&job)
    }

    /// Returns the number of the job of the unit `name`, which is not an alias; `None` if there is none.
    pub fn job(&self, name: &[u8]) -> Option<usize> {
        self.jobs.iter().position(|job| job.unit.name == name)
    }
}

/// Returns whether a dependency orders or excludes units, and starts none.
fn is_order(kind: Dependency) -> bool {
    matches!(
        kind,
        Dependency::After | Dependency::Before | Dependency::Conflicts
    )
}

fn is_target(unit: &Unit) -> bool {
    type_of(&unit.name) == b".target"
}

/// Returns the fault of a unit itself, not of its dependencies. A command whose failure is ignored counts only if
/// nothing else is wrong.
fn fault(
    unit: &Unit,
    inventory: &Inventory,
    facts: &Facts,
    conditions: &Conditions,
    work: &dyn Fn(&UnitCommand) -> Work,
) -> Option<Fault> {
    match &unit.load {
        Load::Loaded => {}
        Load::Unread => return None,
        Load::NotFound => {
            let is_made = MADE.contains(&type_of(&unit.name)) || unit.name.contains(&b'@');
            return (!is_made).then_some(Fault::NotFound);
        }
        Load::Masked(path) => return Some(Fault::Masked(path.clone())),
        Load::Bad(why) => return Some(Fault::Bad(why.clone())),
    }
    if let Some(it) = conditions.false_one(&unit.conditions) {
        return Some(Fault::Condition(it.text.clone(), it.path.clone()));
    }
    if let Some(it) = conditions.false_one(&unit.asserts) {
        return Some(Fault::Assert(it.text.clone(), it.path.clone()));
    }
    let cannot = |command: &UnitCommand| {
        let program = command.program.as_ref()?;
        run(inventory, facts, program).err()
    };
    let mut commands = unit.commands.iter().enumerate();
    let mut may_fail = None;
    let fails = commands.find_map(|(number, command)| {
        let fault = Fault::Program(number, cannot(command)?);
        if command.may_fail {
            may_fail.get_or_insert(fault);
            None
        } else {
            Some(fault)
        }
    });
    if fails.is_some() {
        return fails;
    }
    let confined = unit.commands.iter().filter(|it| !it.is_unconfined);
    let obstacle = confined.map(work).max().and_then(|work| {
        unit.context
            .obstacle(&unit.name, work, inventory, conditions)
    });
    let obstacle = obstacle.map(|(line, path, why)| Fault::Setting(line, path, why));
    obstacle.or(may_fail)
}
