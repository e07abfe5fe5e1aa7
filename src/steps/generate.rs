// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs depmod, then the real dracut, not cliwrap's wrapper. dracut's exit status 0 is not trusted: its log is searched
//! for lines that report missing parts.

mod before;
mod difference;
mod log;

use std::collections::BTreeSet;
use std::io::Write;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

pub use self::before::{programs, run_programs};
use self::difference::difference;
use self::log::DracutLog;
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

/// Maximum number of distinct lines that are kept of depmod's errors about unreadable files.
const FAILURES_KEPT: usize = 5;

/// An initramfs that is not installed yet. Its file is removed on drop, unless the commit has renamed it.
pub struct Candidate {
    /// The kernel that it is for.
    pub kernel: Kernel,
    /// The file, relative to the root.
    pub path: String,
    /// Facts from the logs of depmod and dracut.
    pub notes: Notes,
    /// Modules that cannot be loaded, according to depmod.
    pub lacking: AllLacking,
    /// The warning of [`hmac_file::renew`], if it rewrote `.vmlinuz.hmac`.
    pub renewed: Option<String>,
    root: Root,
    /// The thread that syncs the file to disk during the verification.
    syncing: Option<JoinHandle<Result<(), root::Error>>>,
}

impl Candidate {
    /// Returns a candidate before its file is written.
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

    /// Returns warnings about the build.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = log::warnings(&self.notes);
        warnings.extend(self.renewed.clone());
        warnings
    }

    /// Starts to write the file to the disk, on a separate thread.
    fn start_sync(&mut self) {
        let (root, path) = (self.root.clone(), self.path.clone());
        self.syncing = Some(thread::spawn(move || root.sync_file(path)));
    }

    /// Waits for the thread that syncs the file to disk; returns at once if none was started.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn sync(&mut self) -> Result<()> {
        match self.syncing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(synced)) => Ok(synced?),
            Some(Err(_)) => bail!("the thread that syncs the initramfs has panicked"),
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

/// Returns the path of a kernel's candidate until it is committed.
fn candidate_path(kver: &Kver) -> String {
    format!("{}/.initramfs.img.ostree-kernel", kver.dir())
}

/// The request to dracut.
#[derive(Debug, Clone, Default)]
pub struct Wants {
    /// The dracut modules that are added because the base's initramfs has them.
    pub inherited: Vec<String>,
    /// The user's arguments.
    pub extra: Vec<String>,
    /// Drivers that the base's initramfs has or that the base's kernel has built in.
    had: BTreeSet<ModuleName>,
}

impl Wants {
    /// Returns a request with the user's arguments `extra` and with the dracut modules of `base` that are on disk and
    /// that neither the configuration nor `extra` omits. `ostree` is left out, since the command line always adds it.
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

    /// Returns the command lines of depmod and dracut. `program` is the path of dracut. `with_map` is whether depmod
    /// uses the kernel's `System.map`.
    pub fn commands(&self, program: &str, kver: &Kver, with_map: bool) -> [Cmd; 2] {
        let dracut = self.dracut(program, kver);
        [depmod::all(kver, with_map), dracut]
    }

    fn dracut(&self, program: &str, kver: &Kver) -> Cmd {
        dracut::build(&dracut::DracutRequest {
            program,
            kver,
            tmpdir: &format!("/{TMP}"),
            inherited: &self.inherited,
            extra: &self.extra,
            output: &format!("/{}", candidate_path(kver)),
        })
    }
}

/// Runs depmod, and builds the initramfs with one run of dracut. If dracut stops early because it cannot add a dracut
/// module of the base, dracut is run again without that module, which is removed from `wants`.
///
/// # Errors
/// When depmod or dracut fails, dracut reports a loss or writes no file, or `.vmlinuz.hmac` cannot be rewritten.
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
    candidate.start_sync();
    Ok(candidate)
}

/// Runs depmod and dracut, and records facts from their logs.
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
            tracing::warn!("{}", log::of_depmod(line));
        }
    })?;
    candidate.notes.depmod = depmod.failures;
    Ok(())
}

