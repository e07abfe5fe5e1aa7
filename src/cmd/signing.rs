// SPDX-License-Identifier: MIT OR Apache-2.0
//! The options for signing, and the options that name trusted certificates.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fs_err::os::unix::fs::OpenOptionsExt;

use crate::signing::{Certificate, SigningKey};
use crate::steps::sign::{KernelSigning, ModuleSigning, Signing, Which};
use crate::steps::verify::Trusted;

/// Maximum size of a file with keys or certificates (bytes).
const FILE_MAX: u64 = 1 << 20;

/// Options that sign the kernel and its modules before the initramfs is built.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Signing")]
pub struct SigningOptions {
    /// Sign vmlinuz with this private key (RSA, PEM, without a passphrase; use a
    /// build secret). sbsign or systemd-sbsign of the image reads the file
    #[arg(long, value_name = "FILE", requires = "sign_kernel_cert")]
    pub sign_kernel_key: Option<PathBuf>,
    /// Certificate of the key in --sign-kernel-key (PEM)
    #[arg(long, value_name = "FILE", requires = "sign_kernel_key")]
    pub sign_kernel_cert: Option<PathBuf>,
    /// Run the sbsign or systemd-sbsign in the root directory DIR, not that in the image
    #[arg(long, value_name = "DIR", requires = "sign_kernel_key")]
    pub tool_root: Option<PathBuf>,
    /// Sign modules with this private key (RSA, PEM, without a passphrase; use a
    /// build secret)
    #[arg(long, value_name = "FILE", requires = "sign_modules_cert")]
    pub sign_modules_key: Option<PathBuf>,
    /// Certificate of the key in --sign-modules-key (PEM or DER)
    #[arg(long, value_name = "FILE", requires = "sign_modules_key")]
    pub sign_modules_cert: Option<PathBuf>,
    /// Modules to sign
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        requires = "sign_modules_key",
        default_value = "out-of-tree"
    )]
    pub sign_modules: Which,
}

impl SigningOptions {
    /// Reads the keys and certificates.
    ///
    /// # Errors
    /// A usage error about a file that cannot be read or used, that does not belong to the other file of its pair, or
    /// that is outside the root directory in which the signing program runs.
    pub fn read(&self, root: &Path) -> Result<Signing, String> {
        let kernel = self.sign_kernel_key.as_deref();
        let kernel = kernel.zip(self.sign_kernel_cert.as_deref());
        let kernel = kernel.map(|files| self.kernel(files, root)).transpose()?;
        let modules = self.sign_modules_key.as_deref();
        let modules = modules.zip(self.sign_modules_cert.as_deref());
        let modules = modules.map(|(key_file, certificate_file)| {
            let options = ["--sign-modules-key", "--sign-modules-cert"];
            let (key, certificate) = pair(options, key_file, certificate_file)?;
            Ok::<_, String>(ModuleSigning {
                key,
                certificate,
                which: self.sign_modules,
            })
        });
        Ok(Signing {
            kernel,
            modules: modules.transpose()?,
            tool_root: self.tool_root.clone(),
        })
    }

    fn kernel(&self, files: (&Path, &Path), root: &Path) -> Result<KernelSigning, String> {
        let options = ["--sign-kernel-key", "--sign-kernel-cert"];
        let (key_file, certificate_file) = files;
        let (_, certificate) = pair(options, key_file, certificate_file)?;
        let read = |file| read(options[1], file);
        if !read(certificate_file)?.starts_with(b"-----BEGIN") {
            let file = certificate_file.display();
            return Err(format!(
                "--sign-kernel-cert {file}: found a certificate in DER, and sbsign reads PEM only. Convert it with:\n\n  openssl x509 -inform DER -in {file} -out FILE.pem"
            ));
        }
        let in_tree = |file: &Path| {
            let full = fs_err::canonicalize(file).map_err(|error| error.to_string())?;
            if root == Path::new("/") || self.tool_root.is_some() {
                return Ok(full);
            }
            let root = fs_err::canonicalize(root).map_err(|error| error.to_string())?;
            match full.strip_prefix(&root) {
                Ok(below) => Ok(Path::new("/").join(below)),
                Err(_) => Err(format!(
                    "the sbsign of {} cannot read {}, which is outside that directory. To use the sbsign of this system, add --tool-root /",
                    root.display(),
                    file.display()
                )),
            }
        };
        Ok(KernelSigning {
            key: in_tree(key_file)?,
            certificate_file: in_tree(certificate_file)?,
            certificate,
        })
    }
}

