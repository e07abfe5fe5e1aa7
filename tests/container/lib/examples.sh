# shellcheck shell=bash
# The recipes of packaging/examples, built from those files: cases/example-*.

EXAMPLES=$TOP/packaging/examples

# recipe DIR BASE [ARG…]: the case builds that recipe on BASE; other arguments are for buildah bud.
recipe() {
    local dir=$EXAMPLES/$1 base=$2
    shift 2
    # shellcheck disable=SC2034  # run_case uses it
    CONTAINERFILE=$dir/Containerfile
    cp -R "$dir/." "$OUT/context/"
    # shellcheck disable=SC2034  # run_case uses it
    extra=(--build-arg "BASE=$base" --build-arg TOOL=localhost/ostree-kernel "$@")
}

# on TAG BASE: an image of BASE changed by the Containerfile on standard input; its context is target/bed/out/CASE/on.
on() {
    mkdir -p "$OUT/on"
    cp "$HERE/examples/bootc" "$OUT/on/"
    { echo "FROM $2" && cat; } >"$OUT/on/Containerfile"
    run_logged "examples.log" b bud --isolation chroot --pull-never --layers -t "$1" -f "$OUT/on/Containerfile" "$OUT/on"
}

# dnf_repository CONTEXT [SET]: serves the set (new) as a repository at SERVER_URL; CONTEXT gets dnf's download plugin and bed.repo, not enabled.
dnf_repository() {
    local deb debs=$BED/dnf-plugins
    if ! compgen -G "$debs/*.deb" >/dev/null; then
        mkdir -p "$debs"
        (cd "$debs" && apt-get download dnf-plugins-core python3-dateutil python3-six) >"$LOGS/dnf-plugins.log" 2>&1
    fi
    mkdir -p "$1/plugins" "$OUT/repo"
    for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$1/plugins"; done
    cp "$RPMS/${2:-new}"/*.rpm "$OUT/repo/"
    createrepo_c --quiet "$OUT/repo"
    serve "$OUT/repo"
    printf '[bed]\nname=bed\nbaseurl=%s\nenabled=0\n' "$SERVER_URL" >"$1/bed.repo"
}