/// Builds the candidate a second time with the same command lines. Returns the second candidate if the two files are
/// identical.
///
/// # Errors
/// When the first file cannot be synced, the second build fails, or one of the two files cannot be read. The inner
/// `Err` describes the differences.
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
    // dracut writes its arguments into the image, so both builds must write to the same path.
    first.path = format!("{}-first", candidate_path(kver));
    root.rename(&second.path, &first.path)?;
    make(exec, workspace, &mut second, wants)
        .with_context(|| format!("generating the initramfs for {kver} a second time"))?;
    // The second build did not request the modules that the first build could not add.
    let refused = [&first.notes.refused[..], &second.notes.refused];
    second.notes.refused = refused.concat();
    second.renewed = first.renewed.take();
    second.start_sync();
    let names = ("the first build", "the second build");
    Ok(match difference(root, &first.path, &second.path, names)? {
        None => Ok(second),
        Some(what) => Err(what),
    })
}

/// Facts from depmod's log.
#[derive(Default)]
struct DepmodLog {
    /// Modules that cannot be loaded.
    lacking: AllLacking,
    /// The first distinct errors about unreadable files.
    failures: Vec<String>,
}

/// Removes files that a killed run of depmod or dracut left, then runs depmod.
fn prepare(exec: &Exec, workspace: &Workspace, kver: &Kver) -> Result<DepmodLog> {
    let root = exec.root();
    workspace.remove_tmp()?;
    for (name, _) in root.list(kver.dir())? {
        if depmod::is_temporary(&name.to_string_lossy()) {
            root.remove_file(format!("{}/{}", kver.dir(), name.to_string_lossy()))?;
        }
    }
    root.remove_file(candidate_path(kver))?;
    run_depmod(exec, kver)
}

/// Runs dracut, then appends /dev/random and /dev/urandom to the initramfs. Returns facts from dracut's log.
fn build(exec: &Exec, workspace: &Workspace, kver: &Kver, wants: &mut Wants) -> Result<Notes> {
    let root = exec.root();
    let path = candidate_path(kver);
    workspace.tmp()?;
    let quiet = hold::quiet_dracut(root)?;
    let notes = run_dracut(exec, kver, wants)?;
    drop(quiet);
    workspace.remove_tmp()?;
    match root.lstat(&path)? {
        Some(meta) if meta.kind == root::FileType::File && meta.size > 0 => {
            root.set_mode(&path, 0o600)?;
            append_random(root, &path, meta.size)?;
            Ok(notes)
        }
        Some(_) => bail!(
            "dracut exited with status 0, but its output file is empty. Run again with -v to read its log{}",
            exec.last_lines()
        ),
        None => bail!(
            "dracut exited with status 0, but wrote no file. Run again with -v to read its log{}",
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

/// Runs dracut. If dracut stops because it cannot add a dracut module of the base, removes that module from `wants` and
/// runs dracut again.
fn run_dracut(exec: &Exec, kver: &Kver, wants: &mut Wants) -> Result<Notes> {
    let program = cliwrap::real(exec.root(), "dracut")?;
    let mut notes = Notes::default();
    loop {
        let mut log = DracutLog::default();
        let mut progress = dracut::Progress::default();
        let mut listen = |line: &str| {
            if let Some(activity) = progress.read(line) {
                console::activity(&activity);
            }
            log.read(line);
        };
        let ran = exec.run(&wants.dracut(&program, kver), &mut listen);
        log.explain(exec.root(), &wants.had)?;
        let had = wants.inherited.len();
        wants
            .inherited
            .retain(|module| Some(module) != log.refused.as_ref());
        match log.refused.take() {
            Some(module) if ran.is_err() && wants.inherited.len() < had => {
                tracing::info!("dracut starts again without its module {module}");
                notes.refused.push(module);
            }
            _ => {
                ran.map_err(|error| advise(error, log.advice()))?;
                log.judge(kver)?;
                notes.compression = log.compression;
                notes.has_fips = progress.has_fips;
                notes.absent = log.absent;
                return Ok(notes);
            }
        }
    }
}

/// Appends a segment with /dev/random and /dev/urandom, as rpm-ostree does (`rust/src/initramfs.rs`). FIPS libraries
/// need them before devtmpfs is mounted, and dracut cannot create devices in a container.
fn append_random(root: &Root, path: &str, size: u64) -> Result<()> {
    let mut file = root.append_to(path)?;
    file.write_all(&initramfs::random_tail(size))
        .with_context(|| format!("appending to /{path}"))
}
