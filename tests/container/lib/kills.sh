# shellcheck shell=bash
# `bed kills`: the real `replace`, killed at many times, killed between the end of rpm's transaction and rpm-ostree's
# undo of its wrappers, and on disks that are too small. Then it runs again on the remaining tree. The second run must
# create the tree of an undisturbed run, or exit with status 3 and the advice to build the layer again.

KILLS=$BED/kills

# Makes the directory that _fresh adds to the base: the tool, and a configuration of dracut without compression.
# Compression takes most of a run's time and does not matter here.
_kills_add() {
    mkdir -p "$KILLS/add/usr/bin" "$KILLS/add/usr/lib/dracut/dracut.conf.d"
    cp "$TOOL" "$KILLS/add/usr/bin/ostree-kernel"
    echo 'compress="cat"' >"$KILLS/add/usr/lib/dracut/dracut.conf.d/90-kills.conf"
}

# _fresh BASE [SIZE]: mounts a new tree of BASE at $KILLS/tree. Changes are written to a tmpfs of SIZE (default: 4G).
_fresh() {
    _gone
    mkdir -p "$KILLS"/{disk,tree}
    mount -t tmpfs -o "size=${2:-4G}" tmpfs "$KILLS/disk"
    mkdir "$KILLS"/disk/{upper,work}
    mount -t overlay overlay -o "lowerdir=$KILLS/add:$1,upperdir=$KILLS/disk/upper,workdir=$KILLS/disk/work" "$KILLS/tree"
}

_gone() {
    local m
    for m in tree disk; do
        if mountpoint -q "$KILLS/$m"; then umount "$KILLS/$m" || umount -l "$KILLS/$m"; fi
    done
}

# _replace LOG [SECONDS]: runs the line under test in the tree, in separate PID and mount namespaces. After SECONDS, all
# of its processes are killed at once. Returns the status of the line, or 137 if it was killed.
_replace() {
    local log=$1 rc=0
    # shellcheck disable=SC2016
    timeout --foreground -s KILL "${2:-600}" unshare --mount --pid --fork --kill-child bash -euc 'r=$1; rpms=$2; shift 2
        mount --make-rprivate /
        mount -t proc proc "$r/proc"; mount -t sysfs -o ro sysfs "$r/sys"; mount --rbind /dev "$r/dev"
        mount --bind "$rpms" "$r/rpms"
        exec env -i container=oci PATH=/usr/sbin:/usr/bin chroot "$r" ostree-kernel replace /rpms' \
        - "$KILLS/tree" "$RPMS/new" >"$log" 2>&1 </dev/null || rc=$?
    # Waits for the killed processes, which need a moment to end.
    while find /proc/[0-9]*/root -prune -lname "$KILLS/tree*" 2>/dev/null | grep -q .; do sleep 0.1; done
    return "$rc"
}

# _replace_in_window LOG: runs the line, and kills it between the end of rpm's transaction and rpm-ostree's undo of its
# wrappers. Returns 137.
_replace_in_window() {
    local tree=$KILLS/tree conf=$KILLS/tree/usr/lib/rpm-ostree-standin.conf rc=0 i
    [[ ! -e $conf ]] || die "kills: the base has switches of the stand-in"
    echo WINDOW=5 >"$conf"
    _replace "$1" &
    for ((i = 0; i < 3000; i++)); do
        if [[ -e $tree/usr/bin/systemctl.rpmostreesave && ! -e $tree/usr/lib/modules/$(kver_of old)/vmlinuz ]]; then break; fi
        sleep 0.1
    done
    # After two seconds, the %posttrans scripts have ended, and the five seconds of WINDOW have not.
    sleep 2
    # Kills unshare, the child of timeout. With --kill-child, all processes of the PID namespace die, too.
    pkill -KILL --parent "$(pgrep --parent $! -x timeout)" || true
    wait $! || rc=$?
    rm -f "$conf"
    return "$rc"
}

# _where LOG: prints the step that was running when the log ended.
_where() {
    local last
    last=$(grep -oE '^(survey|resolve|transact|locate|clean|generate|verify|commit) ' "$1" | tail -n 1) || true
    case ${last% } in
        '') echo survey ;;
        survey) echo resolve ;;
        resolve) grep -q '^\$ ' "$1" && echo transact || echo plan ;;
        transact) echo locate ;;
        locate) echo clean ;;
        clean) echo generate ;;
        generate) echo verify ;;
        *) echo commit ;;
    esac
}

# _again WHAT: runs the line again, on the remaining tree. Prints one line of the table.
_again() {
    local rc=0 what
    _replace "$KILLS/again.log" || rc=$?
    case $rc in
        0)
            contents "$KILLS/tree" >"$KILLS/found"
            cmp -s "$KILLS/wanted" "$KILLS/found" || {
                diff "$KILLS/wanted" "$KILLS/found" | head -n 20
                die "kills: $1: another tree"
            }
            what='the same tree'
            same=$((same + 1))
            ;;
        3)
            grep -qE '^error: .*uild the layer again' "$KILLS/again.log" || rc=
            what="refused: $(grep -oE 'the kernel .* is incomplete.*|packages of a kernel without a vmlinuz.*|no directory.*vmlinuz|holds [0-9] kernels' "$KILLS/again.log" | cut -c1-60)"
            refused=$((refused + 1))
            ;;
    esac
    [[ $rc == [03] ]] || {
        tail -n 20 "$KILLS/again.log" >&2
        die "kills: $1: the next run ended with $rc (log: $KILLS/again.log)"
    }
    printf '%-44s then %s\n' "$1" "$what"
}

