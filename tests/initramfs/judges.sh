# shellcheck shell=bash
# `bed judges`: unpacks the root of each suite. tests/it/judges compares ostree-kernel with the programs in these roots.
# Prints the directory of the roots.
bed_judges() {
    local key dir suite
    key=$(key_of "$INITRAMFS/judges.sh" "$INITRAMFS/trace.c" "$BED/keys/rootfs-trixie" "$BED/keys/rootfs-bookworm")
    dir=$BED/judges/$key
    if [[ ! -d $dir ]]; then
        lock_bed
        rm -rf "$BED/judges"
        for suite in trixie bookworm; do
            rootfs "$suite" >&2
            mkdir -p "$dir.new/$suite"
            tar -C "$dir.new/$suite" --zstd --exclude='./dev/*' --exclude='./usr/share' -xf "$BED/rootfs/$suite.tar.zst"
            gcc -O1 -static -Wall -o "$dir.new/$suite/trace" "$INITRAMFS/trace.c" || return
        done
        mv "$dir.new" "$dir"
    fi
    printf '%s\n' "$dir"
}
