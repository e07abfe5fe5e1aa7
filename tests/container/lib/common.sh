# shellcheck shell=bash
# Shared by all parts of the bed: paths, messages, logs, hashes of the products' inputs, the lock.

# shellcheck disable=SC2034  # used by the other parts
{
    HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    TOP=$(cd "$HERE/../.." && pwd)
    BED=${BED_DIR:-$TOP/target/bed}
    LOGS=$BED/logs
    STORAGE=$BED/storage
    TOOL=${OSTREE_KERNEL:-$TOP/target/release/ostree-kernel}
    MIRROR=${BED_MIRROR:-http://deb.debian.org/debian}
    SECURITY_MIRROR=${BED_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
}
mkdir -p "$BED" "$LOGS"

say() { printf 'bed: %s\n' "$*" >&2; }
die() {
    printf 'bed: error: %s\n' "$*" >&2
    exit 1
}

# run_logged LOG CMD…: runs CMD, and appends its output to the file LOG in $LOGS. If CMD fails, prints the end of LOG
# and exits.
run_logged() {
    local log=$LOGS/$1 rc=0
    shift
    printf '$ %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null || rc=$?
    if ((rc)); then
        tail -n 30 "$log" >&2
        die "$1 exited with status $rc (log: $log)"
    fi
}

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

# key_of ITEM…: prints one hash of all items. An item is a file (its content), a directory (names and contents of its
# regular files, except those below target/), or else a string.
key_of() {
    local i
    for i in "$@"; do
        if [[ -f $i ]]; then
            sha256sum <"$i"
        elif [[ -d $i ]]; then
            (cd "$i" && find . -type f -not -path '*/target/*' -print0 | sort -z | xargs -0r sha256sum)
        else
            printf '%s\n' "$i"
        fi
    done | sha256sum | cut -c1-16
}

# is_fresh NAME KEY: returns whether the product NAME was built from inputs with the hash KEY. mark_fresh NAME KEY
# records it.
is_fresh() { [[ $(cat "$BED/keys/$1" 2>/dev/null) == "$2" ]]; }
mark_fresh() {
    mkdir -p "$BED/keys"
    printf '%s\n' "$2" >"$BED/keys/$1"
}

# lock_bed: waits for the lock of the bed, and takes it. It is released when this process and the child processes that
# inherit file descriptor 9 have ended.
lock_bed() {
    [[ ! ${BED_IS_LOCKED-} ]] || return 0
    BED_IS_LOCKED=1
    exec 9>"$BED/lock"
    flock -n 9 && return 0
    say "another bed is at work here: waiting for it"
    flock 9
}
