# shellcheck shell=bash
# For `bed matrix-sid`: compares the answers of rpm that tests/it/signatures.rs expects with those of sid's rpmkeys.

# signature_matrix: the test writes a directory for each row, with a key file, a package, and the expected answers of
# rpm and of this program. Then sid's rpmkeys verifies the packages.
signature_matrix() {
    local dir=$BED/signatures
    rm -rf "$dir"
    SIGNATURE_MATRIX=$dir run_logged signatures.log cargo test --locked --manifest-path "$TOP/Cargo.toml" \
        --test it -- signatures::every_kind_of_signature
    with_image localhost/bed-sid _ask_rpmkeys "$dir"
}

# _ask_rpmkeys ROOT DIR: prints one line for each row; fails if rpm's answer differs.
_ask_rpmkeys() {
    local root=$1 dir=$2 row wanted ours found wrong=0 count=0
    for row in "$dir"/*/; do
        rm -rf "$root/tmp/signatures"
        mkdir -p "$root/tmp/signatures/db"
        cp "$row/keys.asc" "$row/package.rpm" "$root/tmp/signatures/"
        read -r wanted ours <"$row/expected"
        # shellcheck disable=SC2016  # the shell inside expands it
        chroot "$root" sh -c 'cd /tmp/signatures
            rpmkeys --dbpath "$PWD/db" --import keys.asc
            rpmkeys --dbpath "$PWD/db" -Kv package.rpm' >"$row/rpmkeys" 2>&1 || true
        # The line ends with one of these words, or with the word and a reason in parentheses.
        found=$(sed -nE 's/^ +.*OpenPGP.*: (OK|BAD|NOKEY|NOTTRUSTED|NOTFOUND)( \(.*)?$/\1/p' "$row/rpmkeys" | head -n 1)
        printf '%-32s rpm: %-11s here: %s\n' "$(basename "$row")" "${found:-nothing}" "$ours"
        count=$((count + 1))
        [[ $found == "$wanted" ]] || {
            printf '    expected of rpm: %s\n' "$wanted"
            wrong=$((wrong + 1))
        }
    done
    printf '%s signatures compared with rpm, %s differ\n' "$count" "$wrong"
    ((count > 0 && wrong == 0))
}
