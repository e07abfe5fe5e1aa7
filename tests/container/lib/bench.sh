# shellcheck shell=bash
# `bed bench-setup`: prepares the inputs of `make bench` and the programs that it compares with, in target/bed/bench.
# `bed bench-build`: one container build of `make bench`.

BENCH=$BED/bench

# Puts programs that list an initramfs into $BENCH/tools, instead of installing them on the host: builds 3cpio, and
# downloads lsinitrd and lsinitramfs.
_bench_tools() {
    local key deb
    key=$(key_of threecpio-0.14.0 dracut-core initramfs-tools-core)
    if is_fresh bench-tools "$key" && [[ -x $BENCH/tools/bin/3cpio ]]; then
        return 0
    fi
    say "bench: 3cpio, lsinitrd, lsinitramfs"
    rm -rf "$BENCH/tools"
    mkdir -p "$BENCH/tools/deb"
    run_logged bench.log cargo install threecpio --version 0.14.0 --locked --root "$BENCH/tools"
    (cd "$BENCH/tools/deb" && run_logged bench.log apt-get download dracut-core/bookworm-backports initramfs-tools-core)
    for deb in "$BENCH"/tools/deb/*.deb; do
        dpkg-deb -x "$deb" "$BENCH/tools"
    done
    mark_fresh bench-tools "$key"
}

# Copies the base's tree to $BENCH/tree, with an initramfs that has every module and dracut's default compression.
_bench_tree() {
    local tree=$1 k drivers
    k=$(kver_of old)
    drivers=$(sed 's/:.*//; s:.*/::; s/\.ko.*//' "$tree/usr/lib/modules/$k/modules.dep" | paste -sd ' ')
    mkdir -p "$tree/var/tmp"
    run_logged bench.log in_root "$tree" dracut -q --no-hostonly --kver "$k" --reproducible --add ostree \
        --add-drivers "$drivers" --compress 'zstd -15 -T0' -f "/usr/lib/modules/$k/initramfs.img"
    rm -rf "${tree:?}"/{var/tmp,bed/order.log}
    rm -rf "$BENCH/tree"
    [[ -s $tree/usr/lib/modules/$k/initramfs.img ]] && cp -a "$tree" "$BENCH/tree"
}

# _variant NAME: creates the tree NAME, which shares its files with $BENCH/tree (hard links), and unpacks the initramfs
# of $BENCH/tree to $BENCH/work.
_variant() {
    local k
    k=$(kver_of old)
    rm -rf "${BENCH:?}/$1" "$BENCH/work"
    cp -al "$BENCH/tree" "$BENCH/$1"
    mkdir "$BENCH/work"
    zstd -dcq "$BENCH/tree/usr/lib/modules/$k/initramfs.img" | (cd "$BENCH/work" && cpio -idm --quiet)
    # _pack writes another initramfs for the new tree. Writing to this hard link would change $BENCH/tree, too.
    rm "$BENCH/$1/usr/lib/modules/$k/initramfs.img"
}

# _pack NAME: packs $BENCH/work as the initramfs of the tree NAME. The copies that _bench_size makes do not compress
# away, because a copy is further from its original than zstd's window.
_pack() {
    local image
    image=$BENCH/$1/usr/lib/modules/$(kver_of old)/initramfs.img
    (cd "$BENCH/work" && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --reproducible --quiet) |
        zstd -q -9 -T0 -o "$image"
    chmod 0600 "$image"
    rm -rf "$BENCH/work"
}

# _bench_size MB: creates a tree whose initramfs has about this size. A large one has copies of the programs and
# libraries; one of less than 20 MB lacks files of more than 1 MiB and most modules, and does not boot.
_bench_size() {
    local wanted=$(($1 * 1000000)) have file size i=0
    _variant "size-$1"
    if ((wanted < 20000000)); then
        find "$BENCH/work/usr" -type f \( -size +1M -o -path "*/kernel/drivers/*" -o -path "*/kernel/fs/*" -o -path "*/kernel/net/*" \) -exec rm {} +
    fi
    # Programs and libraries compress to a third of their size; the modules are compressed already.
    have=$(find "$BENCH/work" -type f -printf '%s %p\n' | awk '{ sum += $2 ~ /\.ko/ ? $1 : $1 / 3 } END { printf "%d", sum }')
    while ((have < wanted)); do
        i=$((i + 1))
        mkdir -p "$BENCH/work/usr/share/copies/$i"
        while ((have < wanted)) && read -r size file; do
            cp "$file" "$BENCH/work/usr/share/copies/$i/${file##*/}"
            have=$((have + size / 3))
        done < <(find "$BENCH/work/usr" \( -path '*/modules/*' -o -path '*/copies/*' \) -prune -o -type f -printf '%s %p\n' | LC_ALL=C sort -k 2)
    done
    _pack "size-$1"
}

