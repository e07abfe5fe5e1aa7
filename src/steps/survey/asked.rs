// SPDX-License-Identifier: MIT OR Apache-2.0
//! Refuses requests that the tree cannot fulfil. Otherwise the run would fail only after the packages are replaced.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Permission;
use crate::kernel::kver::Kver;
use crate::kernel::modules::{ModuleList, ModuleName};
use crate::plan::{Host, Refusal, Source};
use crate::steps::sign::Signing;
use crate::sys::exec::{Cmd, Exec};
use crate::sys::root::Root;
use crate::tools::cliwrap;
use crate::tools::dracut::{self, ArgumentNames};

/// Upper bound of `modules.builtin` (bytes).
const LIST_MAX: u64 = 8 << 20;

/// Refuses the compressor in dracut's arguments `args` if it is not in the image. If programs may be started, also
/// refuses a compressor whose options make it fail on empty input.
///
/// # Errors
/// A [`Refusal`], or an error from starting the program.
pub fn compressor(exec: &Exec, permission: Permission, args: &[String]) -> Result<()> {
    let Some(command) = ArgumentNames::of(args).compressor else {
        return Ok(());
    };
    let refusal = |why: String| {
        let there = dracut::COMPRESSORS.iter().filter(|name| exec.has(name));
        Refusal::NoCompressor {
            command: command.clone(),
            why,
            there: there.map(|name| (*name).to_owned()).collect(),
        }
    };
    let mut words = command.split_whitespace();
    let Some(name) = words.next() else {
        return Err(refusal("it names no program".to_owned()).into());
    };
    let Some(program) = dracut::programs_of(name)
        .into_iter()
        .find(|it| exec.has(it))
    else {
        return Err(refusal(format!("there is no program {name} in the image")).into());
    };
    let options: Vec<_> = words.collect();
    if permission == Permission::ReadFiles || options.is_empty() {
        return Ok(());
    }
    let (_, failed) = exec.query_any_status(&Cmd::new(program).args(options))?;
    match failed {
        Some(failed) => Err(refusal(failed.to_string()).into()),
        None => Ok(()),
    }
}

/// Refuses programs that are not in the image.
///
/// # Errors
/// A [`Refusal`].
pub fn programs(exec: &Exec, cmds: &[Cmd]) -> Result<(), Refusal> {
    let is_there = |program: &str| {
        if program.starts_with('/') {
            exec.root().is_file(program).unwrap_or(true)
        } else {
            exec.has(program)
        }
    };
    match cmds.iter().find(|cmd| !is_there(cmd.program())) {
        None => Ok(()),
        Some(cmd) => Err(Refusal::NoProgram(cmd.program().to_owned())),
    }
}

/// Refuses to sign `vmlinuz` if no program for signing is found.
///
/// # Errors
/// A [`Refusal`].
pub fn signer(root: &Root, signing: &Signing, kver: &Kver) -> Result<(), Refusal> {
    let command = signing.command(root, kver);
    command.map_err(|error| Refusal::NoSigner(error.to_string()))?;
    Ok(())
}

/// Refuses dracut modules and drivers that neither the tree nor the packages in `sources` have, files that the tree
/// lacks, and arguments that dracut does not accept. `args` are the arguments for dracut, `drivers` the required
/// drivers. Drivers are checked only if `drivers_known` returns a list.
///
/// # Errors
/// A [`Refusal`], or an error if a file or directory cannot be read.
pub fn names(
    exec: &Exec,
    host: &Host,
    kver: &Kver,
    sources: &[Source],
    args: &[String],
    drivers: &[String],
) -> Result<()> {
    let root = exec.root();
    let asked = ArgumentNames::of(args);
    if let Some(option) = asked.other_output {
        return Err(Refusal::DracutOption(option).into());
    }
    let script = exec.find(&cliwrap::real(root, "dracut")?);
    let options = script.map(|script| dracut::known_options(root, &script));
    if let Some(options) = options.transpose()?.flatten() {
        let checked = options.check(args);
        checked.map_err(|why| Refusal::DracutArgument(why.to_string()))?;
    }
    let mut modules = dracut::modules(root)?;
    let dirs = sources.iter().flat_map(|it| &it.package.dirs);
    modules.extend(dirs.filter_map(|dir| {
        let name = dir.strip_prefix(dracut::MODULES_D).ok()?.to_str()?;
        Some(name.get(2..)?.to_owned())
    }));
    if let Some(missing) = missing(&asked.modules, |name| modules.contains(name)) {
        return Err(Refusal::NoDracutModule(missing).into());
    }
    for file in &asked.files {
        if root.lstat(file)?.is_none() {
            return Err(Refusal::NotThere(file.clone()).into());
        }
    }
    let all: Vec<_> = drivers.iter().chain(&asked.drivers).cloned().collect();
    let Some(known) = drivers_known(root, host, sources)? else {
        return Ok(());
    };
    let is_known =
        |name: &str| ModuleName::new(name.as_bytes()).is_none_or(|it| known.contains(&it));
    match missing(&all, is_known) {
        Some(names) => Err(Refusal::NoDriver {
            names,
            kver: kver.clone(),
        }
        .into()),
        None => Ok(()),
    }
}

fn missing(names: &[String], is_there: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let missing: BTreeSet<_> = names.iter().filter(|name| !is_there(name)).collect();
    (!missing.is_empty()).then(|| missing.into_iter().cloned().collect())
}

/// Returns the drivers of the installed kernel, including built-in ones, and the drivers in the packages `sources`.
/// `None` unless there is exactly one kernel, with a list of its built-in drivers.
fn drivers_known(
    root: &Root,
    host: &Host,
    sources: &[Source],
) -> Result<Option<BTreeSet<ModuleName>>> {
    let Ok(kver) = host.kernel() else {
        return Ok(None);
    };
    let path = format!("{}/modules.builtin", kver.dir());
    let list = root.read(path, LIST_MAX)?;
    let Some(builtin) = list.and_then(|list| ModuleList::parse_builtin(&list).ok()) else {
        return Ok(None);
    };
    let built_in = builtin
        .paths()
        .iter()
        .filter_map(|path| ModuleName::of_path(path));
    let brought = sources.iter().flat_map(|it| &it.package.modules);
    let brought = brought.map(|(_, name)| name.clone());
    let known = host.modules.iter().cloned().chain(built_in).chain(brought);
    Ok(Some(known.collect()))
}
