# shellcheck shell=bash
# Functions for a case's `assert`. If the condition does not hold, the function prints an error and ends the case.
# Variables:
#   TREE        the tree after the build
#   OUT         the directory mounted at /bed, with `said`, the output of the line under test
#   LOG         the build's log
#   STATUS      the exit status of the line under test, or `timeout`
#   BUILT       empty if the build failed
#   BUILD_TIME  the duration of the build in seconds

fail() {
    printf '%s: %s\n' "$CASE" "$*"
    [[ -s $LOG ]] && { echo "--- the log's end:" && tail -n 15 "$LOG"; }
    exit 1
}

# assert_status N…: the exit status is one of these.
assert_status() { [[ " $* " == *" $STATUS "* ]] || fail "exit status $STATUS, expected $*"; }

assert_built() { [[ $BUILT ]] || fail "the build failed with status $STATUS"; }

# The build failed, so that there is no image.
assert_not_built() { [[ ! $BUILT ]] || fail "the build succeeded"; }

# said REGEX: prints the matching output lines of the RUN line under test, from the file that base/sh has written.
# buildah's output may lack the last lines.
said() { grep -E -- "$1" "$OUT/said" || true; }

assert_log() { [[ $(said "$1") ]] || fail "no line was printed like: $1"; }

assert_no_log() {
    local lines
    lines=$(said "$1")
    [[ -z $lines ]] || fail "was printed: $(head -n 3 <<<"$lines")"
}

