// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs depmod, then the real dracut, once. Exit status 0 is not trusted: the log is searched for lines that mean a loss.

mod difference;
mod heard;

use std::collections::BTreeSet;
use std::io::Write;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

use self::difference::difference;
use self::heard::Heard;
use super::clean::Clean;
use super::locate::Kernel;
use crate::checks::{AllLacking, Baseline, Lacking};
use crate::initramfs;
use crate::kernel::kver::Kver;
use crate::kernel::modules::ModuleName;
use crate::site::hmac_file;
use crate::site::hold;
use crate::site::workspace::{TMP, Workspace};
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec, advise};
use crate::sys::root::{self, Root};
use crate::tools::dracut::Notes;
use crate::tools::{cliwrap, depmod, dracut};

/// Limit of the different lines of depmod that are kept about files that it cannot read.
const FAILURES_KEPT: usize = 5;

/// An initramfs beside its place, not yet in it. It vanishes unless it is committed.
pub struct Candidate {
    /// The kernel that it is for.
    pub kernel: Kernel,
    /// Where it lies, relative to the root.
    pub path: String,
    /// What dracut's log says of it.
    pub notes: Notes,
    /// Modules that depmod says cannot be loaded.
    pub lacking: AllLacking,
    /// What the user should know if `.vmlinuz.hmac` was written anew.
    pub renewed: Option<String>,
    root: Root,
    /// Writing it to the disk goes on while it is verified.
    syncing: Option<JoinHandle<Result<(), root::Error>>>,
}

impl Candidate {
    /// One whose file is not there yet.
    fn new(root: &Root, kernel: &Kernel) -> Self {
        Self {
            path: candidate_path(&kernel.kver),
            notes: Notes::default(),
            lacking: AllLacking::default(),
            renewed: None,
            root: root.clone(),
            syncing: None,
            kernel: kernel.clone(),
        }
    }

    /// What the user should know of how it was made.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = heard::warnings(&self.notes);
        warnings.extend(self.renewed.clone());
        warnings
    }

    /// Waits until it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sync(&mut self) -> Result<()> {
        match self.syncing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(synced)) => Ok(synced?),
            Some(Err(_)) => bail!("the thread that writes the initramfs to the disk has panicked"),
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Err(error) = self.root.remove_file(&self.path) {
            tracing::warn!("removing the initramfs that was not committed: {error:#}");
        }
    }
}

/// Where the candidate of a kernel lies until it is committed.
fn candidate_path(kver: &Kver) -> String {
    format!("{}/.initramfs.img.ostree-kernel", kver.dir())
}

/// What is asked of dracut.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// dracut's modules that the base's initramfs has.
    pub inherited: Vec<String>,
    /// What the user put after `--`.
    pub extra: Vec<String>,
    /// Drivers that the base's initramfs has, or its kernel has built in.
    had: BTreeSet<ModuleName>,
}

impl Wants {
    /// Carries over those of the base's modules that are still on disk and that nobody leaves out.
    ///
    /// # Errors
    /// When dracut's modules or its configuration cannot be read.
    pub fn new(root: &Root, base: Option<&Baseline>, extra: &[String]) -> Result<Self> {
        let on_disk = dracut::modules(root)?;
        let mut omitted = dracut::omitted(root)?;
        omitted.add_arguments(extra);
        let had = base.map(|base| base.dracut_modules.as_slice());
        let kept = had.unwrap_or_default().iter().filter(|module| {
            on_disk.contains(*module) && !omitted.dracut_modules.contains(*module)
        });
        let inherited: BTreeSet<_> = kept.filter(|module| *module != "ostree").cloned().collect();
        Ok(Self {
            inherited: inherited.into_iter().collect(),
            extra: extra.to_vec(),
            had: base.map(Baseline::all_drivers).unwrap_or_default(),
        })
    }

    /// The command lines. `program` is dracut's.
    /// `with_map`: as [`depmod::all`].
    pub fn commands(&self, program: &str, kver: &Kver, with_map: bool) -> [Cmd; 2] {
        let dracut = self.dracut(program, kver);
        [depmod::all(kver, with_map), dracut]
    }

    fn dracut(&self, program: &str, kver: &Kver) -> Cmd {
        dracut::build(&dracut::Options {
            program,
            kver,
            tmpdir: &format!("/{TMP}"),
            inherited: &self.inherited,
            extra: &self.extra,
            output: &format!("/{}", candidate_path(kver)),
        })
    }
}

/// Builds the initramfs. dracut does its work once. If it stops before that because a module of the base can no longer be
/// added, it is started again without that module, which is removed from `wants`.
///
/// # Errors
/// When depmod or dracut fails, or dracut prints that something was lost, or made no file.
pub fn generate(
    exec: &Exec,
    workspace: &Workspace,
    clean: &Clean,
    wants: &mut Wants,
) -> Result<Candidate> {
    let root = exec.root();
    let mut candidate = Candidate::new(root, &clean.kernel);
    let kver = &clean.kernel.kver;
    make(exec, workspace, &mut candidate, wants)
        .with_context(|| format!("generating the initramfs for {kver}"))?;
    candidate.renewed = hmac_file::renew(root, kver, candidate.notes.has_fips)?;
    for warning in candidate.warnings() {
        tracing::warn!("{warning}");
    }
    let (root, path) = (root.clone(), candidate.path.clone());
    candidate.syncing = Some(thread::spawn(move || root.sync_file(path)));
    Ok(candidate)
}

