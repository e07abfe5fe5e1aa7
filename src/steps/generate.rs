// SPDX-License-Identifier: MIT OR Apache-2.0
//! depmod, then the real dracut, once. Its exit status 0 is not believed: the log is read for the
//! lines that mean loss.

mod difference;
mod heard;

use std::collections::BTreeSet;
use std::io::Write;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};

use self::difference::difference;
use self::heard::Heard;
use super::clean::Clean;
use super::hold;
use super::locate::Kernel;
use super::workspace::Workspace;
use crate::checks::{Baseline, Lacking};
use crate::initramfs;
use crate::kernel::kver::Kver;
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec, advise};
use crate::sys::root::{self, Root};
use crate::tools::{cliwrap, depmod, dracut};

/// How many modules are named that lack a symbol.
const LACKING: usize = 20;

/// An initramfs beside its place, not yet in it. It vanishes unless it is committed.
pub struct Candidate {
    /// The kernel that it is for.
    pub kernel: Kernel,
    /// Where it lies, relative to the root.
    pub path: String,
    /// What the user should know of how it was made.
    pub warnings: Vec<String>,
    /// Modules that depmod says cannot be loaded.
    pub lacking: Vec<Lacking>,
    root: Root,
    /// Writing it to the disk goes on while it is verified.
    syncing: Option<JoinHandle<Result<(), root::Error>>>,
}

impl Candidate {
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
        })
    }

    /// The command lines. `program` is dracut's.
    /// `with_map`: as [`depmod::all`].
    pub fn commands(&self, program: &str, kver: &Kver, tmpdir: &str, with_map: bool) -> [Cmd; 2] {
        let dracut = self.dracut(program, kver, tmpdir);
        [depmod::all(kver, with_map), dracut]
    }

    fn dracut(&self, program: &str, kver: &Kver, tmpdir: &str) -> Cmd {
        dracut::build(&dracut::Options {
            program,
            kver,
            tmpdir,
            inherited: &self.inherited,
            extra: &self.extra,
            output: &format!("/{}", candidate_path(kver)),
        })
    }
}

/// Builds the initramfs. dracut does its work once; where it stops before that, since a module of
/// the base cannot be added any more, it starts again without that one, which goes from `wants`.
///
/// # Errors
/// When depmod or dracut fails, or dracut prints that something was lost, or made no file.
pub fn generate(
    exec: &Exec,
    workspace: &Workspace,
    clean: Clean,
    wants: &mut Wants,
) -> Result<Candidate> {
    let root = exec.root();
    let kver = clean.kernel.kver.clone();
    let mut candidate = Candidate {
        path: candidate_path(&kver),
        warnings: Vec::new(),
        lacking: Vec::new(),
        root: root.clone(),
        syncing: None,
        kernel: clean.kernel,
    };
    (candidate.warnings, candidate.lacking) = build(exec, workspace, &kver, wants)
        .with_context(|| format!("generating the initramfs for {kver}"))?;
    let (root, path) = (root.clone(), candidate.path.clone());
    candidate.syncing = Some(thread::spawn(move || root.sync_file(path)));
    Ok(candidate)
}

/// Builds the candidate a second time, by the same command lines, and compares.
///
/// # Errors
/// When the second build fails or is not the same; then it says what differs.
pub fn prove(
    exec: &Exec,
    workspace: &Workspace,
    mut first: Candidate,
    wants: &mut Wants,
) -> Result<Candidate> {
    first.sync()?;
    let root = exec.root();
    let kver = first.kernel.kver.clone();
    // dracut writes its arguments into the image: the second file must have the first one's name.
    let path = std::mem::replace(&mut first.path, format!("{}-first", candidate_path(&kver)));
    root.rename(&path, &first.path)?;
    let mut second = Candidate {
        path,
        warnings: Vec::new(),
        lacking: Vec::new(),
        root: root.clone(),
        syncing: None,
        kernel: first.kernel.clone(),
    };
    (second.warnings, second.lacking) = build(exec, workspace, &kver, wants)
        .with_context(|| format!("generating the initramfs for {kver} a second time"))?;
    match difference(root, &first.path, &second.path)? {
        None => Ok(second),
        Some(what) => bail!(
            "two builds of the initramfs for {kver} are not the same, and nothing was committed. Look for what makes a file or a date of its own in dracut's modules and configuration:\n{what}"
        ),
    }
}

/// One build into the candidate's place. Returns what the user should know of it, and the modules that
/// cannot be loaded.
fn build(
    exec: &Exec,
    workspace: &Workspace,
    kver: &Kver,
    wants: &mut Wants,
) -> Result<(Vec<String>, Vec<Lacking>)> {
    let root = exec.root();
    let path = candidate_path(kver);
    let tmpdir = format!("/{}", workspace.tmp()?);
    for (name, _) in root.list(kver.dir())? {
        // A depmod that was killed left it.
        if depmod::is_temporary(&name.to_string_lossy()) {
            root.remove_file(format!("{}/{}", kver.dir(), name.to_string_lossy()))?;
        }
    }
    let lacking = run_depmod(exec, kver)?;
    root.remove_file(&path)?;
    let quiet = hold::quieten(root)?;
    let heard = run_dracut(exec, kver, wants, &tmpdir)?;
    drop(quiet);
    workspace.remove_tmp()?;
    heard.judge(kver)?;
    let warnings = heard.warnings();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    match root.lstat(&path)? {
        Some(meta) if meta.kind == root::Kind::File && meta.size > 0 => {
            root.set_mode(&path, 0o600)?;
            append_random(root, &path, meta.size)?;
            Ok((warnings, lacking))
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

/// Returns the modules that cannot be loaded.
fn run_depmod(exec: &Exec, kver: &Kver) -> Result<Vec<Lacking>> {
    let with_map = depmod::has_map(exec.root(), kver)?;
    let mut lacking = Vec::new();
    exec.run(&depmod::all(kver, with_map), &mut |line| {
        if let Some((module, symbol)) = depmod::unknown_symbol(line)
            && lacking.len() < LACKING
        {
            lacking.push(Lacking {
                module: module.to_owned(),
                symbol: symbol.to_owned(),
            });
        }
    })?;
    Ok(lacking)
}

/// dracut, again where it cannot add a module of the base.
fn run_dracut(exec: &Exec, kver: &Kver, wants: &mut Wants, tmpdir: &str) -> Result<Heard> {
    let program = cliwrap::real(exec.root(), "dracut")?;
    loop {
        let mut heard = Heard::default();
        let mut progress = dracut::Progress::default();
        let mut listen = |line: &str| {
            if let Some(doing) = progress.read(line) {
                console::doing(&doing);
            }
            heard.listen(line);
        };
        let ran = exec.run(&wants.dracut(&program, kver, tmpdir), &mut listen);
        let had = wants.inherited.len();
        wants
            .inherited
            .retain(|module| Some(module) != heard.refused.as_ref());
        match &heard.refused {
            Some(module) if ran.is_err() && wants.inherited.len() < had => tracing::warn!(
                "the base's initramfs has dracut's module {module}, which cannot be added now; dracut starts again without it"
            ),
            _ => {
                ran.map_err(|error| advise(error, heard.advice()))?;
                return Ok(heard);
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
