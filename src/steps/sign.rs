// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signs `vmlinuz` and modules after the transaction and before depmod and dracut, so that the initramfs holds the
//! signed modules. Files that already have a valid signature by the requested certificate are not changed.

mod modules;
mod program;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

pub use modules::Which;
pub use program::{NoSigner, find};

use self::modules::Counted;
use self::program::Signer;
use super::verify::Trusted;
use crate::kernel::kver::Kver;
use crate::report::{SignedKernel, SignedModules, SigningReport};
use crate::signing::{Certificate, SigningKey, VmlinuzSigner};
use crate::site::hmac_file;
use crate::site::vmlinuz::{VMLINUZ_MAX, signer as vmlinuz_signer};
use crate::site::workspace::Workspace;
use crate::sys::console;
use crate::sys::exec::{Cmd, Exec, advise};
use crate::sys::root::Root;

/// The keys and certificates to sign with.
#[derive(Default)]
pub struct Signing {
    /// The key and the certificate for `vmlinuz`; `None` if it is not to be signed.
    pub kernel: Option<KernelSigning>,
    /// The key and the certificate for modules; `None` if they are not to be signed.
    pub modules: Option<ModuleSigning>,
    /// The root whose program signs `vmlinuz`; `None` for the tree.
    pub tool_root: Option<PathBuf>,
}

/// The key and the certificate for `vmlinuz`. The signing program reads both from their files.
pub struct KernelSigning {
    /// The file of the private key: its absolute path in the file system in which the program runs.
    pub key: PathBuf,
    /// The file of the certificate: its absolute path in the same file system.
    pub certificate_file: PathBuf,
    /// The certificate.
    pub certificate: Certificate,
}

/// The key and the certificate for modules. ostree-kernel signs modules itself, without a signing program.
pub struct ModuleSigning {
    /// The private key.
    pub key: SigningKey,
    /// Its certificate.
    pub certificate: Certificate,
    /// The modules to sign.
    pub which: Which,
}

impl Signing {
    /// Returns whether nothing is to be signed.
    pub fn is_empty(&self) -> bool {
        self.kernel.is_none() && self.modules.is_none()
    }

    /// Returns the certificates that the finished tree is verified with.
    pub fn trusted(&self) -> Trusted {
        let kernel = self.kernel.iter().map(|it| it.certificate.clone());
        let modules = self.modules.iter().map(|it| it.certificate.clone());
        Trusted {
            kernel: kernel.collect(),
            modules: modules.collect(),
        }
    }

    /// Returns the report of a run with these keys, with all counts 0 and without the name of the signing program, for
    /// the comparison with the report of an earlier run.
    pub fn expected(&self) -> SigningReport {
        SigningReport {
            kernel: self.kernel.as_ref().map(|it| it.report(None)),
            modules: self
                .modules
                .as_ref()
                .map(|it| it.report(&Counted::default())),
        }
    }

    /// Returns the command line that signs `vmlinuz`; `None` if it is not to be signed.
    ///
    /// # Errors
    /// When no signing program is found.
    pub fn command(&self, root: &Root, kver: &Kver) -> Result<Option<Cmd>, NoSigner> {
        let Some(kernel) = &self.kernel else {
            return Ok(None);
        };
        let signer = find(root, self.tool_root.as_deref())?;
        Ok(Some(signer.command(kernel, root, kver)))
    }
}

impl KernelSigning {
    fn report(&self, program: Option<String>) -> SignedKernel {
        SignedKernel {
            certificate: self.certificate.to_string(),
            certificate_sha256: self.certificate.fingerprint().to_owned(),
            program,
        }
    }
}

impl ModuleSigning {
    fn report(&self, counted: &Counted) -> SignedModules {
        SignedModules {
            certificate: self.certificate.to_string(),
            certificate_sha256: self.certificate.fingerprint().to_owned(),
            which: self.which.as_str(),
            signed: counted.signed,
            unchanged: counted.unchanged,
        }
    }
}

/// Signs `vmlinuz` and modules as requested. `None` if nothing is to be signed.
///
/// # Errors
/// When no signing program is found, or a file cannot be read, signed or written.
pub fn sign(
    exec: &Exec,
    workspace: &Workspace,
    kver: &Kver,
    signing: &Signing,
) -> Result<Option<SigningReport>> {
    if signing.is_empty() {
        return Ok(None);
    }
    let mut report = SigningReport::default();
    if let Some(kernel) = &signing.kernel {
        let signer = find(exec.root(), signing.tool_root.as_deref())?;
        let signed = self::kernel(exec, workspace, kver, kernel, &signer)
            .with_context(|| format!("signing vmlinuz of {kver}"))?;
        report.kernel = Some(signed);
    }
    if let Some(modules) = &signing.modules {
        let counted = modules::sign(exec.root(), kver, modules)
            .with_context(|| format!("signing the modules of {kver}"))?;
        report.modules = Some(modules.report(&counted));
    }
    Ok(Some(report))
}

fn kernel(
    exec: &Exec,
    workspace: &Workspace,
    kver: &Kver,
    asked: &KernelSigning,
    signer: &Signer,
) -> Result<SignedKernel> {
    let root = exec.root();
    let trusted = std::slice::from_ref(&asked.certificate);
    let is_signed = || match vmlinuz_signer(root, &format!("{}/vmlinuz", kver.dir()), trusted) {
        Ok(signer) => Ok(signer == VmlinuzSigner::Trusted),
        Err(why) => bail!("{why}"),
    };
    if is_signed()? {
        return Ok(asked.report(None));
    }
    let tmp = workspace.tmp()?;
    let host;
    let runner = if signer.is_on_host() && !root.is_host() {
        host = Exec::new(&Root::open("/".as_ref())?);
        &host
    } else {
        exec
    };
    let cmd = signer.command(asked, root, kver);
    runner
        .run(&cmd, &mut console::activity)
        .map_err(|error| advise(error, "The packages are replaced, and vmlinuz is not signed: correct the cause, then build the layer again"))?;
    if !std::ptr::eq(runner, exec) {
        exec.record(cmd.to_string());
    }
    let signed = format!("{tmp}/{}", program::OUTPUT);
    match vmlinuz_signer(root, &signed, trusted) {
        Ok(VmlinuzSigner::Trusted) => {}
        Ok(VmlinuzSigner::None) => bail!(
            "{} exited with status 0, but its output has no signature",
            cmd.name()
        ),
        Ok(VmlinuzSigner::Others(why)) => bail!(
            "{} exited with status 0, but its output is not signed by the certificate of --sign-kernel-cert: {}",
            cmd.name(),
            why.join("; ")
        ),
        Err(why) => bail!("reading the output of {}: {why}", cmd.name()),
    }
    install(root, &signed, kver)?;
    workspace.remove_tmp()?;
    if let Some(line) = hmac_file::renew(root, kver, false)? {
        tracing::debug!("{line}");
    }
    Ok(asked.report(Some(signer.to_string())))
}

/// Replaces the content of `vmlinuz` with that of the signed file. The mode of `vmlinuz` stays the same.
fn install(root: &Root, signed: &str, kver: &Kver) -> Result<()> {
    let path = format!("{}/vmlinuz", kver.dir());
    let Some(mut file) = root.open_file(signed)? else {
        bail!("the signed vmlinuz does not exist any more");
    };
    root.replace(&mut file, &path, VMLINUZ_MAX)?;
    root.sync_file(&path)?;
    Ok(())
}
