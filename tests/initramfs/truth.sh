# shellcheck shell=bash
# `bed truth`: random single mutations, the results of `verify`, and real boots. truth.py defines the classes.

_truth_suite() { # _truth_suite TREE DIRECTORY
    local tree=$1 dir=$2
    rm -rf "$dir/root"
    cp -a "$tree" "$dir/root"
}

# Makes the trees and the disks of two replaced images.
_truth_suites() {
    local suite dir
    local -A case_of=([trixie]=layout [bookworm]=dnf)
    _corpus_disks
    for suite in trixie bookworm; do
        dir=$BOOTS/disks/$suite
        _entry "$dir" options >"$dir/options"
        with_image "$(image_of "${case_of[$suite]}")" _truth_suite "$dir"
    done
}

# truth NUMBER [SEED]: the default of SEED is the first eight hexadecimal digits of the current commit.
bed_truth() {
    local number=${1:?truth NUMBER [SEED]} seed=${2-}
    seed=${seed:-$(git -C "$TOP" rev-parse --short=8 HEAD)}
    BOOTS=$BED/boots
    # (in a subshell, which releases the lock when it ends)
    (_truth_suites) >&2
    mkdir -p "$BED/truth"
    /usr/bin/python3 "$INITRAMFS/truth.py" --tool "$OSTREE_KERNEL" --store "$BED/truth" --seed "$seed" --number "$number" \
        --jobs "${BED_JOBS:-2}" "trixie=$BOOTS/disks/trixie" "bookworm=$BOOTS/disks/bookworm"
}
