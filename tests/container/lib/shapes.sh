# shellcheck shell=bash
# `bed shapes`: the new kernel, packaged as other distributions package theirs, and with other contents. The shapes are
# not in lib/kernels.sh and lib/sets.sh, so that a new shape rebuilds no base.
#
#   target/bed/rpms/shapes/fedora     a System.map that names the kernel's symbols, so that `depmod -e -F` is used
#                          centos     CentOS Stream's scriptlets, which call weak-modules
#                          rhel       as centos, with signatures of version 3, and rhel.asc: a key file of three blocks
#                          rhcos      an RHCOS extensions directory: the base's own kernel, and kernel-rt without its
#                                     meta package
#                          ublue      vmlinuz signed by sbsign, .vmlinuz.hmac as it was before
#                          cachyos, ml, mono, azure   shapes.spec says how these differ
#                          surface    kernel-surface, and linux-surface's package `kernel` without files
#                          longterm   kernel-longterm
#                          zstd       modules compressed with zstd
#                          full       Debian's generic kernel instead of its cloud kernel: 4000 modules

# shape_of_kernel SHAPE OUT: packs the new kernel with shapes.spec.
shape_of_kernel() {
    local shape=$1 dir=$BED/kernels/new out=$RPMS/shapes/$2 lists=$BED/kernels/shapes/lists
    rm -rf "$lists" "$dir/rpmbuild"
    mkdir -p "$lists" "$out"
    cp "$dir"/lists/*.list "$lists/"
    cat "$lists"/*.list >"$lists/all.list"
    if [[ $shape == rt ]]; then
        grep -h 'kvm[^/]*[.]ko' "$lists/all.list" >"$lists/kvm.list"
        sed -i '/kvm[^/]*[.]ko/d' "$lists"/modules*.list
    fi
    run_logged shapes.log rpmbuild -bb --target x86_64 --quiet --define "_topdir $dir/rpmbuild" --define "_rpmdir $dir/rpmbuild/out" \
        --define "shape $shape" --define "kver $(kver_of new)" --define "ver $(cat "$dir/ver")" --define "tree $dir/tree" \
        --define "lists $lists" --define 'use_source_date_epoch_as_buildtime 1' --define '_buildhost bed' "$HERE/shapes.spec"
    mv "$dir"/rpmbuild/out/*/*.rpm "$out/"
    rm -rf "$dir/rpmbuild" "$lists"
    sign "$out"/kernel*.rpm
}

# kernel_copy NAME: makes target/bed/kernels/NAME, a copy of the new kernel that can be changed. The files are hard
# links to those of `new`: replace a file instead of writing to it.
kernel_copy() {
    rm -rf "${BED:?}/kernels/$1"
    cp -al "$BED/kernels/new" "$BED/kernels/$1"
    cp "$BED/kernels/new.kver" "$BED/kernels/$1.kver"
}

# Makes the kernel `fedora`, whose System.map has every symbol that a module needs, in the form that depmod reads.
system_map() {
    local dir=$BED/kernels/fedora mod plain=$BED/kernels/plain
    kernel_copy fedora
    mod=$dir/tree/lib/modules/$(kver_of new)
    rm -rf "$plain" "$mod/System.map"
    mkdir -p "$plain"
    find "$mod/kernel" -name '*.ko.xz' -exec sh -c 'for f; do xz -dc "$f" >"$0/$(basename "$f" .xz)"; done' "$plain" {} +
    {
        echo 'ffffffff81000000 T _text'
        {
            find "$plain" -name '*.ko' -print0 | xargs -0 nm -u | awk '$1 == "U" { print $2 }'
            # Filler symbols: the System.map of a real kernel has several MiB.
            seq -f 'bed_symbol_%06.0f' 60000
        } | LC_ALL=C sort -u | awk '{ printf "ffffffff82%06x T %s\nffffffff83%06x r __ksymtab_%s\n", NR, $1, NR, $1 }'
    } >"$mod/System.map"
    chmod 0600 "$mod/System.map"
    rm -rf "$plain"
}

# Makes the kernel `ublue`, as in Universal Blue's akmods: vmlinuz is signed, here with a key of the bed, and nothing
# else in the packages changes.
sign_vmlinuz() {
    local dir=$BED/kernels/ublue mod keys=$BED/kernels/shapes
    kernel_copy ublue
    mod=$dir/tree/lib/modules/$(kver_of new)
    mkdir -p "$keys"
    run_logged shapes.log openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=bed kernel key' \
        -keyout "$keys/sb.key" -out "$keys/sb.pem"
    run_logged shapes.log sbsign --key "$keys/sb.key" --cert "$keys/sb.pem" --output "$keys/vmlinuz" "$mod/vmlinuz"
    chmod 0755 "$keys/vmlinuz"
    mv -f "$keys/vmlinuz" "$mod/vmlinuz"
}

