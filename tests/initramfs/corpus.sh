# shellcheck shell=bash
# `bed corpus`: real initramfs images, made by real programs, and the trees that they belong to. tests/it/corpus defines
# the good images and the broken variants; this file makes only the slow products.
#
#   target/bed/corpus/KEY/trees/NAME     a tree with only the paths KEPT; its initramfs is in images/
#   target/bed/corpus/KEY/trees/NAME-whole   the same tree, and all files that are also in an initramfs
#   target/bed/corpus/KEY/images/…       NAME.img as its program made it; NAME.cpio, not compressed;
#                                        NAME.cpio.gz …, the same archive, compressed as the kernel can read it
#   target/bed/corpus/KEY/rpmdb/…        rpmdbs that lack the kernel
#
# It prints the directory. If the directory already exists, this takes a tenth of a second, and no lock.

INITRAMFS=$TOP/tests/initramfs
# The paths of a root that its tree keeps, if they exist.
KEPT=(usr/lib/modules usr/lib/dracut usr/lib/systemd/system etc/systemd/system etc/dracut.conf.d usr/lib/kernel usr/lib/ostree
    usr/share/rpm usr/lib/sysimage usr/lib/rpm/rpmrc usr/lib/rpm/macros usr/lib/rpm/macros.d sysroot ostree bin lib lib64 sbin)

_corpus_tree() { # _corpus_tree ROOT NAME
    local root=$1 tree=$OUT/trees/$2 rpm=$1/usr/lib/bed/real/rpm path kept=()
    for path in "${KEPT[@]}"; do
        if [[ -e $root/$path || -L $root/$path ]]; then kept+=("$path"); fi
    done
    mkdir -p "$tree"/{boot,dev,etc,proc,run,sys,tmp,usr/{bin,lib64,sbin},var/tmp}
    tar -C "$root" --exclude='initramfs.img' --exclude='modules.d/*/test*' -cf - "${kept[@]}" | tar -C "$tree" -xf -
    # The original of rpm, and not base/order.c, which records the calls of rpm.
    if [[ -e $rpm ]]; then
        cp "$rpm" "$tree/usr/bin/"
        for path in $(in_root "$root" ldd /usr/lib/bed/real/rpm | grep -o '/[^ ]*'); do
            mkdir -p "$tree${path%/*}"
            chroot "$root" cat "$path" >"$tree$path"
            chmod 0755 "$tree$path"
        done
    fi
}

# Makes the tree NAME-whole: the tree NAME, and all files of ROOT that are also in the initramfs IMAGE.
_corpus_whole() { # _corpus_whole ROOT NAME IMAGE
    local root=$1 tree=$OUT/trees/$2-whole
    cp -al "$OUT/trees/$2" "$tree"
    cpio -it --quiet <"$OUT/images/$3.cpio" | (cd "$root" && while read -r path; do
        if [[ -f $path || -L $path ]]; then printf '%s\n' "$path"; fi
    done) | tar -C "$root" --no-recursion -T - -cf - | tar -C "$tree" --skip-old-files --keep-directory-symlink -xf -
}

_corpus_dracut() { # _corpus_dracut ROOT KVER IMAGE ARG…
    local root=$1 kver=$2 image=$3
    shift 3
    mkdir -p "$root/var/tmp"
    in_root "$root" env DRACUT_NO_XATTR=1 dracut --no-hostonly --kver "$kver" --reproducible --no-compress "$@" -f /var/tmp/image
    mv "$root/var/tmp/image" "$OUT/images/$image.cpio"
}

