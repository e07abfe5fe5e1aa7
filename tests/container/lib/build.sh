# shellcheck shell=bash
# `bed build CASE`: a container build from the case's Containerfile, and the case's assertions on its result.

CASES=$HERE/cases
# The time limit of a build in seconds. A build that takes longer is killed, and its status is `timeout`.
BUILD_TIMEOUT=${BED_BUILD_TIMEOUT:-300}

# Builds the image of the tool, for COPY --from=localhost/ostree-kernel / /
tool_image() {
    [[ -x $TOOL ]] || die "no tool at $TOOL (build it, or set OSTREE_KERNEL)"
    local key c m
    key=$(key_of "$TOOL")
    if is_fresh tool "$key" && b inspect --type image localhost/ostree-kernel >/dev/null 2>&1; then
        return 0
    fi
    c=$(b from scratch)
    m=$(b mount "$c")
    mkdir -p "$m/usr/bin"
    # (a debug build with line tables has 90 MB, and each case copies the program)
    strip -o "$m/usr/bin/ostree-kernel" "$TOOL"
    chmod 0755 "$m/usr/bin/ostree-kernel"
    mkdir -p "$m/usr/libexec/libostree/ext"
    ln -s ../../../bin/ostree-kernel "$m/usr/libexec/libostree/ext/ostree-kernel"
    touch -h -d @1700000000 "$m/usr/libexec/libostree/ext/ostree-kernel"
    b umount "$c" >/dev/null
    b commit -q --rm "$c" localhost/ostree-kernel >"$LOGS/tool.log" 2>&1
    mark_fresh tool "$key"
}

# manifest TREE [TIMES]: prints every name with its properties (with times unless TIMES is empty), and the files'
# digests. Left out are the mount points /rpms and /bed of the build, /dev, /proc, /sys and /run, and the cache
# directory of ostree-kernel with the line of its parent /var/cache: a run that ends with status 3 may change them.
manifest() {
    local tree=$1 times=${2-%T@ }
    (
        cd "$tree" || exit
        local skip=(-path ./run -o -path ./dev -o -path ./proc -o -path ./sys -o -path ./rpms -o -path ./bed
            -o -path ./var/cache/ostree-kernel)
        find . \( "${skip[@]}" \) -prune -o ! -path . ! -path ./var/cache -printf '%p\t%y %m %U:%G '"$times"'%l' \( -type f -printf ' %s\n' -o -printf '\n' \) |
            LC_ALL=C sort
        find . \( "${skip[@]}" \) -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r -P2 -n 500 sha256sum | LC_ALL=C sort -k 2
    )
}

# contents TREE: prints the properties that must be equal after two equal builds: all except times, logs and the rpmdb.
# Of the rpmdb, only the packages and their file states are printed.
contents() {
    manifest "$1" '' | grep -vE '(^|  )\./(usr/share/rpm|var/log)/'
    chroot "$1" /usr/lib/bed/real/rpm -qa --qf '%{NEVRA} %{SHA256HEADER}\n[%{=NEVRA} %{FILENAMES} %{FILESTATES}\n]' | LC_ALL=C sort
}

