// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of `--help` after the options; the man pages contain it as sections. A line without indentation starts a
//! section, a line with two spaces starts an entry, and a line with more spaces continues the entry.

/// The help text about the confinement of programs, which `replace` and `rebuild` have in common.
macro_rules! confinement {
    () => {
        "  --root DIR
      Each program runs in its own namespaces for processes (with a matching
      /proc), mounts, System V IPC and the host name. It shares /dev, /sys and
      the network with the host, and is root of the host: use this option with
      trusted trees only, or in a virtual machine. Inside a container that
      masks /proc, programs see the /proc of that container.
  no_new_privs
      Set for all programs, except for package managers and for the programs
      of --before-dracut, which may start a package manager. Under SELinux, rpm
      starts scriptlets in another domain, which this flag forbids.
  end of a program
      All processes of a program, daemons included, are killed when the program
      ends, exceeds --timeout or prints more than 64 MiB, and when ostree-kernel
      is stopped or killed."
    };
}

/// The end of `ostree-kernel --help`.
pub const OVERVIEW: &str = "\
Examples:
  In a Containerfile, with the kernel's RPMs in a directory or at URLs:
    RUN ostree-kernel replace /rpms
    RUN ostree-kernel replace https://example.org/kernel-core.rpm …
    RUN ostree-kernel replace --from updates-testing kernel
  After a change of /etc/dracut.conf.d:
    RUN ostree-kernel rebuild
  Print the plan and leave the tree unchanged:
    ostree-kernel replace --dry-run /rpms

Exit status:
  0  done, by this run or an earlier one
  1  a step failed
  2  the command line is wrong
  3  refused; nothing changed
  4  fatal findings; nothing was committed

Output:
  standard output
      The result, at the end and with one write.
  standard error
      The log, and errors.
  standard input
      Not read.

Environment:
  https_proxy, http_proxy, all_proxy, no_proxy
      The proxies for downloads, as for curl. Child processes inherit these,
      their upper-case forms and ftp_proxy.
  SSL_CERT_FILE, SSL_CERT_DIR
      The CA certificates to use for https instead of the system's.
  NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM
      Decide the use of colours if --color is auto.
  GITHUB_ACTIONS
      If true, command lines are folded, and findings become annotations.
  container, SOURCE_DATE_EPOCH
      Child processes inherit these and the proxy variables, and no others.

Files:
  /usr/lib/modules/KVER
      The kernel's directory, with vmlinuz and initramfs.img.
  /usr/share/ostree-kernel/report.json
      Actions and findings of the last run, in the format report.schema.json.
  /var/cache/ostree-kernel
      Downloads. Mount a cache there to keep them for the next build.
  /run/ostree-kernel/log
      With --root DIR: the output of a failed run's programs, up to 64 MiB.
  /etc/pki/rpm-gpg
      The public keys to verify packages with.
  /etc/crypto-policies/back-ends/rpm-sequoia.config
      The crypto policy of the image, which decides which signatures are
      accepted, as in rpm.
  /etc/hosts, /etc/resolv.conf
      Read by the static program to resolve host names. The program in the RPM
      uses the system's resolver.
  /usr/lib/kernel/install.d/04-ostree-kernel.install
      The RPM's plug-in for kernel-install. In a container build, it builds and
      verifies the initramfs of a kernel that dnf installs. A kernel that is not
      fit to boot gets no initramfs. To disable the plug-in, create a link with
      its name to /dev/null in /etc/kernel/install.d.
  /usr/libexec/libostree/ext/ostree-kernel
      A link to the program, so that `ostree kernel` runs it.";