# Replaces the old kernel with the new one, with rpm.
_corpus_replace() { # _corpus_replace ROOT
    local root=$1
    mkdir -p "$root"/{rpms,var/tmp}
    cp "$RPMS"/new/*.rpm "$root/rpms/"
    # shellcheck disable=SC2016
    in_root "$root" env KERNEL_INSTALL_BYPASS=1 bash -ec 'rpm -U /rpms/*.rpm; depmod -a "$1"' - "$NEW"
    rm -rf "${root:?}"/{rpms,boot}/* "$root/usr/lib/modules/$OLD"
}

# Changes the modules to those of a kernel that was built by hand: not compressed, not signed, and with debug sections,
# which dracut strips.
_corpus_plain() { # _corpus_plain ROOT
    local modules=$1/usr/lib/modules/$NEW
    find "$modules" -name '*.ko.xz' -print0 | xargs -0 -n 50 xz -d
    python3 - "$modules" <<'PYTHON'
import pathlib, sys
END = b"~Module signature appended~\n"
for module in pathlib.Path(sys.argv[1]).rglob("*.ko"):
    data = module.read_bytes()
    if data.endswith(END):
        signature = int.from_bytes(data[-len(END) - 4 : -len(END)], "big")
        module.write_bytes(data[: -len(END) - 12 - signature])
PYTHON
    echo 'not much' >"$OUT/debug"
    find "$modules" -name '*.ko' -exec objcopy --add-section .debug_str="$OUT/debug" {} \;
    sed -i 's/\.ko\.xz/.ko/' "$modules/modules.order"
    rm "$OUT/debug"
    in_root "$1" depmod -a "$NEW"
}

# Replaces ostree's root set-up with bootc's, whose program is a stand-in.
_corpus_bootc() { # _corpus_bootc ROOT
    local root=$1
    mkdir -p "$root/usr/lib/bootc"
    gcc -O1 -static -Wall -o "$root/usr/lib/bootc/initramfs-setup" "$INITRAMFS/51bootc/initramfs-setup.c"
    cp -r "$INITRAMFS/51bootc" "$root/usr/lib/dracut/modules.d/"
    rm -rf "$root"/usr/lib/dracut/modules.d/[0-9]*ostree "$root"/usr/lib/ostree "$root"/sysroot/ostree "$root/ostree" \
        "$root"/usr/lib/systemd/system/ostree-* "$root/etc/dracut.conf.d/ostree.conf"
}

_corpus_trixie() { # _corpus_trixie ROOT
    local root=$1 dir=$1/usr/lib/modules
    cp "$dir/$OLD/initramfs.img" "$OUT/images/trixie-old.img"
    _corpus_tree "$root" trixie-old
    _corpus_replace "$root"
    _corpus_tree "$root" trixie-new
    _corpus_dracut "$root" "$NEW" trixie-new --add ostree
    # The initramfs that most cases change. It lacks large dracut modules whose files no check reads.
    _corpus_dracut "$root" "$NEW" trixie-slim --add ostree --omit 'hwdb lvm mdraid crypt nvdimm terminfo'
    _corpus_whole "$root" trixie-new trixie-slim
    _corpus_rpmdbs "$root"
    _corpus_plain "$root"
    _corpus_tree "$root" trixie-plain
    _corpus_dracut "$root" "$NEW" trixie-plain --add ostree
    _corpus_bootc "$root"
    _corpus_tree "$root" trixie-bootc
    _corpus_dracut "$root" "$NEW" trixie-bootc --add bootc
}

_corpus_rpmdbs() { # _corpus_rpmdbs ROOT
    local root=$1
    in_root "$root" bash -ec 'cp -r /usr/share/rpm /var/tmp/erased
        rpm --dbpath /var/tmp/erased -e --justdb --nodeps --noscripts kernel-core
        rpm --dbpath /var/tmp/empty --initdb'
    mv "$root"/var/tmp/{erased,empty} "$OUT/rpmdb/"
}

# Unpacks packages of bookworm, without their dependencies.
_corpus_debs() { # _corpus_debs ROOT PACKAGE…
    local root=$1 package
    shift
    mkdir -p "$root/var/tmp/deb"
    for package in "$@"; do
        (cd "$root/var/tmp/deb" && apt-get download "$package/bookworm")
        # (not dpkg-deb -x, which would put directories in the place of the links /bin and /lib)
        dpkg-deb --fsys-tarfile "$root"/var/tmp/deb/"${package}"_*.deb | tar -C "$root" --keep-directory-symlink -xf -
    done
}

_corpus_bookworm() { # _corpus_bookworm ROOT
    local root=$1
    cp "$root/usr/lib/modules/$OLD/initramfs.img" "$OUT/images/bookworm-old.img"
    _corpus_tree "$root" bookworm-old
    _corpus_replace "$root"
    mkdir -p "$root/etc/dracut.conf.d"
    echo 'omit_dracutmodules+=" lvm mdraid "' >"$root/etc/dracut.conf.d/50-omit.conf"
    _corpus_tree "$root" bookworm-omit
    _corpus_dracut "$root" "$NEW" bookworm-omit --add ostree
    _corpus_whole "$root" bookworm-omit bookworm-omit
    _corpus_debs "$root" dracut-squash squashfs-tools liblzo2-2
    _corpus_dracut "$root" "$NEW" bookworm-squash --add 'ostree squash'
    # initramfs-tools is unpacked, because Debian's package conflicts with dracut's.
    _corpus_debs "$root" initramfs-tools-core klibc-utils libklibc busybox linux-base logsave
    cp "$root/usr/lib/modules/$NEW/config" "$root/boot/config-$NEW"
    in_root "$root" mkinitramfs -o /var/tmp/image "$NEW"
    mv "$root/var/tmp/image" "$OUT/images/initramfs-tools.img"
}

# Makes images with the newest dracut of Debian sid. sid changes daily: if it is unreachable, the corpus lacks these
# images.
_corpus_sid() {
    # shellcheck disable=SC2153
    local root=$OUT/sid tar=$BED/rootfs/sid.tar include=${INCLUDE//,rpm,/,},squashfs-tools,erofs-utils,util-linux-extra key
    key=$(key_of sid "$include" "$MIRROR")
    if ! is_fresh rootfs-sid "$key" || [[ ! -s $tar ]]; then
        # (a mirror of sid may be older than its Release file allows; the file's signature is still verified)
        mmdebstrap --variant=minbase --include="$include" --aptopt='Acquire::Check-Valid-Until "false"' \
            --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' sid "$tar" "$MIRROR" || return
        mark_fresh rootfs-sid "$key"
    fi
    mkdir -p "$root/usr/lib/modules"
    tar -C "$root" --exclude='./dev/*' -xf "$tar"
    cp -r "$BED/kernels/new/tree/lib/modules/$NEW" "$root/usr/lib/modules/" || return
    in_root "$root" depmod -a "$NEW"
    _corpus_tree "$root" sid
    _corpus_dracut "$root" "$NEW" sid --add ostree
    _corpus_whole "$root" sid sid
    _corpus_dracut "$root" "$NEW" sid-squash --add 'ostree squash-squashfs'
    _corpus_dracut "$root" "$NEW" sid-erofs --add 'ostree squash-erofs'
}

# Compresses the archive trixie-slim in six formats, with the options that the kernel's decoders need, and trixie-new
# with zstd.
_corpus_compress() {
    local cpio=$OUT/images/trixie-slim.cpio
    zstd -q -3 "$OUT/images/trixie-new.cpio"
    zstd -q -3 "$cpio"
    gzip -n -3 <"$cpio" >"$cpio.gz"
    xz -0 --check=crc32 <"$cpio" >"$cpio.xz"
    lzma -0 <"$cpio" >"$cpio.lzma"
    lz4 -q -l -1 <"$cpio" >"$cpio.lz4"
    bzip2 -1 <"$cpio" >"$cpio.bz2"
}

_corpus_make() {
    local log=$LOGS/corpus trixie file
    with_image localhost/bed-trixie _corpus_trixie >"$log-trixie.log" 2>&1 </dev/null &
    trixie=$!
    with_image localhost/bed-bookworm _corpus_bookworm >"$log-bookworm.log" 2>&1 </dev/null || true
    (_corpus_sid) >"$log-sid.log" 2>&1 </dev/null || true
    wait "$trixie" || true
    # (errexit has no effect in these functions, so their products are checked)
    for file in trixie-{old.img,new.cpio,slim.cpio,plain.cpio,bootc.cpio} bookworm-{old.img,omit.cpio,squash.cpio} initramfs-tools.img; do
        [[ -s $OUT/images/$file ]] || die "corpus: $file was not made (logs: $log-*.log)"
    done
    if [[ ! -s $OUT/images/sid.cpio ]]; then
        say "corpus: sid cannot be had, going without it (log: $log-sid.log)"
        rm -rf "$OUT"/trees/sid{,-whole}
    fi
    rm -rf "$OUT/sid"
    _corpus_compress
}

_corpus_key() { key_of "$INITRAMFS/corpus.sh" "$INITRAMFS/51bootc" "$BED/keys/base-trixie" "$BED/keys/base-bookworm"; }

bed_corpus() {
    local key dir
    key=$(_corpus_key)
    dir=$BED/corpus/$key
    if [[ ! -d $dir ]]; then
        lock_bed
        bed_base trixie >&2
        bed_base bookworm >&2
        key=$(_corpus_key)
        dir=$BED/corpus/$key
    fi
    if [[ ! -d $dir ]]; then
        say "corpus: real images by real programs (minutes, once)"
        OUT=$dir.new
        OLD=$(kver_of old)
        NEW=$(kver_of new)
        rm -rf "$OUT"
        mkdir -p "$OUT"/{trees,images,rpmdb}
        _corpus_make
        printf '%s\n' "$OLD" >"$OUT/old.kver"
        printf '%s\n' "$NEW" >"$OUT/new.kver"
        mv "$OUT" "$dir"
        # The previous corpus is kept, because a test of another work tree may use it.
        find "$BED/corpus" -mindepth 1 -maxdepth 1 -printf '%T@ %p\n' | sort -rn | tail -n +3 | cut -d' ' -f2- | xargs -r rm -rf
    fi
    printf '%s\n' "$dir"
}
