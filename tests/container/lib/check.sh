# shellcheck shell=bash
# `bed check`, `bed products`, `bed matrix-sid`, `bed boot-matrix`, `bed boot-shapes` and `bed demo`.

# A regular expression for the cases whose images `bed boot-shapes` boots.
BOOTED='shape-(fedora|centos|rhel|ublue|cachyos|surface|ml|mono|azure|rhcos|zstd)|odd-(dnf|full)'
BOOTED+='|first-(dnf|erase|heredoc|justdb)|plug-in|plug-in-(both|files|flavour|no-layout|swap|upgrade)|before-dracut|flavour|dnf-flavour|sign-(systemd|tool-root)'

# _one CASE: runs a case, and prints its line of `bed check`.
_one() {
    local start rc=0 took
    start=$(now)
    (run_case "$1") >"$BED/check/$1" 2>&1 || rc=$?
    took=$(since "$start")
    if ((rc == 0)); then
        printf 'ok %s %ss\n' "$1" "$took"
        echo ok >"$BED/check/$1.result"
    else
        printf 'FAIL %s %ss\n%s\n    log: %s\n' "$1" "$took" "$(sed 's/^/    /' "$BED/check/$1" | tail -n 24)" "$BED/out/$1/log"
    fi
}

# check [--jobs N] [--all] [CASE…]
bed_check() {
    local jobs=${BED_JOBS:-2} names=() all='' name passed failed start
    if [[ ${1:-} == --jobs ]]; then
        jobs=$2
        shift 2
    fi
    if [[ ${1:-} == --all ]]; then
        all=1
        shift
    fi
    names=("$@")
    if ((${#names[@]} == 0)); then mapfile -t names < <(if [[ $all ]]; then cases_without pending; else cases; fi); fi
    for name in "${names[@]}"; do
        [[ -f $CASES/$name/assert ]] || die "no case $name (there are: $(_all_cases | paste -sd ' '))"
    done
    prepare_cases "${names[@]}"
    rm -rf "$BED/check"
    mkdir -p "$BED/check"
    start=$(now)
    for name in "${names[@]}"; do
        while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
        _one "$name" &
    done
    wait || true
    # Removes the images of earlier runs, which are untagged now.
    b image prune -f >/dev/null 2>&1 || b rmi --prune >/dev/null 2>&1 || true
    passed=$(find "$BED/check" -name '*.result' | wc -l)
    failed=$((${#names[@]} - passed))
    printf '%s cases in %s s\n%s passed, %s failed\n' "${#names[@]}" "$(since "$start")" "$passed" "$failed"
    ((failed == 0))
}

# products [CASE…]: builds the products that these cases (default: those of `bed check`) and the tests need. The
# products do not need the tool, so `make` builds them while cargo compiles.
bed_products() {
    local names=("$@") foreign rc=0
    ((${#names[@]})) || mapfile -t names < <(cases)
    # (bed_foreign mostly waits for the network, and needs no other product)
    bed_foreign >/dev/null &
    foreign=$!
    products_of "${names[@]}"
    bed_corpus >/dev/null
    wait "$foreign" || rc=$?
    return "$rc"
}

# matrix-sid [CASE…]: runs the cases on sid, with dnf5, rpm 6 and the newest dracut; without CASE, also the comparison
# of signatures. sid changes, so `check` does not run these cases.
bed_matrix_sid() {
    local names=("$@")
    if ((${#names[@]} == 0)); then
        bed_base sid
        signature_matrix || return
        mapfile -t names < <(cases_of_sid)
    fi
    bed_check --jobs 1 "${names[@]}" || return
    with_image localhost/bed-sid _versions
}

_versions() {
    local program
    for program in rpm dnf5 dracut ostree; do
        printf '%s: %s\n' "$program" "$(chroot "$1" "$program" --version 2>/dev/null | grep -m 1 -oE '[0-9]+[0-9.-]*[0-9]' | head -n 1)"
    done
}

# image_of CASE: prints the name of a case's image, after building it if it does not exist.
image_of() {
    local case=$1
    b inspect --type image "localhost/case-$case" >/dev/null 2>&1 || bed_build "$case" >&2
    printf 'localhost/case-%s\n' "$case"
}

_copy_initramfs() { cp "$1/usr/lib/modules/$2/initramfs.img" "$3"; }

# boot-matrix: on trixie, bookworm and odd, the replaced image must boot the new kernel; on the first two, it must not
# boot it with the base's initramfs. An image with a first kernel must boot, too.
bed_boot_matrix() {
    local suite rc=0 image old=$BED/old-initramfs
    local -A case_of=([trixie]=layout [bookworm]=dnf [odd]=odd)
    for suite in trixie bookworm odd; do
        [[ ! -e $CASES/${case_of[$suite]}/pending ]] || continue
        image=$(image_of "${case_of[$suite]}")
        printf '%s, replaced: ' "$suite"
        bed_boot "$image" --kver "$(kver_of new)" || rc=1
        # (the boot of odd would fail for want of the same driver)
        [[ $suite != odd ]] || continue
        with_image "localhost/bed-$suite" _copy_initramfs "$(kver_of old)" "$old-$suite.img"
        printf '%s, the new kernel with the old initramfs: ' "$suite"
        bed_boot "$image" --initramfs "$old-$suite.img" --expect fail || rc=1
    done
    # One of the cases that install a first kernel; `boot-shapes` boots the others.
    image=$(image_of first-heredoc)
    printf 'a first kernel, by here-documents: '
    bed_boot "$image" --kver "$(kver_of new)" || rc=1
    return "$rc"
}

# boot-shapes [CASE…]: boots images of cases whose kernels or bases differ from those of boot-matrix.
bed_boot_shapes() {
    local name image rc=0 names=("$@")
    ((${#names[@]})) || mapfile -t names < <(cases_without pending | grep -xE "$BOOTED")
    for name in "${names[@]}"; do
        image=$(image_of "$name") || { rc=1 && continue; }
        printf '%s: ' "$name"
        bed_boot "$image" || rc=1
    done
    return "$rc"
}

_kernels_in() {
    local d
    for d in "$1"/usr/lib/modules/*; do
        printf '    %s  vmlinuz %s, initramfs %s\n' "${d##*/}" \
            "$(stat -c '%s bytes' "$d/vmlinuz" 2>/dev/null || echo none)" \
            "$(stat -c '%s bytes, mode %a' "$d/initramfs.img" 2>/dev/null || echo none)"
    done
}

bed_demo() {
    local start image=localhost/demo log=$LOGS/demo.log ctx=$BED/demo build_time line
    bed_deps
    bed_base trixie
    tool_image
    rm -rf "$ctx"
    mkdir -p "$ctx"
    printf '\n== The Containerfile (tests/container/demo/Containerfile)\n\n'
    sed 's/^/    /' "$HERE/demo/Containerfile"
    printf '\n== Before\n\n'
    with_image localhost/bed-trixie _kernels_in
    printf '\n== The build\n\n'
    start=$(now)
    rc=0
    b bud --isolation chroot --network host --pull-never --no-cache --volume "$RPMS/new:/rpms:ro" \
        -t "$image" -f "$HERE/demo/Containerfile" "$ctx" >"$log" 2>&1 </dev/null || rc=$?
    build_time=$(since "$start")
    # The output of dracut (thousands of lines) is only in the log.
    grep -vE '^dracut(\[[A-Z]\])?:? |^dracut\[|^Creating (group|user) ' "$log" | sed 's/^/    /'
    ((rc == 0)) || die "the build failed with status $rc (log: $log)"
    printf '\n== After\n\n'
    with_image "$image" _kernels_in
    printf '\n== The boot\n\n'
    start=$(now)
    line=$(bed_boot "$image" --kver "$(kver_of new)")
    printf '    %s\n\n== Times: build %s s, disk and boot %s s (full log: %s)\n' "$line" "$build_time" "$(since "$start")" "$log"
}