zstd_modules() {
    local dir=$BED/kernels/zstd mod
    kernel_copy zstd
    mod=$dir/tree/lib/modules/$(kver_of new)
    # (zstd reads a file, not a pipe, because kmod rejects zstd frames without a content size)
    # shellcheck disable=SC2016
    find "$mod/kernel" -name '*.ko.xz' -print0 | xargs -0r -P2 -n 50 sh -c \
        'for f; do xz -dc "$f" >"${f%.xz}" && zstd -q -3 --rm "${f%.xz}" && rm "$f"; done' -
    rm -rf "$dir/lists"
    cp -r "$BED/kernels/new/lists" "$dir/lists"
    sed -i 's/[.]ko[.]xz$/.ko.zst/' "$dir"/lists/*.list
}

# Makes the kernel `full`. It is not in bed_shapes, because its package has 70 MiB, and few cases use it.
full_kernel() {
    local new key
    new=$(cut -d' ' -f2 "$BED/kernels/chosen")
    key=$(key_of "$BED/keys/kernels" "$HERE/lib/shapes.sh" "$HERE/kernel.spec")
    is_fresh shape-full "$key" && return 0
    say "kernels: the full one"
    export SOURCE_DATE_EPOCH=1700000000
    rm -rf "$RPMS/shapes/full"
    kernel_tree full "${new/-cloud-/-}"
    packed full shapes/full
    mark_fresh shape-full "$key"
}

# RHEL's signatures have a key ID and no fingerprint. RHEL's key file has three armored blocks; here the bed's key is
# the last.
rhel() {
    local home=$BED/kernels/shapes/gpg key
    mkdir -p "$RPMS/shapes/rhel"
    cp "$RPMS"/shapes/centos/*.rpm "$RPMS/shapes/rhel/"
    run_logged shapes.log rpmsign --define '_gpg_name bed@example.invalid' --define "__gpg $HERE/lib/v3sign.py" \
        --resign "$RPMS"/shapes/rhel/*.rpm
    rm -rf "$home"
    mkdir -m 0700 "$home"
    for key in ed25519 rsa4096; do
        GNUPGHOME=$home run_logged shapes.log gpg --batch --passphrase '' --quick-generate-key "other $key" "$key" sign never
        GNUPGHOME=$home gpg --batch --armor --export "other $key"
    done >"$RPMS/shapes/rhel.asc" 2>>"$LOGS/shapes.log"
    cat "$RPMS/pubkey.asc" >>"$RPMS/shapes/rhel.asc"
}

bed_shapes() {
    local key
    bed_sets
    key=$(key_of "$BED/keys/kernels" "$HERE/lib/shapes.sh" "$HERE/lib/v3sign.py" "$HERE/kernel.spec" "$HERE/shapes.spec")
    is_fresh shapes "$key" && return 0
    say "kernels: the shapes of lib/shapes.sh"
    export SOURCE_DATE_EPOCH=1700000000
    : >"$LOGS/shapes.log"
    rm -rf "$RPMS/shapes" "$BED/keys/shape-full"
    mkdir -p "$RPMS"/shapes/rhcos
    shape_of_kernel centos centos
    rhel
    shape_of_kernel rt rhcos
    ln "$RPMS"/old/*.rpm "$RPMS/shapes/rhcos/"
    shape_of_kernel cachyos cachyos
    shape_of_kernel ml ml
    shape_of_kernel mono mono
    shape_of_kernel azure azure
    packed new shapes/longterm 'flavour -longterm'
    packed new shapes/surface 'flavour -surface'
    run_logged shapes.log rpmbuild -bb --quiet --target x86_64 --define "_topdir $BED/kernels/shapes" --define "_rpmdir $RPMS" \
        --define '_rpmfilename shapes/surface/%{NAME}-%{VERSION}.%{ARCH}.rpm' "$HERE/dummy.spec"
    sign "$RPMS"/shapes/surface/kernel-2026*.rpm
    system_map
    packed fedora shapes/fedora
    sign_vmlinuz
    packed ublue shapes/ublue
    zstd_modules
    packed zstd shapes/zstd
    mark_fresh shapes "$key"
}