# The output has no control characters except tab and newline: neither ASCII's nor U+0080 to U+009F in UTF-8.
assert_plain_log() {
    local lines
    lines=$(LC_ALL=C grep -naP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$OUT/said" | head -n 3 | cat -v) || true
    [[ -z $lines ]] || fail "control characters in the log: $lines"
}

# The tree is unchanged, including all mtimes.
assert_tree_same() {
    [[ $BUILT ]] || fail "no tree to compare: the build failed"
    manifest "$TREE" >"$OUT/manifest.after"
    with_image "$IMAGE:before" manifest >"$OUT/manifest.before"
    cmp -s "$OUT/manifest.before" "$OUT/manifest.after" ||
        fail "the tree has changed: $(diff "$OUT/manifest.before" "$OUT/manifest.after" | head -n 20)"
}

# usr/lib/modules has exactly one kernel, the new one (or $1), with its vmlinuz. One kernel-core (or $2) is installed,
# and provides that kernel.
assert_one_kernel() {
    local want=${1:-$(kver_of new)} core=${2:-kernel-core} have
    # (the base `odd` also has keys, kabi-rhel90 and kabi-current there, which belong to no kernel)
    have=$(find "$TREE/usr/lib/modules" -mindepth 1 -maxdepth 1 ! -name keys ! -name 'kabi-*' -printf '%f\n' | sort | paste -sd ' ')
    [[ $have == "$want" ]] || fail "usr/lib/modules has '$have', expected '$want'"
    [[ -f $TREE/usr/lib/modules/$want/vmlinuz && ! -L $TREE/usr/lib/modules/$want/vmlinuz ]] || fail "no vmlinuz for $want"
    # (--whatprovides 'NAME = VERSION' finds nothing where the version has two dashes.)
    chroot "$TREE" /usr/lib/bed/real/rpm -q --provides "$core" | grep -xF >/dev/null "kernel-uname-r = $want" ||
        fail "$core in the rpmdb does not provide kernel-uname-r = $want"
    [[ $(chroot "$TREE" /usr/lib/bed/real/rpm -q "$core" | wc -l) == 1 ]] || fail "more than one $core in the rpmdb"
}

# The initramfs exists, has mode 0600, and contains ostree-prepare-root and modules of this kernel only. The tree has
# the kernel's modules.dep.
assert_initramfs() {
    local k=${1:-$(kver_of new)} img d
    img=$TREE/usr/lib/modules/$k/initramfs.img
    [[ -f $img && -s $img ]] || fail "no initramfs for $k"
    [[ $(stat -c '%a %U:%G' "$img") == '600 root:root' ]] || fail "initramfs: $(stat -c '%a %U:%G' "$img"), expected 600 root:root"
    d=$OUT/initramfs
    rm -rf "$d"
    mkdir -p "$d"
    chroot "$TREE" /usr/bin/lsinitrd "/usr/lib/modules/$k/initramfs.img" >"$OUT/lsinitrd" 2>"$OUT/lsinitrd.err" || true
    grep -q 'usr/lib/ostree/ostree-prepare-root$' "$OUT/lsinitrd" || fail "initramfs without ostree-prepare-root"
    [[ $(grep -oE 'usr/lib/modules/[^/ ]+' "$OUT/lsinitrd" | grep -v '/keys$' | sort -u) == "usr/lib/modules/$k" ]] ||
        fail "initramfs has modules of: $(grep -oE 'usr/lib/modules/[^/ ]+' "$OUT/lsinitrd" | sort -u | paste -sd ' ')"
    [[ -s $TREE/usr/lib/modules/$k/modules.dep ]] || fail "no modules.dep for $k"
}

# The run left nothing in /boot, /tmp and /var/tmp, no saved programs or files of rpm-ostree's wrappers, and no
# temporary files in /usr/lib/modules.
assert_clean() {
    local left
    left=$(find "$TREE/boot" "$TREE/tmp" "$TREE/var/tmp" -mindepth 1 2>/dev/null
        find "$TREE/usr" -xdev \( -name '*.rpmostreesave' -o -name 'systemctl.backup' \) 2>/dev/null
        find "$TREE/usr/libexec/rpm-ostree" -mindepth 1 -type f 2>/dev/null
        find "$TREE/usr/lib/modules" -name '.*.img*' -o -name '*.tmp' 2>/dev/null) || true
    [[ -z $left ]] || fail "left behind: $(head -n 10 <<<"${left//$TREE/}" | paste -sd ' ')"
}

report() { printf '%s/usr/share/ostree-kernel/report.json' "$TREE"; }

assert_report() {
    [[ -s $(report) ]] || fail "no report in the image"
    jq -e "$1" "$(report)" >/dev/null || fail "the report does not hold: $1 ($(jq -c . "$(report)" | cut -c1-600))"
}

# assert_order PREFIX…: order.log has calls that begin with these prefixes, in this order. Other calls may be between
# them.
assert_order() {
    local want line
    local -a lines
    mapfile -t lines <"$OUT/order.log"
    local i=0
    for want in "$@"; do
        while :; do
            ((i < ${#lines[@]})) || fail "no '$want' in this order: $* (order.log: $(cut -c1-70 "$OUT/order.log" | paste -sd '|'))"
            line=${lines[i]}
            i=$((i + 1))
            [[ $line == "$want"* ]] && break
        done
    done
}

# assert_ran N PREFIX: order.log has exactly N calls that begin with PREFIX.
assert_ran() {
    local n
    n=$(awk -v p="$2" 'index($0, p) == 1' "$OUT/order.log" | wc -l)
    [[ $n == "$1" ]] || fail "'$2' ran $n times, expected $1 (order.log: $(cut -c1-70 "$OUT/order.log" | paste -sd '|'))"
}

assert_file() { [[ -e $TREE/$1 || -L $TREE/$1 ]] || fail "no /$1"; }
assert_no_file() { [[ ! -e $TREE/$1 && ! -L $TREE/$1 ]] || fail "/$1 is there"; }

# assert_refused REGEX: status 3, the reason in the log, and no change.
assert_refused() {
    assert_status 3
    assert_log "$1"
    assert_ran 0 dracut
    assert_ran 0 'rpm-ostree override'
    assert_ran 0 'rpm '
    assert_tree_same
}

# assert_installed NAME…: the packages in the rpmdb whose names begin with kernel or kmod are exactly these, sorted.
assert_installed() {
    local have
    have=$(chroot "$TREE" /usr/lib/bed/real/rpm -qa --qf '%{NAME}\n' | grep -E '^k(ernel|mod)' | LC_ALL=C sort | paste -sd ' ')
    [[ $have == "$*" ]] || fail "the rpmdb has '$have', expected '$*'"
}

# assert_replaced BACKEND [CORE [PACKAGES]]: all conditions of a successful `replace`. BACKEND is rpm-ostree, dnf or
# dnf5. The package CORE (kernel-core) owns vmlinuz. PACKAGES (5) is the number of new packages.
assert_replaced() {
    local k core=${2:-kernel-core} packages=${3:-5}
    k=$(kver_of new)
    assert_built
    assert_status 0
    assert_one_kernel "$k" "$core"
    assert_initramfs "$k"
    assert_clean
    case $1 in
        rpm-ostree) assert_order 'rpm-ostree override replace' "depmod -a" 'dracut ' 'rpm-ostree cleanup -m' 'ostree-container container commit' ;;
        dnf | dnf5) assert_order "$1 " 'depmod -a' 'dracut ' ;;
    esac
    assert_ran 1 'dracut '
    assert_plain_log
    assert_report ".schema == 1 and .command == \"replace\" and .outcome == \"committed\""
    assert_report ".host.backend == \"$1\""
    assert_report ".kernel.before.kver == \"$(kver_of old)\" and .kernel.after.kver == \"$k\""
    assert_report ".kernel.after.vmlinuz_sha256 == \"$(sha256sum <"$TREE/usr/lib/modules/$k/vmlinuz" | cut -d' ' -f1)\""
    assert_report ".kernel.after.initramfs_sha256 == \"$(sha256sum <"$TREE/usr/lib/modules/$k/initramfs.img" | cut -d' ' -f1)\""
    assert_report ".kernel.after.initramfs_size == $(stat -c %s "$TREE/usr/lib/modules/$k/initramfs.img")"
    assert_report ".packages | length == $packages"
    assert_report ".labels[\"ostree.linux\"] == \"$k\""
}

# The run ended before the commit: the new kernel has no initramfs, and there is no report.
assert_not_committed() {
    assert_ran 0 'ostree-container container commit'
    assert_ran 0 'rpm-ostree cleanup'
    assert_no_file "usr/lib/modules/$(kver_of new)/initramfs.img"
    assert_no_file usr/share/ostree-kernel/report.json
}

# _same_kernel DIR: prints every name in a kernel's directory with its properties except times, and the files' digests.
_same_kernel() {
    (
        cd "$1" || exit
        find . -printf '%p %y %m %U:%G %l\n' | LC_ALL=C sort
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
    )
}

# assert_as_replaced [CORE]: the new kernel is the only one, dracut ran once, and the kernel's directory equals the one
# that `replace` has made, of which the Containerfile keeps a copy in usr/share/bed-replaced.
assert_as_replaced() {
    local k
    k=$(kver_of new)
    assert_one_kernel "$k" "${1:-kernel-core}"
    assert_initramfs "$k"
    assert_ran 1 'dracut '
    _same_kernel "$TREE/usr/share/bed-replaced/$k" >"$OUT/kernel.replaced"
    _same_kernel "$TREE/usr/lib/modules/$k" >"$OUT/kernel.here"
    cmp -s "$OUT/kernel.replaced" "$OUT/kernel.here" ||
        fail "not what replace makes: $(diff "$OUT/kernel.replaced" "$OUT/kernel.here" | head -n 20)"
}