/// Options of `verify` that name trusted certificates.
#[derive(Debug, Default, clap::Args)]
pub struct TrustedOptions {
    /// Require a signature of vmlinuz by this certificate (PEM or DER); may be
    /// repeated
    #[arg(long, value_name = "FILE")]
    pub sbcert: Vec<PathBuf>,
    /// Require that signed modules are signed by the kernel's own key or by this
    /// certificate; may be repeated
    #[arg(long, value_name = "FILE")]
    pub module_cert: Vec<PathBuf>,
}

impl TrustedOptions {
    /// Returns the given options, each with the name of the check that it affects.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let all = [
            ("--sbcert", &self.sbcert, "kernel-signer"),
            ("--module-cert", &self.module_cert, "module-signers"),
        ];
        let given = all.into_iter().filter(|(_, files, _)| !files.is_empty());
        given.map(|(option, _, check)| (option, check))
    }

    /// Reads the certificates.
    ///
    /// # Errors
    /// A usage error about a file that cannot be read, or contains no valid certificates.
    pub fn read(&self) -> Result<Trusted, String> {
        let all = |option, files: &[PathBuf]| {
            let read = files.iter().map(|file| certificates(option, file));
            let read = read.collect::<Result<Vec<_>, _>>()?;
            Ok::<_, String>(read.into_iter().flatten().collect())
        };
        Ok(Trusted {
            kernel: all("--sbcert", &self.sbcert)?,
            modules: all("--module-cert", &self.module_cert)?,
        })
    }
}

/// Reads a key and the first certificate of a file, and checks that the two belong together and that the certificate is
/// valid now.
fn pair(
    [key_option, certificate_option]: [&str; 2],
    key_file: &Path,
    certificate_file: &Path,
) -> Result<(SigningKey, Certificate), String> {
    let at_key = |what: String| format!("{key_option} {}: found {what}", key_file.display());
    let key = SigningKey::read(&read(key_option, key_file)?);
    let key = key.map_err(|error| at_key(error.to_string()))?;
    let certificates = certificates(certificate_option, certificate_file)?;
    let shown = certificate_file.display();
    let Some(certificate) = certificates.into_iter().next() else {
        return Err(format!(
            "{certificate_option} {shown}: found no certificate"
        ));
    };
    if !key.is_of(&certificate) {
        return Err(format!(
            "{certificate_option} {shown}: the certificate of {certificate} does not belong to the key {}. Give the certificate that was made with this key",
            key_file.display()
        ));
    }
    certificate.check_period(SystemTime::now()).map_err(|why| {
        format!("{certificate_option} {shown}: the certificate of {certificate} {why}")
    })?;
    Ok((key, certificate))
}

fn certificates(option: &str, file: &Path) -> Result<Vec<Certificate>, String> {
    let read = Certificate::read_all(&read(option, file)?);
    read.map_err(|error| format!("{option} {}: found {error}", file.display()))
}

/// Reads the regular file at `path`, which has at most [`FILE_MAX`] bytes. `option` is the option that names the file.
fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("{option}: {error}");
    // Without this flag, opening a FIFO without a writer would block.
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)
        .map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() || meta.len() > FILE_MAX {
        return Err(format!(
            "{option} {shown}: expected a regular file of at most {FILE_MAX} bytes"
        ));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}
