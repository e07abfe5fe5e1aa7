# shellcheck shell=bash
# `bed foreign`: trees of other architectures, made from Debian's packages. The programs in them do not run: the
# packages are unpacked, and foreign.py makes the tree and the initramfs.
#
#   target/bed/foreign/KEY/NAME     a tree with its initramfs; NAME is what uname -m says
#
# It prints the directory. An architecture whose packages are unreachable is left out.

# Each: name, Debian's name, suite, kernel package. The suites differ, because a mirror may lack packages of a suite for
# an architecture.
FOREIGN=('aarch64 arm64 trixie linux-image-cloud-arm64' 's390x s390x bookworm linux-image-s390x'
    'ppc64le ppc64el bookworm linux-image-powerpc64le')
FOREIGN_PACKAGES=base-files,bash,dash,kmod,mount,ostree-boot,systemd,udev,util-linux

_foreign_tree() { # _foreign_tree OUT NAME ARCH SUITE KERNEL
    local out=$1 name=$2 arch=$3 suite=$4 kernel=$5 root=$1/.$2
    # (the variant `extract` configures no package, so no emulator is needed)
    mmdebstrap --variant=extract --architectures="$arch" --include="$FOREIGN_PACKAGES,$kernel" \
        --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt='path-exclude=/usr/share/*' "$suite" "$root" "$MIRROR" || return
    /usr/bin/python3 "$INITRAMFS/foreign.py" "$root" "$name" || return
    mv "$root" "$out/$name"
}

bed_foreign() {
    local key dir line
    key=$(key_of "$INITRAMFS/foreign.sh" "$INITRAMFS/foreign.py")
    dir=$BED/foreign/$key
    if [[ ! -d $dir ]]; then lock_bed; fi
    if [[ ! -d $dir ]]; then
        say "foreign: trees of other architectures (minutes, once)"
        rm -rf "$dir.new"
        mkdir -p "$dir.new"
        for line in "${FOREIGN[@]}"; do
            # shellcheck disable=SC2086
            (_foreign_tree "$dir.new" $line) >"$LOGS/foreign-${line%% *}.log" 2>&1 </dev/null ||
                say "foreign: ${line%% *} cannot be had, going without it (log: $LOGS/foreign-${line%% *}.log)"
        done
        find "$dir.new" -mindepth 1 -maxdepth 1 -name '.*' -exec rm -rf {} +
        mv "$dir.new" "$dir"
        find "$BED/foreign" -mindepth 1 -maxdepth 1 -printf '%T@ %p\n' | sort -rn | tail -n +3 | cut -d' ' -f2- | xargs -r rm -rf
    fi
    printf '%s\n' "$dir"
}
