# shellcheck shell=bash
# `bed node`: stages deployments on a real ostree system with real systemd in QEMU, and reboots it.
#
#   target/bed/node/SUITE/root.img   the disk: the booted deployment, and one commit for each variant in its repository
#   target/bed/node/SUITE/boot.img   a /boot of its own, 180 MB
#   target/bed/node/SUITE/booted     this system, booted once: node.py continues from there

NODE=$TOP/tests/node
NODE_BOOT_MB=180

# Files that no test of the node needs. They are removed, because each file of a deployment that the emulated processor
# checks out takes time.
NODE_DROPPED=(usr/share/{zoneinfo,bash-completion,lintian,perl5,zsh,fish,gnupg,bug,common-licenses,info,python3,doc,man,ca-certificates,polkit-1}
    usr/lib/{python3,python3.*,apt,dpkg,udev/hwdb.d,udev/hwdb.bin,pcrlock.d} usr/lib/x86_64-linux-gnu/{perl*,gconv,ldscripts,sasl2}
    usr/lib/systemd/{user,catalog} usr/etc/{ssl,perl,python3*,apt,alternatives,rc?.d,init.d,pam.d,skel,cron*,dnf,gss} usr/bin/{x86_64-linux-gnu-*,perl*,python*,sq*,gpg*,dnf*})
# Units that only cost time here. For example, mdadm-shutdown runs dracut at each shutdown, which takes 90 s on an
# emulated processor.
NODE_MASKED=(mdadm-shutdown blk-availability dracut-shutdown lvm2-monitor systemd-binfmt systemd-update-utmp fstrim.timer e2scrub_all.timer
    systemd-sysusers lvm2-lvmpolld.socket proc-sys-fs-binfmt_misc.automount systemd-pcrlock.socket ldconfig systemd-journal-catalog-update
    systemd-update-done systemd-hwdb-update logrotate.timer systemd-tmpfiles-clean.timer e2scrub_reap apt-daily.timer man-db.timer getty@tty1
    serial-getty@ttyS0)

# _node_signed VMLINUZ: signs a kernel with the key that the firmware of `node.py table` trusts with Secure Boot.
_node_signed() {
    openssl rsa -in "$SNAKEOIL.key" -passin pass:snakeoil -out "$BED/node/key.pem" 2>/dev/null || return
    while sbattach --remove "$1" >/dev/null 2>&1; do :; done
    sbsign --key "$BED/node/key.pem" --cert "$SNAKEOIL.pem" --output "$1.signed" "$1" >/dev/null 2>&1 || return
    chmod --reference="$1" "$1.signed"
    mv "$1.signed" "$1"
}