/// Runs depmod and dracut, and fills in what their logs say.
fn make(
    exec: &Exec,
    workspace: &Workspace,
    candidate: &mut Candidate,
    wants: &mut Wants,
) -> Result<()> {
    let kver = &candidate.kernel.kver;
    let depmod = prepare(exec, workspace, kver)?;
    candidate.lacking = depmod.lacking;
    candidate.notes = build(exec, workspace, kver, wants).inspect_err(|_| {
        for line in &depmod.failures {
            tracing::warn!("{}", heard::of_depmod(line));
        }
    })?;
    candidate.notes.depmod = depmod.failures;
    Ok(())
}

/// Builds the candidate a second time, by the same command lines, and compares.
///
/// # Errors
/// When the second build fails; inside, what differs where it is not the same.
pub fn prove(
    exec: &Exec,
    workspace: &Workspace,
    first: &mut Candidate,
    wants: &mut Wants,
) -> Result<Result<Candidate, String>> {
    first.sync()?;
    let root = exec.root();
    let mut second = Candidate::new(root, &first.kernel);
    let kver = &first.kernel.kver;
    // dracut writes its arguments into the image: the second file must have the first one's name.
    first.path = format!("{}-first", candidate_path(kver));
    root.rename(&second.path, &first.path)?;
    make(exec, workspace, &mut second, wants)
        .with_context(|| format!("generating the initramfs for {kver} a second time"))?;
    // It was not asked any more for what the first one refused.
    let refused = [&first.notes.refused[..], &second.notes.refused];
    second.notes.refused = refused.concat();
    let names = ("the first build", "the second build");
    Ok(match difference(root, &first.path, &second.path, names)? {
        None => Ok(second),
        Some(what) => Err(what),
    })
}

/// Facts from depmod's lines.
#[derive(Default)]
struct DepmodLog {
    /// Modules that cannot be loaded.
    lacking: AllLacking,
    /// The first different lines about files that it cannot read.
    failures: Vec<String>,
}

/// The work before dracut runs.
fn prepare(exec: &Exec, workspace: &Workspace, kver: &Kver) -> Result<DepmodLog> {
    let root = exec.root();
    workspace.remove_tmp()?;
    for (name, _) in root.list(kver.dir())? {
        // A depmod that was killed left it.
        if depmod::is_temporary(&name.to_string_lossy()) {
            root.remove_file(format!("{}/{}", kver.dir(), name.to_string_lossy()))?;
        }
    }
    root.remove_file(candidate_path(kver))?;
    run_depmod(exec, kver)
}

/// One dracut run into the candidate's place. Returns what its log says of it.
fn build(exec: &Exec, workspace: &Workspace, kver: &Kver, wants: &mut Wants) -> Result<Notes> {
    let root = exec.root();
    let path = candidate_path(kver);
    workspace.tmp()?;
    let quiet = hold::quieten(root)?;
    let notes = run_dracut(exec, kver, wants)?;
    drop(quiet);
    workspace.remove_tmp()?;
    match root.lstat(&path)? {
        Some(meta) if meta.kind == root::Kind::File && meta.size > 0 => {
            root.set_mode(&path, 0o600)?;
            append_random(root, &path, meta.size)?;
            Ok(notes)
        }
        Some(_) => bail!(
            "dracut exited with status 0, and its file is empty. Run again with -v to read its log{}",
            exec.last_lines()
        ),
        None => bail!(
            "dracut exited with status 0, and made no file. Run again with -v to read its log{}",
            exec.last_lines()
        ),
    }
}

fn run_depmod(exec: &Exec, kver: &Kver) -> Result<DepmodLog> {
    let with_map = depmod::has_map(exec.root(), kver)?;
    let mut log = DepmodLog::default();
    exec.run(&depmod::all(kver, with_map), &mut |line| {
        if let Some((module, symbol)) = depmod::unknown_symbol(line) {
            log.lacking.push(Lacking {
                module: module.to_owned(),
                symbol: symbol.to_owned(),
            });
        } else if depmod::is_failure(line)
            && log.failures.len() < FAILURES_KEPT
            && !log.failures.iter().any(|known| known == line)
        {
            log.failures.push(line.to_owned());
        }
    })?;
    Ok(log)
}

/// dracut, again where it cannot add a module of the base.
fn run_dracut(exec: &Exec, kver: &Kver, wants: &mut Wants) -> Result<Notes> {
    let program = cliwrap::real(exec.root(), "dracut")?;
    let mut notes = Notes::default();
    loop {
        let mut heard = Heard::default();
        let mut progress = dracut::Progress::default();
        let mut listen = |line: &str| {
            if let Some(doing) = progress.read(line) {
                console::doing(&doing);
            }
            heard.listen(line);
        };
        let ran = exec.run(&wants.dracut(&program, kver), &mut listen);
        heard.explain(exec.root(), &wants.had)?;
        let had = wants.inherited.len();
        wants
            .inherited
            .retain(|module| Some(module) != heard.refused.as_ref());
        match heard.refused.take() {
            Some(module) if ran.is_err() && wants.inherited.len() < had => {
                tracing::info!("dracut starts again without its module {module}");
                notes.refused.push(module);
            }
            _ => {
                ran.map_err(|error| advise(error, heard.advice()))?;
                heard.judge(kver)?;
                notes.compression = heard.compression;
                notes.has_fips = progress.has_fips;
                notes.absent = heard.absent;
                return Ok(notes);
            }
        }
    }
}

/// The small segment with /dev/random and /dev/urandom, as rpm-ostree appends it: FIPS libraries
/// need them before devtmpfs is there, and dracut in a container cannot make them.
fn append_random(root: &Root, path: &str, size: u64) -> Result<()> {
    let mut file = root.append_to(path)?;
    file.write_all(&initramfs::random_tail(size))
        .with_context(|| format!("appending to /{path}"))
}