# _bench_modules N: creates a tree whose initramfs has N modules. If N is smaller than the number of the kernel's
# modules, the initramfs has a selection of them; otherwise copies under other names are added, also to the tree.
_bench_modules() {
    local k dep n=$1 i=0 have name copy line dir
    k=$(kver_of old)
    _variant "modules-$n"
    dep=$BENCH/tree/usr/lib/modules/$k/modules.dep
    local inside=$BENCH/work/usr/lib/modules/$k tree=$BENCH/modules-$n/usr/lib/modules/$k
    # A line of modules.dep lists all dependencies of a module.
    awk -v n="$n" '{ sub(":", "", $1); if (count < n) for (i = 1; i <= NF; i++) if (!($i in take)) { take[$i]; count++ } }
        END { for (name in take) print name }' "$dep" | LC_ALL=C sort >"$BENCH/chosen"
    (cd "$inside" && find kernel -name "*.ko*" | LC_ALL=C sort | LC_ALL=C join -v 1 - "$BENCH/chosen" | xargs -r rm)
    have=$(wc -l <"$BENCH/chosen")
    rm "$BENCH/chosen"
    while ((have < n)); do
        i=$((i + 1))
        mkdir -p "$inside/kernel/copies/$i" "$tree/kernel/copies/$i"
        while ((have < n)) && IFS= read -r line; do
            name=${line%%:*}
            copy=kernel/copies/$i/copy${i}_${name##*/}
            ln "$tree/$name" "$tree/$copy"
            cp "$tree/$name" "$inside/$copy"
            have=$((have + 1))
        done <"$dep"
    done
    # verify unpacks a module that is not in modules.order, since it counts as out-of-tree, so the copies are added.
    for dir in "$inside" "$tree"; do
        [[ ! -d $dir/kernel/copies ]] || (cd "$dir" && find kernel/copies -name '*.ko*' | sed 's/[.]ko[.].*/.ko/' | cat modules.order - >order &&
            mv order modules.order)
    done
    run_logged bench.log depmod -b "$BENCH/modules-$n" "$k"
    run_logged bench.log depmod -b "$BENCH/work" "$k"
    _pack "modules-$n"
}

# Packs the new kernel with 200 MB of incompressible data in kernel-modules-extra.
_bench_packages() {
    local dir=$BED/kernels/new k n
    k=$(kver_of new)
    rm -rf "${BENCH:?}/large" "$RPMS/large"
    mkdir -p "$BENCH/large/lists"
    cp -al "$dir/tree" "$BENCH/large/tree"
    cp "$dir"/lists/*.list "$BENCH/large/lists/"
    mkdir "$BENCH/large/tree/lib/modules/$k/large"
    echo "/lib/modules/$k/large" >>"$BENCH/large/lists/modules-extra.list"
    for n in {1..200}; do head -c 1000000 /dev/urandom >"$BENCH/large/tree/lib/modules/$k/large/$n"; done
    pack new "$RPMS/large" x86_64 1 --define "tree $BENCH/large/tree" --define "lists $BENCH/large/lists"
    sign "$RPMS/large"/*.rpm
    rm -rf "$BENCH/large"
}

bed_bench_setup() {
    local key n
    bed_base trixie
    bed_base bookworm
    tool_image
    _bench_tools
    key=$(key_of "$HERE/lib/bench.sh" "$BED/keys/base-trixie")
    if is_fresh bench "$key"; then
        return 0
    fi
    say "bench: the images to look at"
    with_image localhost/bed-trixie _bench_tree
    for n in 10 50 100 300; do _bench_size "$n"; done
    for n in 500 1500 3000 4500; do _bench_modules "$n"; done
    _bench_packages
    mark_fresh bench "$key"
}

# bench-build NAME BASE SETUP COMMAND MEASURE: a build with COMMAND as its RUN line, measured by the program MEASURE, on
# BASE after `setup SETUP`. The measurements, the log, the recorded dracut calls and the initramfs are in
# $BENCH/out/NAME; the image is localhost/bench-NAME.
bed_bench_build() {
    local name=$1 base=$2 setup=$3 command=$4 measure=$5 out=$BENCH/out/$1
    rm -rf "$out"
    mkdir -p "$out/context"
    chmod 0777 "$out"
    cp "$measure" "$out/measure"
    b bud --isolation chroot --network host --pull-never --no-cache --force-rm \
        --volume "$RPMS/new:/rpms:ro" --volume "$RPMS/large:/rpms-large:ro" --volume "$out:/bed" --build-arg "BASE=$base" --build-arg "SETUP=$setup" --build-arg "COMMAND=$command" \
        -t "localhost/bench-$name" -f "$TOP/benches/Containerfile" "$out/context" >"$out/log" 2>&1 </dev/null ||
        die "the build $name failed (log: $out/log)"
}