# _node_commit MOUNT REPO REF: commits an image's tree as an ostree system with the agent: the
# branch REF-without lacks the initramfs, and the branch REF has it.
_node_commit() {
    local image=$1 repo=$2 ref=$3 w unit
    w=$(mktemp -d "$BED/node/tree.XXXXXX")
    mkdir -p "$w"/{upper,work,tree}
    mount -t overlay overlay -o "lowerdir=$image,upperdir=$w/upper,workdir=$w/work" "$w/tree"
    # shellcheck disable=SC2064
    trap "umount -l '$w/tree' 2>/dev/null || true; rm -rf '$w'" EXIT
    (
        set -e
        cd "$w/tree"
        rm -rf usr/etc var boot run tmp dev proc sys rpms bed sysroot
        mv etc usr/etc
        # shellcheck disable=SC2048,SC2086  # patterns
        rm -rf ${NODE_DROPPED[*]}
        mkdir -p var boot run dev proc sys sysroot/ostree usr/lib/node
        mkdir -m 1777 tmp
        ln -sfn sysroot/ostree ostree
        cp "$NODE/agent" "$NODE/report" usr/lib/node/
        cp "$NODE/node-agent.service" usr/lib/systemd/system/
        rm -f usr/lib/systemd/system/multi-user.target.wants/bed-marker.service usr/lib/bed/ostree-container usr/lib/bed/real/ostree-container
        ln -sf ../node-agent.service usr/lib/systemd/system/multi-user.target.wants/
        for unit in "${NODE_MASKED[@]}"; do
            [[ $unit == *.* ]] || unit+=.service
            ln -sf /dev/null "usr/etc/systemd/system/$unit"
        done
        echo 'LABEL=node-boot /boot ext4 defaults 0 0' >usr/etc/fstab
        echo 00112233445566778899aabbccddeeff >usr/etc/machine-id
        echo node >usr/etc/hostname
        [[ $ref != node/old ]] || _node_signed usr/lib/modules/*/vmlinuz
    ) || return
    mkdir -p "$w/image/usr/lib/modules"
    (cd "$w/tree" && find usr/lib/modules/*/initramfs.img | cpio -pdm --quiet "$w/image") || return
    rm -f "$w"/tree/usr/lib/modules/*/initramfs.img
    ostree --repo="$repo" commit --branch="$ref-without" --tree=dir="$w/tree" >/dev/null || return
    ostree --repo="$repo" commit --branch="$ref" --tree=ref="$ref-without" --tree=dir="$w/image" >/dev/null
}

# The variants that _node_own makes. All others are cases of the corpus.
NODE_OWN=(no-initramfs replaced half-initramfs old-initramfs signed-kernel unsigned-kernel)

# _node_own REPO NAME KVER: commits the new system with a change that needs no case of the corpus.
_node_own() {
    local repo=$1 name=$2 w modules=usr/lib/modules/$3
    local -a commit=(ostree "--repo=$repo" commit "--branch=node/$name")
    case $name in
        no-initramfs) "${commit[@]}" --tree=ref=node/new-without >/dev/null && return ;;
        replaced) "${commit[@]}" --tree=ref=node/new >/dev/null && return ;;
    esac
    w=$(mktemp -d "$BED/node/variant.XXXXXX")
    chmod 755 "$w"
    mkdir -p "$w/$modules"
    case $name in
        half-initramfs)
            ostree --repo="$repo" cat node/new "/$modules/initramfs.img" >"$w/image"
            head -c $(($(stat -c %s "$w/image") / 2)) "$w/image" >"$w/$modules/initramfs.img"
            rm "$w/image"
            ;;
        old-initramfs)
            ostree --repo="$repo" cat node/old "/usr/lib/modules/$(kver_of old)/initramfs.img" >"$w/$modules/initramfs.img"
            ;;
        signed-kernel | unsigned-kernel)
            ostree --repo="$repo" cat node/new "/$modules/vmlinuz" >"$w/$modules/vmlinuz"
            while sbattach --remove "$w/$modules/vmlinuz" >/dev/null 2>&1; do :; done
            [[ $name != signed-kernel ]] || _node_signed "$w/$modules/vmlinuz"
            ;;
    esac
    find "$w" -name initramfs.img -exec chmod 600 {} +
    "${commit[@]}" --tree=ref=node/new --tree=dir="$w" >/dev/null || return
    rm -rf "$w"
}

# _node_variant REPO CASES NAME KVER: commits the new system with the initramfs and the changed files of a case of the
# corpus, or with the change that _node_own makes.
_node_variant() {
    local repo=$1 case=$2/$3 name=$3 w image
    if [[ " ${NODE_OWN[*]} " == *" $name "* ]]; then
        _node_own "$repo" "$name" "$4"
        return
    fi
    [[ ! -s $case/removed ]] || die "node: $name removes files, which this bed cannot do"
    w=$(mktemp -d "$BED/node/variant.XXXXXX")
    image=$w/usr/lib/modules/$4/initramfs.img
    mkdir -p "${image%/*}"
    chmod 755 "$w"
    # The os-release in a case's tree is a placeholder of the corpus; the commit keeps that of the new system.
    if [[ -d $case/tree ]]; then cp -a "$case/tree/." "$w/" && rm -f "$w/usr/lib/os-release"; fi
    if [[ -d $w/etc ]]; then mv "$w/etc" "$w/usr/etc"; fi
    cp "$case/initramfs.img" "$image"
    chmod 600 "$image"
    ostree --repo="$repo" commit --branch="node/$name" --tree=ref=node/new-without --tree=dir="$w" >/dev/null || return
    rm -rf "$w"
}

# _node_names SUITE: prints the names of a suite's variants that have a commit of their own. (The fourth column names
# the commit of another variant.)
_node_names() { awk -F'\t' -v suite="$1" '!/^#/ && $2 == suite && ($4 == "" || $4 == "-") { print $1 }' "$NODE/variants.tsv"; }

# _node_disks SUITE DIR CASES: makes root.img and boot.img in DIR.
_node_disks() {
    local suite=$1 dir=$2 cases=$3 s=$2/sysroot uuid name
    local -A new=([trixie]=layout [bookworm]=dnf)
    uuid=$(cat /proc/sys/kernel/random/uuid)
    mkdir -p "$s"
    ostree admin init-fs "$s"
    ostree admin os-init --sysroot="$s" bed
    ostree --repo="$s/ostree/repo" config set core.fsync false
    with_image "localhost/bed-$suite" _node_commit "$s/ostree/repo" node/old || return
    with_image "$(image_of "${new[$suite]}")" _node_commit "$s/ostree/repo" node/new || return
    for name in $(_node_names "$suite"); do
        _node_variant "$s/ostree/repo" "$cases" "$name" "$(kver_of new)" || return
    done
    mkdir -p "$s/ostree/deploy/bed/var/log/journal"
    ostree admin deploy --sysroot="$s" --os=bed --karg=root=UUID="$uuid" --karg=rw --karg=console=ttyS0 --karg=quiet node/old || return
    mkdir "$dir/boot"
    mv "$s"/boot/* "$dir/boot/"
    rm -f "$dir"/{root,boot}.img
    truncate -s $NODE_BOOT_MB"M" "$dir/boot.img"
    mke2fs -q -t ext4 -L node-boot -m 0 -d "$dir/boot" "$dir/boot.img" || return
    truncate -s $(($(du -sm "$s" | cut -f1) + 800))M "$dir/root.img"
    mke2fs -q -t ext4 -U "$uuid" -m 0 -d "$s" "$dir/root.img" || return
    chattr -R -i "$s" 2>/dev/null || true
    rm -rf "$s" "${dir:?}/boot"
}

# Makes the disks of a suite, with the cases of the corpus that variants.tsv names.
_node_made() { # _node_made SUITE
    local suite=$1 dir=$BED/node/$1 cases=$BED/node/cases key names
    names=$(_node_names "$suite")
    key=$(key_of "$LIB/node.sh" "$NODE/agent" "$NODE/report" "$NODE/node-agent.service" "$names" "$BED/keys/base-$suite")
    if is_fresh "node-$suite" "$key"; then return 0; fi
    say "node: disks of $suite (minutes, once)"
    rm -rf "$dir" "$cases"
    mkdir -p "$dir"
    names=$(grep -vxF "$(printf '%s\n' "${NODE_OWN[@]}")" <<<"$names" | paste -sd ,) || true
    if [[ $names ]]; then
        # (the test calls `bed corpus`, which would wait for the lock of this process if the corpus had to be made)
        bed_corpus >/dev/null
        CORPUS_OUT=$cases CORPUS_CASES=$names run_logged node-cases.log \
            cargo test --locked --manifest-path "$TOP/Cargo.toml" --test it corpus_write -- --ignored
    fi
    (_node_disks "$suite" "$dir" "$cases") >"$LOGS/node-$suite.log" 2>&1 || true
    rm -rf "$cases"
    [[ -s $dir/root.img && -s $dir/boot.img ]] || die "node: the disks of $suite were not made (log: $LOGS/node-$suite.log)"
    mark_fresh "node-$suite" "$key"
}

# node [SUITE] [VERB ARG…]: VERB is `sample` or a verb of node.py; the default is `table`.
bed_node() {
    local suite=trixie product=$BED/node/product key
    if [[ ${1-} == trixie || ${1-} == bookworm ]]; then suite=$1 && shift; fi
    (($#)) || set -- table
    [[ ${1-} != sample ]] || set -- table --only no-init,no-initramfs,trixie-replaced,early-zst
    _node_made "$suite"
    rm -rf "$product"
    mkdir -p "$product/bin"
    strip -o "$BED/node/ostree-kernel" "$TOOL"
    run_logged node-install.log make -C "$TOP" install DESTDIR="$product" OSTREE_KERNEL="$BED/node/ostree-kernel"
    rm -rf "${product:?}"/{bin,usr/share}
    # A saved system with another program or other units is stale.
    key=$(key_of "$BED/node/ostree-kernel" "$TOP/packaging/systemd" "$BED/keys/node-$suite")
    is_fresh "node-installed-$suite" "$key" || rm -rf "$BED/node/$suite"/installed*
    mark_fresh "node-installed-$suite" "$key"
    /usr/bin/python3 -B "$NODE/node.py" --node "$BED/node/$suite" --product "$product" "$@"
}
