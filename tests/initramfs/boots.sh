# shellcheck shell=bash
# `bed boot-corpus`: boots the cases of boots.tsv in QEMU, and compares with the results of `verify`.
#
#   whole     a boot from the disk of a replaced image, with the case's kernel and initramfs, up to the first program of
#             the deployment: BOOT-OK, or not
#   kernel    no disk: the kernel unpacks the whole image and its /init starts, or not

# _case_field NAME COLUMN: prints a field of the list that the corpus has written.
_case_field() {
    awk -F'\t' -v name="$1" -v column="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i }
        NR > 1 && $1 == name { print $at[column] }' "$BOOTS/cases/list.tsv"
}

# _boots_field NAME COLUMN: prints a field of boots.tsv: 2 is the kind of the boot, 3 the reason why the results may
# differ.
_boots_field() { awk -F'\t' -v name="$1" -v column="$2" '$1 == name { print $column }' "$INITRAMFS/boots.tsv"; }

# _corpus_disks: makes hard links to the disks of two replaced images, in a directory that no other command of the bed
# removes.
_corpus_disks() {
    local suite dir
    local -A case_of=([trixie]=layout [bookworm]=dnf)
    lock_bed
    for suite in trixie bookworm; do
        dir=$(make_disk "$(image_of "${case_of[$suite]}")")
        mkdir -p "$BOOTS/disks/$suite"
        ln -f "$dir/disk.img" "$dir/entry.conf" "$dir/vmlinuz" "$dir/initrd" "$BOOTS/disks/$suite/"
    done
}

# _qemu_until REGEX ARG…: runs QEMU until a line of the console matches, QEMU ends, or the time limit is reached.
_qemu_until() {
    local end=$1 pid rc=0
    shift
    : >"$CONSOLE"
    timeout "$LIMIT" qemu-system-x86_64 -accel tcg,thread=multi -M q35 -m 1024 -smp "$SMP" -nographic -no-reboot -nic none "$@" \
        </dev/null >"$CONSOLE" 2>&1 &
    pid=$!
    while kill -0 "$pid" 2>/dev/null && ! grep -qaE "$end" "$CONSOLE"; do sleep 0.2; done
    kill "$pid" 2>/dev/null || true
    wait "$pid" || rc=$?
    ((rc != 124)) || echo "nothing more within $LIMIT s" >>"$CONSOLE"
}

# Prints the console's most informative line about a failure.
_last_word() {
    local lines known
    lines=$(tr -d '\r' <"$CONSOLE" | sed -E 's/\x1b(\[[0-9;?!]*[a-zA-Z]|c)//g; s/^.*\[ *[0-9]+\.[0-9]+\] //' |
        grep -avE '^ *$|terminating on signal')
    known='Initramfs unpacking failed|Failed to execute|Cannot open root device|Kernel panic|Freezing execution'
    known+='|Failed to start|error while loading|Timed out|Boot has failed'
    grep -aE -m 1 "$known" <<<"$lines" || tail -n 1 <<<"$lines"
}

# Checks that the deployment starts.
_boots_whole() {
    local dir=$1 vmlinuz=$2 initrd=$3 append
    append="$(_entry "$dir" options) init=/usr/lib/bed/marker systemd.show_status=error panic=-1 $STEADY"
    append+=" rd.retry=$((LIMIT / 3)) rd.timeout=$((LIMIT / 2)) rd.shell=0 rd.emergency=poweroff"
    _qemu_until '^BOOT-OK |Kernel panic|Boot has failed|Freezing execution|reboot: Power down' -kernel "$vmlinuz" \
        -initrd "$initrd" -append "$append" -drive "file=$dir/disk.img,format=raw,if=virtio,snapshot=on"
    grep -qa '^BOOT-OK .* root=deployment ' "$CONSOLE"
}

# Boots the disk's own initramfs, since the failure of another boot is meaningful only if this one succeeds. Sets LIMIT
# for the other boots, from the time of this boot.
_control() {
    local dir=$BOOTS/disks/trixie start=$SECONDS
    LIMIT=$((2 * ${BED_BOOT_TIMEOUT:-300}))
    CONSOLE=$LOGS/boot-corpus.log
    _boots_whole "$dir" "$dir/vmlinuz" "$dir/initrd" ||
        die "boot-corpus: the replaced image itself does not come up: $(_last_word); is the machine busy? BED_BOOT_TIMEOUT=SECONDS"
    LIMIT=$((4 * (SECONDS - start) + 20))
}

