# shellcheck shell=bash
# `bed kernels`: packs two Debian kernels as signed RPM sets in Fedora's layout, and makes other sets of these RPMs.
#
#   target/bed/rpms/old            the base's kernel
#   target/bed/rpms/new            the one that replaces it
#   target/bed/rpms/no-modules-core, wrong-arch, no-posttrans, unsigned, not-rpm, mixed, empty
#   target/bed/rpms/userland       the package that provides what kernels require
#   target/bed/rpms/pubkey.asc     the public half of the throw-away key
#   target/bed/kernels/{old,new}.kver

RPMS=$BED/rpms
export GNUPGHOME=$BED/gpg

kver_of() { cat "$BED/kernels/$1.kver"; }

_upstream() { apt-cache --no-all-versions show "$1" | sed -nE 's/^Version: ([^-]*).*/\1/p'; }

# Prints the names of two kernel packages of the series that linux-image-cloud-amd64 depends on: first the newest one
# with another upstream version, then the newest one. They are chosen once and stored; BED_OLD and BED_NEW (package
# names) override the choice. Kernels of newer series are
# packed in other ways, and the tests must not depend on whether apt knows them.
choose_kernels() {
    local found=() old new series
    if [[ -z ${BED_OLD:-} && -z ${BED_NEW:-} && -s $BED/kernels/chosen ]]; then
        cat "$BED/kernels/chosen"
        return 0
    fi
    series=$(apt-cache --no-all-versions show linux-image-cloud-amd64 |
        sed -nE 's/^Depends:.*linux-image-([0-9]+[.][0-9]+)[.].*/\1/p')
    mapfile -t found < <(apt-cache search --names-only "^linux-image-${series//./[.]}[.].*[0-9]-cloud-amd64\$" |
        awk '{ print $1 }' | sort -rV)
    ((${#found[@]})) || die "apt knows no linux-image-$series*-cloud-amd64 (apt-get update?)"
    new=${BED_NEW:-${found[0]}}
    # The version of the RPMs is the upstream version, so both kernels must have different ones.
    for old in "${found[@]:1}"; do
        [[ $(_upstream "$old") == $(_upstream "$new") ]] || break
    done
    old=${BED_OLD:-$old}
    [[ $old != "$new" ]] || die "the old and the new kernel are the same: $old"
    printf '%s %s\n' "$old" "$new" | tee "$BED/kernels/chosen"
}

make_key() {
    [[ -s $RPMS/pubkey.asc ]] && return 0
    rm -rf "$GNUPGHOME"
    mkdir -m 0700 "$GNUPGHOME"
    mkdir -p "$RPMS"
    run_logged kernels.log gpg --batch --passphrase '' --quick-generate-key 'ostree-kernel test bed <bed@example.invalid>' rsa3072 sign never
    gpg --batch --armor --export bed@example.invalid >"$RPMS/pubkey.asc" 2>>"$LOGS/kernels.log"
}

sign() {
    run_logged kernels.log rpmsign --define '_gpg_name bed@example.invalid' --define "_gpg_path $GNUPGHOME" \
        --define '__gpg /usr/bin/gpg' --addsign "$@"
}

# kernel_tree WHICH PACKAGE: makes target/bed/kernels/WHICH: tree/lib/modules/KVER, and the file lists of the RPMs.
kernel_tree() {
    local which=$1 package=$2 dir=$BED/kernels/$1 kver mod
    rm -rf "$dir"
    mkdir -p "$dir/deb" "$dir/tree" "$dir/lists" "$BED/kernels/deb"
    if ! compgen -G "$BED/kernels/deb/${package}_*.deb" >/dev/null; then
        (cd "$BED/kernels/deb" && run_logged kernels.log apt-get download "$package")
    fi
    dpkg-deb -x "$BED"/kernels/deb/"${package}"_*.deb "$dir/deb"
    kver=$(basename "$dir"/deb/lib/modules/*)
    echo "$kver" >"$BED/kernels/$which.kver"
    # The RPM's version is the Debian version without its revision.
    basename "$BED"/kernels/deb/"${package}"_*.deb | cut -d_ -f2 | sed 's/-.*//' >"$dir/ver"
    mkdir -p "$dir/tree/lib"
    mv "$dir/deb/lib/modules" "$dir/tree/lib/modules"
    mod=$dir/tree/lib/modules/$kver
    cp "$dir/deb/boot/vmlinuz-$kver" "$mod/vmlinuz"
    cp "$dir/deb/boot/config-$kver" "$mod/config"
    cp "$dir/deb/boot/System.map-$kver" "$mod/System.map"
    printf '0x00000000\tbed_placeholder\tvmlinux\tEXPORT_SYMBOL\t\n' | xz >"$mod/symvers.xz"
    # As Fedora's build writes the HMAC with sha512hmac: with libkcapi's key, and with the file name of the kernel in
    # /boot.
    printf '%s  vmlinuz-%s\n' "$(openssl dgst -sha512 -hmac FIPS-FTW-RHEL2009 -r "$mod/vmlinuz" | cut -d' ' -f1)" "$kver" >"$mod/.vmlinuz.hmac"
    chmod 0755 "$mod/vmlinuz"
    chmod 0600 "$mod/System.map"
    find "$mod" -name '*.ko' -print0 | xargs -0r -P2 -n 20 xz --check=crc32 -1 # (some kernels have compressed modules already)
    split_modules "$dir" "$kver"
    rm -rf "$dir/deb"
}

# split_modules DIR KVER: divides the modules among three packages, roughly as Fedora does. core has the modules needed
# to boot and their dependencies; extra has rare modules that no module of the other packages needs.
split_modules() {
    local dir=$1 kver=$2 p
    local core='^kernel/(arch|crypto|lib|block|drivers/(ata|block|nvme|scsi|virtio|md|net/(virtio_net|veth|dummy|tun|tap|bonding|macvlan)|char|firmware|dax|nvdimm|hv|xen|pci|input|hid|usb|rtc|dma-buf|gpu|video)|fs/(ext4|jbd2|xfs|btrfs|overlayfs|erofs|squashfs|fat|nls|isofs|fuse|autofs|configfs|efivarfs|binfmt_misc|mbcache|fscache|netfs|nfs|nfs_common|lockd|9p)|net/(core|packet|unix|ipv4|ipv6|netfilter|bridge|802|llc|8021q|vmw_vsock|sunrpc|9p|sched))'
    local extra='^kernel/(sound|net/(ax25|netrom|rose|atm|sctp|rds|dccp|tipc|can|bluetooth|batman-adv|phonet|ieee802154|x25|nfc)|fs/(ocfs2|gfs2|ceph|afs|coda|hfs|hfsplus|jfs|minix|nilfs2|orangefs|reiserfs|romfs|sysv|ufs|ubifs|jffs2|affs|befs|bfs|efs|hpfs|qnx4|qnx6|omfs|adfs|freevxfs|ntfs|ntfs3|dlm)|drivers/(isdn|staging|infiniband|media))'
    depmod -b "$dir/tree" "$kver"
    awk -F: -v core="$core" -v extra="$extra" '
        { name[NR] = $1; deps[$1] = $2; want[$1] = ($1 ~ core) ? 1 : ($1 ~ extra) ? 3 : 2 }
        END {   # modules.dep lists indirect dependencies too, so one pass per level computes the closure
            for (level = 1; level <= 2; level++)
                for (i = 1; i <= NR; i++) if (want[name[i]] == level) {
                    n = split(deps[name[i]], d, " ")
                    for (j = 1; j <= n; j++) if (want[d[j]] > level) want[d[j]] = level
                }
            for (i = 1; i <= NR; i++) print want[name[i]], name[i]
        }' "$dir/tree/lib/modules/$kver/modules.dep" >"$dir/split"
    for p in 1:modules-core 2:modules 3:modules-extra; do
        awk -v level="${p%%:*}" -v top="/lib/modules/$kver/" '
            $1 == level {
                print top $2
                n = split($2, part, "/"); path = top part[1]
                for (i = 2; i < n; i++) { path = path "/" part[i]; if (!seen[path]++) print "%dir " path }
            }' "$dir/split" >"$dir/lists/${p#*:}.list"
    done
    # depmod ran only to compute the dependencies. Its output is removed, because it is %ghost in the packages.
    find "$dir/tree/lib/modules/$kver" -maxdepth 1 -name 'modules.*' \
        ! -name modules.builtin ! -name modules.builtin.modinfo ! -name modules.order -delete
}

# pack WHICH OUT ARCH POSTTRANS [ARGUMENT OF RPMBUILD…]: builds the RPMs of kernel.spec. POSTTRANS is its
# posttrans_adds.
pack() {
    local which=$1 dir=$BED/kernels/$1 out=$2 arch=$3 posttrans=$4
    shift 4
    rm -rf "$dir/rpmbuild" "$out"
    mkdir -p "$out"
    run_logged kernels.log rpmbuild -bb --target "$arch" --quiet \
        --define "_topdir $dir/rpmbuild" --define "_rpmdir $dir/rpmbuild/out" \
        --define "kver $(kver_of "$which")" --define "ver $(cat "$dir/ver")" --define 'rel 200.bed' \
        --define "tree $dir/tree" --define "lists $dir/lists" --define "posttrans_adds $posttrans" \
        --define 'use_source_date_epoch_as_buildtime 1' --define '_buildhost bed' "$@" "$HERE/kernel.spec"
    mv "$dir"/rpmbuild/out/*/*.rpm "$out/"
    rm -rf "$dir/rpmbuild"
}

bed_kernels() {
    local old new key s f
    mkdir -p "$BED/kernels" "$RPMS"
    read -r old new < <(choose_kernels)
    key=$(key_of "$HERE/kernel.spec" "$HERE/userland.spec" "$HERE/lib/kernels.sh" "$old" "$new")
    if is_fresh kernels "$key" && [[ -s $RPMS/pubkey.asc ]]; then
        return 0
    fi
    say "kernels: $old -> $new"
    export SOURCE_DATE_EPOCH=1700000000
    : >"$LOGS/kernels.log"
    make_key
    kernel_tree old "$old"
    kernel_tree new "$new"
    pack old "$RPMS/old" x86_64 1
    pack new "$RPMS/new" x86_64 1
    rm -rf "$RPMS/unsigned"
    cp -r "$RPMS/new" "$RPMS/unsigned"
    pack new "$RPMS/wrong-arch" aarch64 1
    pack new "$RPMS/no-posttrans" x86_64 0
    run_logged kernels.log rpmbuild -bb --quiet --define "_topdir $BED/kernels/userland" --define "_rpmdir $RPMS" \
        --define '_rpmfilename userland/%{NAME}.rpm' "$HERE/userland.spec"
    for s in old new wrong-arch no-posttrans userland; do
        sign "$RPMS/$s"/*.rpm
    done
    # The other sets consist of hard links to the files above; not-rpm also has an HTML page under the name of an RPM.
    rm -rf "$RPMS"/{no-modules-core,mixed,not-rpm,empty}
    mkdir -p "$RPMS"/{no-modules-core,mixed,not-rpm,empty}
    ln "$RPMS"/new/*.rpm "$RPMS/no-modules-core/"
    rm "$RPMS"/no-modules-core/kernel-modules-core-*.rpm
    for f in "$RPMS"/new/*.rpm; do
        case ${f##*/} in
            kernel-modules-*) ;;
            *) ln "$f" "$RPMS/mixed/" ;;
        esac
    done
    ln "$RPMS"/old/kernel-modules-*.rpm "$RPMS/mixed/"
    ln "$RPMS"/new/*.rpm "$RPMS/not-rpm/"
    f=$(compgen -G "$RPMS/not-rpm/kernel-modules-extra-*.rpm")
    rm "$f"
    echo '<!DOCTYPE html><title>404 Not Found</title>' >"$f"
    mark_fresh kernels "$key"
}