# _not_half WHAT: fails if the path of the new initramfs has a partial file.
_not_half() {
    local img
    img=$KILLS/tree/usr/lib/modules/$(kver_of new)/initramfs.img
    # An empty file is allowed: the script that replaces dracut during the transaction (SHIM in src/site/hold.rs)
    # creates it in an inner dracut run, and no run uses it as an initramfs.
    [[ ! -s $img ]] || cmp -s "$img" "$KILLS/initramfs.img" || die "kills: $1: half an initramfs is in place"
}

_kills() {
    local base=$1 count=$2 sizes=$3 windows=$4 i rc took start from to moment peak size same=0 refused=0
    trap _gone EXIT
    rm -rf "$KILLS"
    mkdir -p "$KILLS"
    _kills_add
    _fresh "$base"
    start=$(now)
    _replace "$KILLS/undisturbed.log" &
    peak=0
    while kill -0 $! 2>/dev/null; do
        i=$(df --output=used -k "$KILLS/disk" | tail -n 1)
        peak=$((i > peak ? i : peak))
        sleep 0.1
    done
    wait $! || die "kills: the undisturbed run failed (log: $KILLS/undisturbed.log)"
    took=$(since "$start")
    contents "$KILLS/tree" >"$KILLS/wanted"
    cp "$KILLS/tree/usr/lib/modules/$(kver_of new)/initramfs.img" "$KILLS/"
    # The time of the transaction, from the durations of the steps.
    from=$(awk '/^(survey|resolve) / { s += $2 } END { print s + 0.1 }' "$KILLS/undisturbed.log")
    to=$(awk '/^(survey|resolve|transact) / { s += $2 } END { print s }' "$KILLS/undisturbed.log")
    printf 'undisturbed: %s s, the transaction from %s to %s s, %s MiB written\n' "$took" "$from" "$to" $((peak / 1024))
    for ((i = 0; i < count; i++)); do
        # Half of the kills are during the transaction, the others at any time.
        moment=$(awk -v i="$i" -v n="$count" -v t="$took" -v from="$from" -v to="$to" 'BEGIN {
            print (i % 2) ? from + (to - from) * i / n : t * (i + 0.5) / n }')
        while :; do
            _fresh "$base"
            rc=0
            _replace "$KILLS/killed.log" "$moment" || rc=$?
            ((rc == 137)) && break
            ((rc == 0)) || die "kills: the run ended with $rc before it was killed after $moment s (log: $KILLS/killed.log)"
            # The run ended before its kill: the machine had more load when `took` was measured.
            moment=$(awk -v m="$moment" 'BEGIN { print m * 0.7 }')
        done
        _not_half "killed after $moment s"
        _again "killed after $moment s, in $(_where "$KILLS/killed.log")"
    done
    for ((i = 0; i < windows; i++)); do
        _fresh "$base"
        rc=0
        _replace_in_window "$KILLS/killed.log" || rc=$?
        ((rc == 137)) || die "kills: the run ended with $rc, expected 137 (log: $KILLS/killed.log)"
        [[ -e $KILLS/tree/usr/sbin/sss_cache.rpmostreesave ]] || die "kills: the kill missed the window before rpm-ostree's undo"
        _not_half "killed before rpm-ostree's undo"
        _again "killed before rpm-ostree's undo"
    done
    printf '%s kills: %s came to the same tree, %s refused\n' $((count + windows)) "$same" "$refused"
    ((sizes)) || return 0
    same=0 refused=0
    for ((i = 1; i <= sizes; i++)); do
        size=$((peak * i / (sizes + 1)))
        _fresh "$base" "${size}k"
        rc=0
        _replace "$KILLS/full.log" || rc=$?
        if [[ $rc != 1 ]] || ! grep -qE 'No space left on device|more space on the' "$KILLS/full.log"; then
            die "kills: a disk of $size KiB ended with $rc, expected status 1 and a message about space (log: $KILLS/full.log)"
        fi
        _not_half "a disk of $size KiB"
        mount -o remount,size=4G "$KILLS/disk"
        _again "a disk of $((size / 1024)) MiB, full in $(_where "$KILLS/full.log")"
    done
    printf '%s full disks: %s came to the same tree, %s refused\n' "$sizes" "$same" "$refused"
}

# kills [N [M [W]]]: N kills, M disks that are too small, and W kills before rpm-ostree's undo.
bed_kills() {
    bed_base trixie
    with_image localhost/bed-trixie _kills "${1:-12}" "${2:-7}" "${3:-2}"
}
