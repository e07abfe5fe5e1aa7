# shellcheck shell=bash
# `bed base SUITE`: builds the image localhost/bed-SUITE, a Debian rootfs with the old kernel and the layout of an
# ostree base image. The suite `odd` is trixie with the peculiarities of real base images (tests/container/odd).

INCLUDE=systemd,systemd-sysv,udev,dracut,dracut-core,kmod,zstd,rpm,ostree,ostree-boot,e2fsprogs,xfsprogs,cpio,procps,iproute2
INCLUDE+=,dbus,lvm2,cryptsetup-bin,mdadm,pigz,lz4,xz-utils,binutils,file,less,curl,ca-certificates
SUITES=(bookworm trixie sid odd)

b() { buildah --root "$STORAGE/root" --runroot "$STORAGE/run" --storage-driver overlay "$@"; }

# in_root DIR CMD…: runs CMD with DIR as its root, in a separate mount namespace with /proc, /sys, /dev and /run.
in_root() {
    local dir=$1
    shift
    # shellcheck disable=SC2016
    unshare -m bash -euc 'r=$1; shift
        mount --make-rprivate /
        mount -t proc proc "$r/proc"; mount -t sysfs -o ro sysfs "$r/sys"; mount --rbind /dev "$r/dev"
        mount -t tmpfs tmpfs "$r/run"
        exec env -i PATH=/usr/sbin:/usr/bin HOME=/ TMPDIR=/var/tmp LC_ALL=C.UTF-8 chroot "$r" "$@"' - "$dir" "$@"
}

# Prints the name under which the rootfs of a suite is stored. (The name `sid` belongs to the rootfs of the corpus,
# without rpm.)
rootfs_of() { if [[ $1 == sid ]]; then echo sid-dnf5; else echo "$1"; fi; }