# plug_in: copies the plug-in for kernel-install into the build context.
plug_in() { cp "$TOP/packaging/kernel-install/04-ostree-kernel.install" "$OUT/context/"; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# up PORT: waits up to 5 seconds until a server listens on the port.
up() {
    for _ in {1..50}; do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        sleep 0.1
    done
    die "the server on port $1 did not come up"
}

# serve DIR: starts an http server on 127.0.0.1 for the duration of the case; sets SERVER_URL.
serve() {
    local port
    port=$(free_port)
    python3 -m http.server --bind 127.0.0.1 --directory "$1" "$port" >"$OUT/server.log" 2>&1 </dev/null 9>&- &
    SERVERS+=("$!")
    # shellcheck disable=SC2034  # cases use it
    SERVER_URL=http://127.0.0.1:$port
    up "$port"
}

stop_servers() {
    ((${#SERVERS[@]})) || return 0
    kill "${SERVERS[@]}" 2>/dev/null || true
    wait "${SERVERS[@]}" 2>/dev/null || true
    SERVERS=()
}

_bud() { # _bud TAG LOG ARG…
    local tag=$1 log=$2
    shift 2
    # --layers: the stage before the line under test is built once and kept for the comparison.
    # --format docker: OCI images have no SHELL.
    timeout "$BUILD_TIMEOUT" buildah --root "$STORAGE/root" --runroot "$STORAGE/run" --storage-driver overlay \
        bud --format docker --isolation chroot --network host --pull-never --layers "${caching[@]}" --force-rm \
        "${volumes[@]}" --volume "$OUT:/bed" "${extra[@]}" "$@" -t "$tag" \
        -f "$OUT/Containerfile" "$OUT/context" >>"$log" 2>&1 </dev/null
}

# Prints the Containerfile with the bed's shell (base/sh) in its last stage, and without here-documents.
_with_shell() {
    /usr/bin/python3 "$HERE/lib/heredoc.py" /usr/lib/bed/sh <"$1" | awk '{ line[NR] = $0 } toupper($1) == "FROM" { last = NR }
        END { for (i = 1; i <= NR; i++) { print line[i]; if (i == last) print "SHELL [\"/usr/lib/bed/sh\", \"-c\"]" } }'
}

# run_case CASE: builds a case, and runs its assertions. The case's `args` can set (with these defaults):
#   rpms=new      the set of RPMs mounted at /rpms     extra=()   more arguments for buildah bud
#   before, after functions that run on the host before and after the build
# `args` can also call `recipe DIR BASE` (examples.sh).
run_case() {
    local start rc=0
    CASE=$1
    CONTAINERFILE=$CASES/$CASE/Containerfile
    [[ -f $CASES/$CASE/assert ]] || die "no case $CASE in $CASES"
    OUT=$BED/out/$CASE
    IMAGE=localhost/case-$CASE
    LOG=$OUT/log
    rm -rf "$OUT"
    mkdir -p "$OUT/context"
    chmod 0777 "$OUT"
    rpms=new extra=() SERVERS=()
    before() { :; }
    after() { :; }
    if [[ -f $CASES/$CASE/args ]]; then
        # shellcheck source=/dev/null
        . "$CASES/$CASE/args"
    fi
    trap stop_servers EXIT
    before
    # shellcheck disable=SC2153
    RPM_SET=$RPMS/$rpms
    volumes=(--volume "$RPM_SET:/rpms:ro") caching=()
    if [[ $CONTAINERFILE != "$CASES"/* ]]; then
        # A recipe is built unchanged, with the RPMs in its context. It has no BED_RUN, so --no-cache is needed.
        volumes=() caching=(--no-cache)
        mkdir "$OUT/context/rpms"
        find "$RPM_SET" -name '*.rpm' -exec ln -t "$OUT/context/rpms" {} +
    fi
    _with_shell "$CONTAINERFILE" >"$OUT/Containerfile"
    # The stage before the line under test is tagged, so that its tree can be compared. (Recipes have no stage `base`.)
    if [[ ${#volumes[@]} != 0 ]] && ! _bud "$IMAGE:before" "$OUT/log.before" --target base; then
        tail -n 15 "$OUT/log.before"
        echo "the base stage of the case does not build (log: $OUT/log.before)"
        return 1
    fi
    rm -f "$OUT/order.log" "$OUT/status" "$OUT/said"
    start=$(now)
    # A new value of BED_RUN prevents the use of the build cache, because the line under test has effects outside of the
    # tree.
    _bud "$IMAGE" "$LOG" --build-arg "BED_RUN=$(now)" || rc=$?
    # shellcheck disable=SC2034  # asserts use it
    BUILD_TIME=$(since "$start")
    STATUS=$rc
    BUILT=1
    if ((rc)); then
        BUILT=
        # buildah prints the status of the failed program.
        STATUS=$(sed -nE 's/.*exit status ([0-9]+)$/\1/p' "$LOG" | tail -n 1)
        STATUS=${STATUS:-$rc}
        if awk -v t="$BUILD_TIME" -v m="$BUILD_TIMEOUT" 'BEGIN { exit !(t >= m) }'; then STATUS=timeout; fi
    fi
    [[ -f $OUT/status ]] && STATUS=$(<"$OUT/status")
    after
    stop_servers
    touch "$OUT/order.log" "$OUT/said"
    if [[ $BUILT ]]; then
        with_image "$IMAGE" _assert
    else
        # shellcheck disable=SC2034  # asserts use it
        TREE=/nonexistent
        # shellcheck source=/dev/null
        . "$CASES/$CASE/assert"
    fi
}

_assert() {
    # shellcheck disable=SC2034  # asserts use it
    TREE=$1
    # shellcheck source=/dev/null
    . "$CASES/$CASE/assert"
}

bed_build() {
    local case=${1:-} rc=0 start
    [[ $case ]] || die "build CASE: one of: $(cases | paste -sd ' ')"
    prepare_cases "$case"
    start=$(now)
    (run_case "$case") || rc=$?
    if ((rc)); then
        say "FAIL $case $(since "$start")s (log: $BED/out/$case/log)"
        return 1
    fi
    say "ok $case $(since "$start")s"
}

_all_cases() { find "$CASES" -mindepth 2 -maxdepth 2 -name assert -printf '%h\n' | sed 's:.*/::' | LC_ALL=C sort; }

# The cases of `make check`. The file `pending` says why a case cannot pass yet; `long` says which other case covers it.
cases() { cases_without pending long; }
# cases_without REASON…: prints the cases that have no file of these names. Left out are the cases on sid, because sid
# changes, and those of the static program, because it takes minutes to build.
cases_without() {
    local name reason
    _all_cases | grep -vE '^(sid|static)-' | while read -r name; do
        for reason; do [[ ! -e $CASES/$name/$reason ]] || continue 2; done
        echo "$name"
    done
}
cases_of_sid() { _all_cases | grep '^sid-'; }

# _files_of CASE…: prints the files that declare the inputs of a case.
_files_of() {
    local files=("${@/#/$CASES/}")
    printf '%s\n' "${files[@]/%//Containerfile}" "${files[@]/%//args}"
}

# products_of CASE…: builds the RPM sets and base images that these cases use.
products_of() {
    local suite files
    mapfile -t files < <(_files_of "$@")
    bed_sets
    for suite in "${SUITES[@]}"; do
        if grep -qs "localhost/bed-$suite" "${files[@]}"; then bed_base "$suite"; fi
    done
    if grep -qs 'shapes/' "${files[@]}"; then bed_shapes; fi
    if grep -qs 'shapes/full' "${files[@]}"; then full_kernel; fi
}

# prepare_cases CASE…: builds all that these cases use: RPM sets, base images, and the images of the tool.
prepare_cases() {
    local files
    mapfile -t files < <(_files_of "$@")
    products_of "$@"
    if grep -qsE 'localhost/ostree-kernel|^recipe ' "${files[@]}"; then tool_image; fi
    if grep -qs localhost/ostree-kernel-static "${files[@]}"; then static_image; fi
}