/// The end of `replace --help`.
pub const REPLACE: &str = concat!(
    "\
Examples:
  In a Containerfile, with RPMs in a directory of the build context:
    RUN --mount=type=bind,source=rpms,target=/rpms \\
        ostree-kernel replace /rpms
  With packages at URLs, a required digest, and a cache for downloads:
    RUN --mount=type=cache,dst=/var/cache/ostree-kernel \\
        ostree-kernel replace https://example.org/kernel-core.rpm#sha256=HEX …
  Arguments for dracut:
    RUN ostree-kernel replace /rpms -- --add multipath
  With your own Secure Boot key for vmlinuz and out-of-tree modules:
    RUN --mount=type=bind,source=rpms,target=/rpms \\
        --mount=type=secret,id=key,target=/run/secrets/key \\
        ostree-kernel replace /rpms \\
          --sign-kernel-key /run/secrets/key \\
          --sign-kernel-cert /usr/share/keys/db.pem \\
          --sign-modules-key /run/secrets/key \\
          --sign-modules-cert /usr/share/keys/db.pem
    RUN ostree-kernel verify --sbcert /usr/share/keys/db.pem \\
          --module-cert /usr/share/keys/db.pem

Exit status:
  0  the new kernel is in the tree, installed by this run or an earlier one
  1  a step failed; if a program failed, the last line says how to continue
  2  the command line is wrong
  3  refused; nothing changed outside the cache, /run and the --report file
  4  the new initramfs is not fit to boot; nothing was committed

Where packages come from:
  FILE.rpm, DIRECTORY
      A directory may contain other packages too. Only the packages that the
      base image has, and their requirements, are used.
  URL (http, https, file)
      Downloads run in parallel and are retried and resumed.
  --from REPO NAME
      The image's dnf downloads NAME from REPO, which need not be enabled.
  Signatures
      Digests and signatures are checked before anything changes, with the keys
      in /etc/pki/rpm-gpg of the image and those of --gpg-key. An unsigned
      package from a URL is refused; the message contains the command line that
      accepts it by its digest. An unsigned local file is used, with a warning.

Which packages change:
  Replaced
      Each package of the base's kernel is replaced with the package of the
      same role, in one transaction: newer or older, or of another flavour
      (kernel-core with kernel-rt-core). kmods for the new kernel are installed.
  A first kernel
      In a tree without a kernel, the kernel, its meta package and all its
      packages with modules are installed. The result is compared with the
      initramfs that a removed kernel left, or with the file, image or tree of
      --against.
  Version locks
      dnf's version locks of replaced packages are changed to the new versions,
      unless --no-versionlock is given.
  One kernel of several
      A directory may hold the output of a whole build: kernel, kernel-rt,
      kernel-debug. If exactly one kernel has the base's flavour and is not
      installed yet, it is used. --flavour rt chooses kernel-rt. If several
      kernels match, the run is refused, and the error lists the options that
      choose one.
  Removed
      Packages and kmods without a replacement, and packages that require the
      old kernel, cause an error. --remove NAME allows the removal of one.

Between the transaction and dracut:
  --before-dracut PROGRAM
      Runs a program of the image, for example to build modules. PROGRAM is a
      path and arguments, separated by spaces. The report lists the files below
      /usr/lib/modules that it changes. Files that it leaves in /tmp and /var
      are removed.
  --sign-kernel-key, --sign-modules-key
      The first option signs vmlinuz with sbsign or systemd-sbsign, from the
      image or from --tool-root DIR. The second signs the modules that were not
      built with the kernel or, with --sign-modules all, all modules. This
      happens after the programs of --before-dracut. .vmlinuz.hmac is rewritten.
      Keys are not copied. The result is verified with the certificates. Files
      with a signature that these certificates verify are not changed.

After an interruption:
  --timeout, SIGINT, SIGTERM
      The running program is killed with all its processes, and the temporary
      changes that prevent inner dracut runs are undone.
  The same command again
      It continues and creates the same tree, or it refuses and lists which of the
      kernel's packages are installed and which are missing: then build the layer
      again. If the work is already done, it changes nothing.

What is executed:
  programs of the tree
      rpm, rpm-ostree or dnf (and the scriptlets of the packages), depmod,
      dracut, ostree; none with --dry-run. Each runs with the tree as its root
      directory, a fixed PATH, only the environment variables that
      ostree-kernel(8) lists, umask 022, no open files of the caller, and
      /dev/null as standard input.
",
    confinement!()
);

/// The end of `rebuild --help`.
pub const REBUILD: &str = concat!(
    "\
Examples:
  After a change of dracut's configuration:
    COPY multipath.conf /etc/multipath.conf
    RUN ostree-kernel rebuild -- --add multipath

Exit status:
  0  the new initramfs is in the tree
  1  a step failed; if a program failed, the last line says how to continue
  2  the command line is wrong
  3  refused; nothing changed outside /run and the --report file
  4  the new initramfs is not fit to boot; nothing was committed

What is executed:
  programs of the tree
      rpm, depmod, dracut, rpm-ostree and ostree. Each runs with the tree as its
      root directory, a fixed PATH, only the environment variables that
      ostree-kernel(8) lists, umask 022, no open files of the caller, and
      /dev/null as standard input.
",
    confinement!()
);

/// The end of `verify --help`.
pub const VERIFY: &str = "\
Examples:
  Verify the image, as the last line of a Containerfile:
    RUN ostree-kernel verify --fatal-warnings
  Verify a mounted image:
    ostree-kernel verify --root \"$(podman image mount IMAGE)\"
  Verify an image that is not mounted, and compare it with an earlier one:
    ostree-kernel verify docker://REGISTRY/NAME:testing \\
      --against docker://REGISTRY/NAME:stable
    ostree-kernel verify oci-archive:new.tar
  Verify one initramfs, and compare it with an earlier one:
    ostree-kernel verify --initramfs new.img --against old.img
  Verify one initramfs for the kernel release KVER:
    ostree-kernel verify --initramfs new.img --kver KVER
  Verify the staged deployment for the machine that boots it:
    ostree-kernel verify --staged
  The same from a toolbox:
    sudo ostree-kernel verify --staged --root /run/host

Exit status:
  0  no fatal findings
  1  a fatal check could not run (with --fatal-warnings, also a warning), no
     check ran, or the tree or the file cannot be read
  2  the command line is wrong
  3  refused: the file of --report cannot be written, or --staged or
     --deployment is given and the system has no deployments of the ostree
     backend
  4  fatal findings

