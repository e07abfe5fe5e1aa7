// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a clean tree to a verified initramfs: that of the cache, or a new one.

use anyhow::{Result, bail};

use super::{Job, step};
use crate::checks::Severity;
use crate::report::{self, CacheReport};
use crate::steps::cache::{Cache, Key, Notes};
use crate::steps::clean::Clean;
use crate::steps::generate::{self, Candidate, Wants};
use crate::steps::verify::{Options, Verdict, Verified, verify};
use crate::steps::workspace::Workspace;
use crate::sys::exec::Exec;

/// What became of one attempt.
struct Built {
    /// A verified initramfs, or why it is not fit to boot.
    verified: Result<Verified, Verdict>,
    /// Whether dracut has not made it in this run.
    is_cached: bool,
    /// Its key, where there is a cache.
    key: Option<Key>,
    /// Whether the cache had it.
    hit: bool,
    notes: Notes,
    warnings: Vec<String>,
}

impl Job<'_> {
    /// A verified initramfs; inside, why it is not fit to boot. dracut builds it if that of the cache is not.
    pub(super) fn build(
        &mut self,
        exec: &Exec,
        workspace: &Workspace,
        clean: &Clean,
        wants: &Wants,
        options: &mut Options,
    ) -> Result<Result<Verified, Verdict>> {
        let caching = &self.ending.caching;
        let cache = match caching.cache_initramfs {
            true => Cache::open(exec.root(), &caching.cache_dir),
            false => None,
        };
        let cache = cache.as_ref();
        let mut built = self.attempt(exec, workspace, clean, wants, options, cache)?;
        if let (Err(verdict), true, Some(cache), Some(key)) =
            (&built.verified, built.is_cached, cache, &built.key)
        {
            tracing::warn!(
                "the initramfs from the cache is not fit to boot ({}), and goes from there; dracut builds it anew",
                fatal(verdict)
            );
            cache.forget(key);
            built = self.attempt(exec, workspace, clean, wants, options, Some(cache))?;
        }
        self.warnings.append(&mut built.warnings);
        if let (Some(cache), Some(key)) = (cache, &built.key) {
            self.cache = Some(CacheReport {
                key: key.as_str().to_owned(),
                hit: built.hit,
            });
            if let (Ok(verified), false) = (&built.verified, built.hit) {
                keep(exec, cache, key, verified, &built.notes)?;
            }
        }
        Ok(built.verified)
    }

    fn attempt(
        &self,
        exec: &Exec,
        workspace: &Workspace,
        clean: &Clean,
        wants: &Wants,
        options: &mut Options,
        cache: Option<&Cache>,
    ) -> Result<Built> {
        let mut wants = wants.clone();
        let generate = || generate::generate(exec, workspace, clean, &mut wants, cache);
        let mut candidate = step("generate", generate, how)?;
        let hit = candidate.is_cached;
        if self.ending.prove {
            let prove = || prove(exec, workspace, candidate, &mut wants, cache);
            candidate = step("prove", prove, |_| {
                "built again, and every byte is the same".to_owned()
            })?;
        }
        options.lacking.clone_from(&candidate.lacking);
        Ok(Built {
            is_cached: candidate.is_cached,
            key: candidate.key.clone(),
            hit,
            notes: candidate.notes.clone(),
            warnings: candidate.warnings(),
            verified: step(
                "verify",
                || verify(exec.root(), candidate, options),
                |verified| match verified {
                    Ok(_) => "nothing fatal".to_owned(),
                    Err(_) => "not fit to boot".to_owned(),
                },
            )?,
        })
    }
}

/// Where a candidate comes from.
fn how(candidate: &Candidate) -> String {
    match &candidate.key {
        None => "depmod, dracut".to_owned(),
        Some(key) if candidate.is_cached => {
            format!("depmod, and the initramfs from the cache, {}", key.short())
        }
        Some(key) => format!("depmod, dracut; the cache had no {}", key.short()),
    }
}

fn prove(
    exec: &Exec,
    workspace: &Workspace,
    mut first: Candidate,
    wants: &mut Wants,
    cache: Option<&Cache>,
) -> Result<Candidate> {
    let what = match generate::prove(exec, workspace, &mut first, wants)? {
        Ok(second) => return Ok(second),
        Err(what) => what,
    };
    let kver = &first.kernel.kver;
    if let (true, Some(cache), Some(key)) = (first.is_cached, cache, &first.key) {
        cache.forget(key);
        bail!(
            "the initramfs for {kver} from the cache is not what dracut makes now: it went from there, and nothing was committed. Look for what dracut takes from a place that the key does not cover, and for what makes a file or a date of its own:\n{what}"
        );
    }
    bail!(
        "two builds of the initramfs for {kver} are not the same, and nothing was committed. Look for what makes a file or a date of its own in dracut's modules and configuration:\n{what}"
    );
}

/// Keeps a new initramfs for the next build. Where that cannot be, this build is as good as without a cache.
fn keep(exec: &Exec, cache: &Cache, key: &Key, verified: &Verified, notes: &Notes) -> Result<()> {
    let sha256 = verified.verdict.initramfs_sha256.as_deref();
    let path = &verified.candidate.path;
    let keep = || Ok(cache.keep(key, exec.root(), path, sha256.unwrap_or_default(), notes));
    let kept = step("keep", keep, |kept| match kept {
        Ok(None) => format!("in the cache as {}", key.short()),
        Ok(Some(path)) => format!("not kept: it holds /{path}, which the key does not cover"),
        Err(_) => "not kept".to_owned(),
    })?;
    if let Err(error) = kept {
        tracing::warn!("the initramfs is not in the cache for the next build: {error:#}");
    }
    Ok(())
}

/// The checks with fatal findings.
fn fatal(verdict: &Verdict) -> String {
    let (_, findings, _) = report::checks(&verdict.answers);
    let findings = findings.into_iter();
    let mut names: Vec<_> = findings
        .filter(|finding| finding.severity == Severity::Fatal)
        .map(|finding| finding.check)
        .collect();
    names.dedup();
    match names.as_slice() {
        [] => "a fatal check could not look".to_owned(),
        names => names.join(", "),
    }
}
