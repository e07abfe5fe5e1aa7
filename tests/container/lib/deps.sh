# shellcheck shell=bash
# `bed deps`: the host's packages. Only what is missing is installed.

HOST_PACKAGES=(busybox-static mmdebstrap rpm ostree libostree-dev libzstd-dev libssl-dev pkg-config buildah cpio zstd lz4 xz-utils
    createrepo-c sbsigntool e2fsprogs xfsprogs kmod jq shellcheck fish gnupg python3-minimal python3-yaml ca-certificates dpkg-dev gcc g++ libc6-dev openssl)
# bookworm's own qemu-system is refused beside the backports' qemu-utils that some machines carry.
QEMU_PACKAGES=(qemu-system-x86 qemu-system-common qemu-system-data seabios)
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
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main" >"$BACKPORTS"
}

bed_deps() {
    local want=() qemu=()
    mapfile -t want < <(_missing_packages "${HOST_PACKAGES[@]}")
    mapfile -t qemu < <(_missing_packages "${QEMU_PACKAGES[@]}")
    if ((${#want[@]} + ${#qemu[@]} == 0)); then
        say "deps: all there"
        return 0
    fi
    [[ $EUID == 0 ]] || die "installing packages needs root"
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