# Creates the unmodified rootfs of the suite. To refresh it, remove target/bed/rootfs.
rootfs() {
    local suite=$1 key more=,dnf name options=()
    name=$(rootfs_of "$suite")
    if [[ $suite == odd ]]; then
        suite=trixie more=,$(paste -sd , "$HERE/odd/packages")
    elif [[ $suite == sid ]]; then
        more=,dnf5
        # A mirror of sid may be older than its Release file allows; the file's signature is still verified.
        options=(--aptopt='Acquire::Check-Valid-Until "false"')
    fi
    key=$(key_of "$suite" "$INCLUDE$more" "$MIRROR" 2)
    if is_fresh "rootfs-$name" "$key" && [[ -s $BED/rootfs/$name.tar.zst ]]; then
        return 0
    fi
    say "$suite: rootfs from $MIRROR"
    mkdir -p "$BED/rootfs"
    : >"$LOGS/rootfs-$name.log"
    # (dpkg need not sync: after a crash the rootfs is rebuilt)
    (run_logged "rootfs-$name.log" mmdebstrap --variant=minbase --include="$INCLUDE$more" "${options[@]}" \
        --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$BED/rootfs/$name.tar" "$MIRROR") ||
        die "$suite: no rootfs from $MIRROR; is it reachable?"
    zstd -q -3 -T0 --rm -f "$BED/rootfs/$name.tar" -o "$BED/rootfs/$name.tar.zst"
    mark_fresh "rootfs-$name" "$key"
}

# Builds the real `ostree container commit` from the library ostree-ext.
ostree_container() {
    local key
    key=$(key_of "$HERE/ostree-container/Cargo.lock" "$HERE/ostree-container/Cargo.toml" "$HERE/ostree-container/src/main.rs")
    if is_fresh ostree-container "$key" && [[ -x $BED/ostree-container/release/ostree-container ]]; then
        return 0
    fi
    say "ostree-container: building the real one (minutes, once)"
    CARGO_TARGET_DIR=$BED/ostree-container run_logged ostree-container.log \
        cargo build --release --locked --manifest-path "$HERE/ostree-container/Cargo.toml"
    mark_fresh ostree-container "$key"
}

# order DIR PATH…: replaces these programs with base/order.c, which records their calls and starts the originals.
order() {
    local r=$1 p
    shift
    for p in "$@"; do
        rm -f "$r/$p"
        cp "$r/usr/lib/bed/order" "$r/$p"
    done
}

# own_programs DIR: makes an RPM that owns the programs and libraries of the rootfs, with their digests and modes, as the
# packages of Fedora own theirs.
own_programs() {
    local r=$1 work=$BED/rootfs/programs
    rm -rf "$work"
    mkdir -p "$work"
    # (xargs fails if grep finds no ELF file among some of the files; and errexit is off here)
    (cd "$r" && { find usr -xdev -type f \( -perm /111 -o -name '*.so*' \) -size +0 -print0 |
        xargs -0 grep -lP '^\x7fELF' || true; } | grep -v '[[:space:]]' | sort) >"$work/list"
    [[ -s $work/list ]] || return
    rpmbuild -bb --quiet --define "_topdir $work" --define "rootfs $r" --define "list $work/list" --define "_rpmdir $r/rpms" \
        --define '_rpmfilename userland/%{NAME}.rpm' "$HERE/programs.spec" || return
    sign "$r/rpms/userland/bed-programs.rpm" || return
    rm -rf "$work"
}

# shape DIR SUITE: gives the rootfs the layout of an ostree base image, and adds the tools of the bed.
shape() {
    local r=$1 suite=$2 d n
    # Scriptlets of Fedora packages expect /bin/sh to be bash.
    ln -sfn bash "$r/usr/bin/sh"
    rm -f "$r"/usr/lib/*/rpm-plugins/unshare.so "$r/etc/debian_version"
    # Ostree systems have the rpmdb in usr/share/rpm.
    rm -rf "$r/var/lib/rpm" "$r/usr/lib/sysimage/rpm"
    mkdir -p "$r/usr/share/rpm" "$r/usr/lib/sysimage" "$r/usr/lib/rpm/macros.d"
    ln -s ../../share/rpm "$r/usr/lib/sysimage/rpm"
    echo '%_dbpath /usr/share/rpm' >"$r/usr/lib/rpm/macros.d/macros.bed"
    for d in home root opt srv mnt; do
        rm -rf "${r:?}/$d"
        n=$d
        [[ $d == root ]] && n=roothome
        ln -s "var/$n" "$r/$d"
    done
    rm -rf "${r:?}/usr/local"
    ln -s ../var/usrlocal "$r/usr/local"
    mkdir -p "$r/sysroot" "$r/usr/lib/ostree" "$r/etc/pki/rpm-gpg"
    printf '[sysroot]\nreadonly=false\n' >"$r/usr/lib/ostree/prepare-root.conf"
    cp "$RPMS/pubkey.asc" "$r/etc/pki/rpm-gpg/RPM-GPG-KEY-bed"
    # dracut
    mkdir -p "$r/usr/lib/dracut/dracut.conf.d"
    cp "$HERE/base/10-bed.conf" "$HERE/base/00-bed-order.conf" "$r/usr/lib/dracut/dracut.conf.d/"
    [[ $suite != odd ]] || "$HERE/odd/shape" "$r"
    # the programs of the bed
    mkdir -p "$r/usr/lib/bed/real"
    cp "$HERE/base/setup" "$HERE/base/marker" "$HERE/base/sh" "$HERE/rpm-ostree" \
        "$HERE/rpm-ostree.d/05-rpmostree.install" "$r/usr/lib/bed/"
    cp "$HERE/base/00-bed.install" "$r/usr/lib/kernel/install.d/"
    mv "$r/usr/bin/rpm" "$r/usr/lib/bed/real/rpm"
    cp "$BED/ostree-container/release/ostree-container" "$r/usr/lib/bed/real/"
    strip "$r/usr/lib/bed/real/ostree-container"
    mkdir -p "$r/usr/libexec/libostree/ext"
    gcc -O1 -static -Wall -o "$r/usr/lib/bed/order" "$HERE/base/order.c"
    order "$r" usr/bin/rpm usr/sbin/depmod usr/libexec/libostree/ext/ostree-container
    gcc -O1 -Wall -o "$r/usr/lib/bed/transaction" "$HERE/rpm-ostree.d/transaction.c"
    # rpm-ostree renames sss_cache during transactions. sss_cache is a part of sssd, which Debian's rootfs lacks.
    printf '#!/bin/sh\n' >"$r/usr/sbin/sss_cache"
    chmod 0755 "$r/usr/sbin/sss_cache"
    # dnf is not on PATH unless the variant requests it.
    [[ $suite == sid ]] || ln -s /usr/bin/dnf-3 "$r/usr/lib/bed/real/dnf"
    [[ $suite != sid ]] || mv "$r/usr/bin/dnf5" "$r/usr/lib/bed/real/dnf5"
    # Removes a dnf plugin that real images rarely have, and that fails without createrepo_c.
    rm -f "$r/etc/dnf/libdnf5-plugins/local.conf"
    rm -rf "$r/usr/bin/dnf" "$r"/etc/yum.repos.d/*
    # boot: enables the marker, and disables units that wait or ask questions
    cp "$HERE/base/bed-marker.service" "$r/usr/lib/systemd/system/"
    mkdir -p "$r/usr/lib/systemd/system/multi-user.target.wants"
    ln -sf ../bed-marker.service "$r/usr/lib/systemd/system/multi-user.target.wants/"
    for n in systemd-firstboot.service systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer \
        dpkg-db-backup.timer systemd-timesyncd.service e2scrub_reap.service; do
        ln -sf /dev/null "$r/etc/systemd/system/$n"
    done
    ln -sfn /usr/lib/systemd/system/multi-user.target "$r/etc/systemd/system/default.target"
    : >"$r/etc/machine-id"
    # Mount points of a build, which buildah would otherwise create.
    touch "$r"/etc/{hosts,hostname,resolv.conf}
    mkdir -p "$r/rpms" "$r/bed"
    # rpm installs the old kernel with its scriptlets, and the real dracut makes the initramfs.
    mkdir -p "$r/var/tmp" "$r/boot" "$r/rpms/old" "$r/rpms/userland"
    cp "$RPMS"/old/*.rpm "$r/rpms/old/"
    cp "$RPMS"/userland/*.rpm "$r/rpms/userland/"
    if [[ $suite == odd ]]; then
        rpmbuild -bb --quiet --define "_topdir $BED/rootfs/kabi" --define "_rpmdir $r/rpms" \
            --define '_rpmfilename userland/%{NAME}.rpm' "$HERE/odd/kabi.spec"
        sign "$r/rpms/userland/kernel-abi-stablelists.rpm"
    fi
    own_programs "$r" || return
    # shellcheck disable=SC2016
    in_root "$r" bash -euxc '
        rpmdb --initdb
        rpmkeys --import /etc/pki/rpm-gpg/RPM-GPG-KEY-bed
        export KERNEL_INSTALL_BYPASS=1
        rpm -Uv --justdb /rpms/userland/bed-programs.rpm
        rm /rpms/userland/bed-programs.rpm
        rpm -Uv /rpms/userland/*.rpm
        rpm -Uv /rpms/old/*.rpm
        depmod -a "$1"
        DRACUT_NO_XATTR=1 dracut --no-hostonly --kver "$1" --reproducible --add ostree -f "/usr/lib/modules/$1/initramfs.img"
        chmod 0600 "/usr/lib/modules/$1/initramfs.img"
        rpm -qa' - "$(kver_of old)" </dev/null
    rm -rf "${r:?}"/{rpms,boot,var,tmp,run,dev}
    mkdir -p "$r"/{boot,var,run,dev,rpms}
    mkdir -m 1777 "$r/tmp"
    rm -rf "$r/usr/share/rpm/.rpm.lock"
    if [[ $suite == odd ]]; then
        cp -a "$r/usr/share/rpm" "$r/usr/lib/sysimage/rpm-ostree-base-db"
    fi
    # variants
    case $suite in
        bookworm) chroot "$r" /usr/lib/bed/setup no-layout dnf ;;
        trixie | odd) chroot "$r" /usr/lib/bed/setup ostree-repo rpm-ostree layout ;;
        sid) chroot "$r" /usr/lib/bed/setup no-layout dnf5 ;;
    esac
    find "$r" -xdev -newermt @1700000000 -exec touch -h -d @1700000000 {} +
}

bed_base() {
    local suite=${1:-} key c m odd=()
    [[ " ${SUITES[*]} " == *" $suite "* ]] || die "base: one of: ${SUITES[*]}"
    bed_kernels
    rootfs "$suite"
    ostree_container
    [[ $suite != odd ]] || odd=("$HERE/odd")
    key=$(key_of "$HERE/lib/base.sh" "$HERE/programs.spec" "$HERE/base" "$HERE/rpm-ostree" "$HERE/rpm-ostree.d" "${odd[@]}" \
        "$BED/keys/kernels" "$BED/keys/rootfs-$(rootfs_of "$suite")" "$BED/keys/ostree-container")
    if is_fresh "base-$suite" "$key" && b inspect --type image "localhost/bed-$suite" >/dev/null 2>&1; then
        return 0
    fi
    say "$suite: base image"
    local r=$BED/rootfs/$suite.d
    rm -rf "$r"
    mkdir -p "$r"
    # tar stops reading at the end of the archive, so a separate zstd process would be killed by SIGPIPE.
    tar -C "$r" --zstd -xf "$BED/rootfs/$(rootfs_of "$suite").tar.zst" --exclude='./dev/*'
    shape "$r" "$suite" >"$LOGS/base-$suite.log" 2>&1 || {
        tail -n 30 "$LOGS/base-$suite.log" >&2
        die "shaping the base $suite (log: $LOGS/base-$suite.log)"
    }
    c=$(b from scratch)
    m=$(b mount "$c")
    cp -a "$r/." "$m/"
    b config --label containers.bootc=1 --label "ostree.linux=$(kver_of old)" "$c"
    b umount "$c" >/dev/null
    b commit -q --rm "$c" "localhost/bed-$suite" >>"$LOGS/base-$suite.log"
    # image_of would take images of cases that were built on the base before.
    for c in "$CASES"/*/Containerfile; do
        grep -q "^FROM localhost/bed-$suite " "$c" || continue
        c=localhost/case-$(basename "${c%/Containerfile}")
        for m in latest before; do
            if b inspect --type image "$c:$m" >/dev/null 2>&1; then b rmi -f "$c:$m" >/dev/null; fi
        done
    done
    rm -rf "$r"
    mark_fresh "base-$suite" "$key"
}
