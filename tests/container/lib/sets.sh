# shellcheck shell=bash
# `bed sets`: other RPM sets, built from the two kernels. They are not in lib/kernels.sh, so that a new set does not
# rebuild the bases.
#
#   target/bed/rpms/rt             the new kernel as kernel-rt, kernel-rt-core, …
#   target/bed/rpms/older          the new kernel, packed as a version below the base's: a downgrade
#   target/bed/rpms/presplit       the new kernel without kernel-modules-core
#   target/bed/rpms/split          presplit: the base's kernel without kernel-modules-core; new: the new kernel with it
#   target/bed/rpms/kmods          old: two kmods for the base's kernel, one named as akmods names them; new: the new
#                                  kernel, and the kmods for it; orphan: the new kernel without kmods

# packed WHICH OUT DEFINE…: as `pack`, with more definitions for kernel.spec; signs the RPMs.
packed() {
    local which=$1 out=$2 define more=()
    shift 2
    for define; do more+=(--define "$define"); done
    pack "$which" "$RPMS/$out" x86_64 1 "${more[@]}"
    sign "$RPMS/$out"/*.rpm
}

# kmods WHICH OUT: builds kmod-bed and kmod-akbed-KVER for the kernel WHICH.
kmods() {
    local which=$1 out=$RPMS/$2 kver top=$BED/kernels/kmods style
    kver=$(kver_of "$which")
    mkdir -p "$out"
    for style in plain akmods; do
        run_logged sets.log rpmbuild -bb --quiet --target x86_64 --define "_topdir $top" --define "_rpmdir $top/out" \
            --define "kver $kver" --define "tree $BED/kernels/$which/tree" --define "style $style" \
            --define 'use_source_date_epoch_as_buildtime 1' --define '_buildhost bed' "$HERE/kmod.spec"
    done
    mv "$top"/out/*/*.rpm "$out/"
    rm -rf "$top"
    sign "$out"/kmod-*.rpm
}

bed_sets() {
    local key
    bed_kernels
    key=$(key_of "$BED/keys/kernels" "$HERE/lib/sets.sh" "$HERE/kernel.spec" "$HERE/kmod.spec")
    is_fresh sets "$key" && return 0
    say "kernels: the sets of lib/sets.sh"
    export SOURCE_DATE_EPOCH=1700000000
    : >"$LOGS/sets.log"
    rm -rf "$RPMS"/{rt,older,presplit,split,kmods}
    packed new rt 'flavour -rt'
    packed new older 'ver 5.0'
    packed new presplit 'split 0'
    packed old split/presplit 'split 0'
    kmods old kmods/old
    kmods new kmods/new
    mkdir -p "$RPMS"/{split,kmods}/new "$RPMS/kmods/orphan"
    ln "$RPMS"/new/*.rpm "$RPMS/split/new/"
    ln "$RPMS"/new/*.rpm "$RPMS/kmods/new/"
    ln "$RPMS"/new/*.rpm "$RPMS/kmods/orphan/"
    mark_fresh sets "$key"
}