Images:
  credentials, mirrors, certificates of registries
      As for podman and skopeo: from podman login, credential helpers,
      registries.conf and certs.d. Not supported: short names (without a
      registry), and signature policies (policy.json).
  containers-storage:NAME
      An image in podman's storage, for example after podman build. As an
      ordinary user, type podman unshare before the command.
  oci:DIR, oci-archive:FILE, docker-archive:FILE, dir:DIR
      An image that skopeo copy, podman save or buildah push has written.
  zstd:chunked layers
      If the registry supports range requests, only the files that the checks
      read are fetched. As in podman, the layer has the files that its table of
      contents lists.

What is executed:
  docker-credential-NAME get
      Run if a registry requires credentials and a configuration file of podman
      or docker names this program. The program is found in PATH of the host, and
      inherits the caller's environment.
  nothing else
      No program of the tree or of the image is started. Only files are read,
      and links cannot lead out of the tree.";

/// The end of `gate --help`.
pub const GATE: &str = "\
Examples:
  Verify the staged deployment, and refuse it if it would not boot:
    ostree-kernel gate
  Let a refused deployment pass:
    ostree-kernel gate --release

Exit status:
  0  nothing is staged; or the deployment has no fatal findings, or has some and
     --warn-only is given; or the deployment was released
  1  the deployment could not be verified, and ostree finalises it (--on-error
     allow or --warn-only); or the gate's files cannot be written
  2  the command line is wrong
  3  the gate did not run, since the system has no deployments of the ostree
     backend
  4  fatal findings, or with --on-error refuse the deployment could not be
     verified; finalisation is locked

What is executed:
  ostree
      ostree admin lock-finalization of the running system is run when the gate
      locks or unlocks a deployment. In the sandbox of the units it fails: the
      lock file suffices to lock, but a deployment that was locked with this
      command must be unlocked outside of the sandbox. No program of the staged
      deployment is started.

Units:
  ostree-kernel-gate.service
      Runs the gate at shutdown, before ostree finalises, even if the reboot
      follows the staging immediately. The unit is disabled after installation.
      To enable it, type: systemctl enable --now ostree-kernel-gate.service
  ostree-kernel-gate-staged.path, ostree-kernel-gate-staged.service
      Run the gate when a deployment is staged, to verify it, and at boot, to
      set the message at login. Both units are started together with
      ostree-kernel-gate.service.
      If they have verified the deployment, the gate at shutdown only checks
      that it is still the same one.
  systemd-analyze security ostree-kernel-gate.service
      Shows the sandbox of the service. The exposure of both services is 1.5 of
      10 (0 is best; systemd 257).
  journalctl -b -1 -u ostree-kernel-gate.service
      After the reboot, prints the reason for a refusal.

Policy:
  /etc/systemd/system/ostree-kernel-.service.d/policy.conf
      A drop-in for both services. Its section [Service] sets the options of
      gate, for example: Environment=GATE_OPTIONS=--on-error=refuse
  If the gate cannot start (program removed, unit masked, sandbox broken)
      The deployment is finalised with every policy, because ostree's units do
      not require the gate.
  If the gate crashes, is killed, or has not ended after 40 s at shutdown
      The unit runs the gate again with --after, which does not verify. A
      recorded verdict stays in effect. Without one, --on-error=refuse refuses
      the deployment, and with --on-error=allow ostree finalises it.
  If /var is full
      The verdict takes effect, but is not recorded.

Files:
  /var/lib/ostree-kernel/gate.json
      The last verdict with its findings, and up to ten earlier refusals.
  /run/motd.d/ostree-kernel-gate
      The message at login.
  /run/ostree/staged-deployment-locked
      The lock. ostree removes it when another deployment is staged.";

/// The end of `status --help`.
pub const STATUS: &str = "\
Examples:
  Print the value of the label ostree.linux:
    ostree-kernel status --format json | jq -r '.labels[\"ostree.linux\"]'

Exit status:
  0  the tree was read, with or without a kernel
  1  the tree cannot be read
  2  the command line is wrong

What is executed:
  docker-credential-NAME get
      For an image in a registry, as verify does.
  nothing else
      No program of the tree or of the image is started. Only files are read,
      and links cannot lead out of the tree.";

/// The end of `inspect --help`.
pub const INSPECT: &str = "\
Examples:
  Show the sizes of the parts, and the arguments of dracut:
    ostree-kernel inspect /usr/lib/modules/KVER/initramfs.img
  Print a file inside it:
    ostree-kernel inspect initramfs.img --cat etc/fstab
  Show what an update changed:
    ostree-kernel inspect old.img --diff new.img

Exit status:
  0  the initramfs was read to its end
  1  the initramfs cannot be read to its end, or does not contain PATH
  2  the command line is wrong

What is executed:
  docker-credential-NAME get
      For an image in a registry, as verify does.
  nothing else
      The initramfs is unpacked in memory only.";
