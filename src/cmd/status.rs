// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ostree-kernel status`: prints what the survey finds in a tree or an image, and the deployments of a running system.

mod deployments;

use std::ffi::OsString;

use anyhow::{Context, Result};

use self::deployments::Deployments;
use super::page::{self, Global, OutputFormat};
use super::reading::Reading;
use crate::kernel::MODULES;
use crate::plan::{Host, ModuleDir};
use crate::report::documents::{CliwrapStatus, KernelStatus, Status};
use crate::report::{Labels, Outcome, SchemaVersion};
use crate::site::kernels;
use crate::steps::survey::{self, Permission};
use crate::sys::exec::Exec;
use crate::sys::root::Root;

/// Shows the kernels, initramfs, backend, cliwrap state, kernel-install layout
/// and leftovers of the tree. Changes nothing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image to show, with its transport, for example oci-archive:FILE [default: the
    /// tree]
    #[arg(value_name = "IMAGE")]
    pub image: Option<OsString>,
    /// How to read images.
    #[command(flatten)]
    pub reading: Reading,
}

/// Runs the command.
///
/// # Errors
/// When the tree or the image cannot be read, or the result cannot be printed.
pub fn run(args: &Args, global: &Global) -> Result<Outcome> {
    let root = match &args.image {
        Some(image) => args.reading.open(image)?.root,
        None => Root::open(&global.root)?,
    };
    let host = survey::survey(&Exec::new(&root), Permission::ReadFiles)?;
    let deployments = Deployments::read(&root)?;
    let text = match global.format {
        OutputFormat::Human => human(&root, &host, deployments.as_ref())?,
        OutputFormat::Json => json(&root, &host, deployments.as_ref())?,
    };
    page::print(&text).context("printing the result")?;
    Ok(Outcome::Passed)
}

fn initramfs_size(root: &Root, kver: &str) -> Result<Option<u64>> {
    let meta = root.stat(format!("{MODULES}/{kver}/initramfs.img"))?;
    Ok(meta.map(|meta| meta.size))
}

fn human(root: &Root, host: &Host, deployments: Option<&Deployments>) -> Result<String> {
    let mut backends: Vec<_> = host.backends.iter().map(ToString::to_string).collect();
    if backends.is_empty() {
        backends.push("none".to_owned());
    }
    let or = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
    let has_kernel = host.kernels().next().is_some();
    let not_a_root = if has_kernel {
        None
    } else {
        kernels::not_a_root(root)?
    };
    let kind = not_a_root.unwrap_or_else(|| host.kind.to_string());
    let mut lines = vec![
        ("tree", kind),
        ("backend", backends.join(", ")),
        ("cliwrap", or(host.cliwrap.is_on(), "on", "off").to_owned()),
        (
            "layout",
            or(host.layout_ostree, "ostree", "other").to_owned(),
        ),
    ];
    if let Some(version) = host.rpm_ostree {
        lines.push(("rpm-ostree", version.to_string()));
    }
    if let Some(rpmdb) = &host.foreign_rpmdb {
        lines.push(("rpmdb", format!("{rpmdb}, which is not read here")));
    }
    if !has_kernel {
        lines.push(("kernel", format!("none: {}", kernels::NO_KERNEL)));
    }
    for dir in kernel_dirs(root, host)? {
        let what = match (dir.has_vmlinuz, initramfs_size(root, &dir.name)?) {
            (true, Some(size)) => format!("initramfs {:.1} MiB", size as f64 / f64::from(1 << 20)),
            (true, None) => "no initramfs".to_owned(),
            (false, _) => "no vmlinuz".to_owned(),
        };
        lines.push(("kernel", format!("{} ({what})", dir.name)));
    }
    lines.extend(
        host.packages
            .iter()
            .map(|package| ("package", package.nevra.to_string())),
    );
    lines.extend(host.ukis.iter().map(|path| ("uki", format!("/{path}"))));
    lines.extend(
        host.leftovers
            .iter()
            .map(|path| ("leftover", format!("/{path}"))),
    );
    let lost = host.cliwrap.lost.iter();
    lines.extend(lost.map(|path| ("lost", format!("/{path}, a wrapper without its program"))));
    lines.extend(
        host.missing_programs
            .iter()
            .map(|name| ("missing", (*name).to_owned())),
    );
    let odd = &host.oddities;
    let odd = odd
        .no_directories
        .iter()
        .chain(&odd.dracut)
        .chain(&odd.plugins);
    lines.extend(odd.map(|(path, what)| ("odd", format!("/{path}, {what}"))));
    lines.extend(deployments.into_iter().flat_map(Deployments::lines));
    let line = |(name, value): &(&str, String)| format!("{name:<10} {value}\n");
    Ok(lines.iter().map(line).collect())
}

/// Returns the directories in `usr/lib/modules` that belong to a kernel. The directory `keys`, for example, does not.
fn kernel_dirs<'h>(root: &Root, host: &'h Host) -> Result<Vec<&'h ModuleDir>> {
    let mut dirs = Vec::new();
    for dir in &host.module_dirs {
        if dir.has_vmlinuz || kernels::is_of_a_kernel(root, &format!("{MODULES}/{}", dir.name))? {
            dirs.push(dir);
        }
    }
    Ok(dirs)
}

fn json(root: &Root, host: &Host, deployments: Option<&Deployments>) -> Result<String> {
    let mut dirs = Vec::new();
    for dir in kernel_dirs(root, host)? {
        dirs.push(KernelStatus {
            kver: &dir.name,
            vmlinuz: dir.has_vmlinuz,
            initramfs_size: initramfs_size(root, &dir.name)?,
        });
    }
    let wrapped = host.cliwrap.wrapped.iter();
    let kver = host.kernel().ok();
    let status = Status {
        schema: SchemaVersion,
        kind: host.kind,
        lacks: kernels::lacks(root)?,
        backends: &host.backends,
        rpm_ostree: host.rpm_ostree.map(|version| version.to_string()),
        cliwrap: CliwrapStatus {
            wrapped: wrapped.map(|(wrapper, _)| wrapper.as_str()).collect(),
            created: &host.cliwrap.created,
            lost: &host.cliwrap.lost,
        },
        layout_ostree: host.layout_ostree,
        foreign_rpmdb: host.foreign_rpmdb.as_deref(),
        kernels: dirs,
        packages: host.packages.iter().map(|it| &it.nevra).collect(),
        ukis: &host.ukis,
        leftovers: &host.leftovers,
        missing_programs: &host.missing_programs,
        labels: Labels {
            ostree_linux: kver.map(|it| it.to_string()),
        },
        deployments: deployments.map(Deployments::status),
    };
    page::json(&status)
}
