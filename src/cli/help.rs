// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `--help` says below the options, and the man pages as sections of their own. A line at the margin
//! begins a section; two spaces begin an entry, of which more spaces go on.

/// Of the program.
pub const OVERVIEW: &str = "\
Examples:
  In a Containerfile, with the kernel's RPMs in a directory or at URLs:
    RUN ostree-kernel replace /rpms
    RUN ostree-kernel replace https://example.org/kernel-core.rpm …
    RUN ostree-kernel replace --from updates-testing kernel
  After a change of /etc/dracut.conf.d:
    RUN ostree-kernel rebuild
  What would happen, without doing it:
    ostree-kernel replace --dry-run /rpms

Exit status:
  0  done, now or by an earlier run
  1  a step failed
  2  the command line cannot be understood
  3  refused; nothing changed
  4  the verification found something fatal; nothing was committed

Environment:
  https_proxy, http_proxy, all_proxy, no_proxy
      The proxies of downloads, as curl takes them; children get them too.
  SSL_CERT_FILE, SSL_CERT_DIR
      Certificates that https is verified with, instead of the system's.
  NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM
      Whether there are colours where --color does not say.
  GITHUB_ACTIONS
      If true, command lines are folded and findings become annotations.
  container, SOURCE_DATE_EPOCH
      Children get them; nothing else of the environment reaches a child.

Files:
  /usr/lib/modules/KVER
      The kernel's directory, with vmlinuz and initramfs.img.
  /usr/share/ostree-kernel/report.json
      What the last run did and found; report.schema.json describes it.
  /var/cache/ostree-kernel
      Downloads. Mount a cache there to keep them for the next build.
  /run/ostree-kernel/log
      What the programs of a run printed that failed.
  /etc/pki/rpm-gpg
      The keys that packages are verified with.
  /etc/hosts, /etc/resolv.conf
      How hosts are found; nsswitch.conf is not read.
  /usr/libexec/libostree/ext/ostree-kernel
      A link to the program: `ostree kernel` is the same.";

/// Of `replace`.
pub const REPLACE: &str = "\
Examples:
  In a Containerfile, with the RPMs of a directory that is not in the image:
    RUN --mount=type=bind,source=rpms,target=/rpms \\
        ostree-kernel replace /rpms
  Packages at URLs, exactly these bytes, and downloads kept for the next build:
    RUN --mount=type=cache,dst=/var/cache/ostree-kernel \\
        ostree-kernel replace https://example.org/kernel-core.rpm#sha256=HEX …
  Arguments for dracut:
    RUN ostree-kernel replace /rpms -- --add multipath

Exit status:
  0  the new kernel is in the tree, now or by an earlier run
  1  a step failed; the last line says how to go on
  2  the command line cannot be understood
  3  refused; nothing changed outside the cache, /run and the report asked for
  4  the new initramfs is not fit to boot; nothing was committed";

/// Of `rebuild`.
pub const REBUILD: &str = "\
Examples:
  After a change of dracut's configuration:
    COPY multipath.conf /etc/multipath.conf
    RUN ostree-kernel rebuild -- --add multipath

Exit status:
  0  the new initramfs is in the tree
  1  a step failed; the last line says how to go on
  2  the command line cannot be understood
  3  refused; nothing changed outside /run and the report asked for
  4  the new initramfs is not fit to boot; nothing was committed";

/// Of `verify`.
pub const VERIFY: &str = "\
Examples:
  The tree of the image, as the last line of a Containerfile:
    RUN ostree-kernel verify --fatal-warnings
  An image that is mounted somewhere:
    ostree-kernel verify --root \"$(podman image mount IMAGE)\"
  One file, and what it lost against an earlier one:
    ostree-kernel verify --image new.img --kver KVER --against old.img

Exit status:
  0  nothing fatal was found
  1  a fatal check could not look
  2  the command line cannot be understood
  4  something fatal was found";

/// Of `status`.
pub const STATUS: &str = "\
Examples:
  The value of the label ostree.linux:
    ostree-kernel status --format json | jq -r '.labels[\"ostree.linux\"]'

Exit status:
  0  the tree was looked at
  1  it cannot be
  2  the command line cannot be understood";

/// Of `inspect`.
pub const INSPECT: &str = "\
Examples:
  What takes the space, and which arguments dracut was run with:
    ostree-kernel inspect /usr/lib/modules/KVER/initramfs.img
  A file inside it:
    ostree-kernel inspect initramfs.img --cat etc/fstab
  What an update changed:
    ostree-kernel inspect old.img --diff new.img

Exit status:
  0  the image was read to its end
  1  it cannot be, or has no such file
  2  the command line cannot be understood";