# Checks that the kernel unpacks the image and starts its /init.
_boots_kernel() {
    local vmlinuz=$2 initrd=$3 started='systemd\[1\]: |Loading, please wait' failed='Initramfs unpacking failed'
    _qemu_until "$failed|Failed to execute /init|Kernel panic|$started" -kernel "$vmlinuz" -initrd "$initrd" \
        -append "console=ttyS0 loglevel=7 panic=-1 $STEADY"
    grep -qaE "$started" "$CONSOLE" && ! grep -qa "$failed" "$CONSOLE"
}

# _compare NAME: boots a case, and prints its line of the table, which starts with the result of the comparison.
_compare() {
    local name=$1 how why found kver tree suite=trixie vmlinuz says does is=disagrees start
    local -A ok=([whole]='it boots' [kernel]='the kernel starts it') bad=([whole]='the boot fails' [kernel]='the kernel does not')
    how=$(_boots_field "$name" 2)
    why=$(_boots_field "$name" 3)
    found=$(_case_field "$name" found)
    kver=$(_case_field "$name" kver)
    tree=$(_case_field "$name" 'good tree')
    [[ ${tree##*/} == bookworm-* ]] && suite=bookworm
    for vmlinuz in {"$BOOTS/cases/$name/tree","$tree"}/usr/lib/modules/"$kver"/vmlinuz "$BOOTS/disks/$suite/vmlinuz"; do
        [[ ! -f $vmlinuz ]] || break
    done
    CONSOLE=$LOGS/boot-corpus-$name.log
    start=$(now)
    if "_boots_$how" "$BOOTS/disks/$suite" "$vmlinuz" "$BOOTS/cases/$name/initramfs.img"; then
        does=${ok[$how]}
        [[ $found == - ]] && is=agrees
    else
        does="${bad[$how]} ($(_last_word))"
        [[ $found == - ]] || is=agrees
    fi
    says="rejected ($found)"
    [[ $found == - ]] && says=good
    [[ $is == disagrees && $why ]] && is=explained && does+=", as explained: $why"
    printf '%s\t%s: verify says %s, %s [%s s]\n' "$is" "$name" "$says" "$does" "$(since "$start")"
}

# _tell NAME TABLE: writes the line of a case to the table and to the terminal.
_tell() {
    _compare "$1" | tee -a "$2" | sed -E 's/^(agrees|explained)\t//; s/^disagrees\t/DISAGREES: /'
}

# boot-corpus [--jobs N] [CASE…]
bed_boot_corpus() {
    local jobs=1 names name table disagree
    if [[ ${1-} == --jobs ]]; then
        jobs=$2
        shift 2
    fi
    names=("$@")
    BOOTS=$BED/boots
    SMP=2
    ((${#names[@]})) || mapfile -t names < <(grep -v '^#' "$INITRAMFS/boots.tsv" | cut -f1)
    for name in "${names[@]}"; do
        [[ $(_boots_field "$name" 2) ]] || die "boot-corpus: $INITRAMFS/boots.tsv does not name $name"
    done
    # (in a subshell, which releases the lock when it ends)
    (_corpus_disks) >&2
    rm -rf "$BOOTS/cases"
    CORPUS_OUT=$BOOTS/cases CORPUS_CASES=$(IFS=, && echo "${names[*]}") run_logged corpus-write.log \
        cargo test --locked --manifest-path "$TOP/Cargo.toml" --test it corpus_write -- --ignored
    _control
    # Boots in parallel get one processor and more time each.
    if ((jobs > 1)); then SMP=1 LIMIT=$((2 * LIMIT)); fi
    table=$BOOTS/table
    : >"$table"
    for name in "${names[@]}"; do
        # (sid can be unreachable, and then its cases are missing)
        if [[ ! -e $BOOTS/cases/$name ]]; then say "boot-corpus: $name was not made" && continue; fi
        while (($(jobs -rp | wc -l) >= jobs)); do wait -n; done
        _tell "$name" "$table" &
    done
    wait
    _control
    rm -rf "$BOOTS/cases"
    disagree=$(grep -c '^disagrees' "$table") || true
    printf '%s boots, %s agree, %s explained, %s disagree\n' "$(wc -l <"$table")" "$(grep -c '^agrees' "$table")" \
        "$(grep -c '^explained' "$table")" "$disagree"
    ((disagree == 0))
}
