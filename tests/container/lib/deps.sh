# shellcheck shell=bash
# `bed deps`: installs the host's packages that the bed needs, with apt-get or dnf. It needs root only if packages are
# missing.

HOST_PACKAGES=(busybox-static mmdebstrap rpm ostree libostree-dev libzstd-dev libssl-dev pkg-config buildah cpio zstd lz4 xz-utils
    createrepo-c sbsigntool e2fsprogs xfsprogs kmod jq shellcheck fish gnupg python3-minimal python3-yaml ca-certificates dpkg-dev gcc g++ libc6-dev musl-tools openssl
    ovmf mtools systemd-boot-efi)
# These come from bookworm-backports: apt refuses bookworm's own qemu-system if the machine has qemu-utils of the
# backports.
QEMU_PACKAGES=(qemu-system-x86 qemu-system-common qemu-system-data seabios)
# The same packages on Fedora and CentOS Stream (with EPEL). The bed has not been run on these systems yet.
FEDORA_PACKAGES=(busybox mmdebstrap rpm-build ostree ostree-devel libzstd-devel openssl-devel pkgconf-pkg-config buildah cpio zstd lz4 xz
    createrepo_c sbsigntools e2fsprogs xfsprogs kmod jq ShellCheck fish gnupg2 python3 python3-pyyaml ca-certificates apt dpkg-dev
    gcc gcc-c++ glibc-devel glibc-static musl-gcc openssl qemu-system-x86-core seabios-bin)
BACKPORTS=/etc/apt/sources.list.d/ostree-kernel-bed-backports.list

_missing_packages() {
    local p
    for p in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$p" 2>/dev/null) == ii* ]] || printf '%s\n' "$p"
    done
}

_add_backports() {
    local f
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        [[ -e $f ]] && grep -v '^ *#' "$f" | grep -q bookworm-backports && return 0
    done
    say "deps: adding the apt source $BACKPORTS (make clean removes it)"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main" >"$BACKPORTS"
}

_fedora_deps() {
    local want=() p
    for p in "${FEDORA_PACKAGES[@]}"; do
        rpm -q --quiet --whatprovides "$p" || want+=("$p")
    done
    if ((${#want[@]} == 0)); then
        say "deps: all packages are installed"
        return 0
    fi
    [[ $EUID == 0 ]] || die "missing: ${want[*]}; installing packages needs root"
    say "deps: installing ${want[*]}"
    run_logged deps.log dnf install -y --setopt=install_weak_deps=False "${want[@]}"
}

bed_deps() {
    local want=() qemu=()
    if ! command -v dpkg-query >/dev/null && command -v dnf >/dev/null; then
        _fedora_deps
        return
    fi
    mapfile -t want < <(_missing_packages "${HOST_PACKAGES[@]}")
    mapfile -t qemu < <(_missing_packages "${QEMU_PACKAGES[@]}")
    if ((${#want[@]} + ${#qemu[@]} == 0)); then
        say "deps: all packages are installed"
        return 0
    fi
    [[ $EUID == 0 ]] || die "missing: ${want[*]} ${qemu[*]}; installing packages needs root"
    _add_backports
    say "deps: installing ${want[*]} ${qemu[*]}"
    export DEBIAN_FRONTEND=noninteractive
    run_logged deps.log apt-get update
    if ((${#want[@]})); then
        run_logged deps.log apt-get install -y --no-install-recommends "${want[@]}"
    fi
    if ((${#qemu[@]})); then
        run_logged deps.log apt-get install -y --no-install-recommends -t bookworm-backports "${qemu[@]}"
    fi
}
