# shellcheck shell=bash
# Functions for the cases example-*, which build the recipes of packaging/examples.

EXAMPLES=$TOP/packaging/examples

# recipe DIR BASE [ARG…]: makes the case build the recipe DIR on BASE, with additional arguments for buildah bud.
recipe() {
    local dir=$EXAMPLES/$1 base=$2
    shift 2
    # shellcheck disable=SC2034  # run_case uses it
    CONTAINERFILE=$dir/Containerfile
    cp -R "$dir/." "$OUT/context/"
    # shellcheck disable=SC2034  # run_case uses it
    extra=(--build-arg "BASE=$base" --build-arg TOOL=localhost/ostree-kernel "$@")
}

# on TAG BASE: builds the image TAG from BASE, with the Containerfile lines on standard input. The build context is
# $OUT/on.
on() {
    mkdir -p "$OUT/on"
    cp "$HERE/examples/bootc" "$OUT/on/"
    { echo "FROM $2" && cat; } >"$OUT/on/Containerfile"
    run_logged "examples.log" b bud --isolation chroot --pull-never --layers -t "$1" -f "$OUT/on/Containerfile" "$OUT/on"
}

# dnf_repository CONTEXT [SET]: serves the RPMs of SET (default: new) as a repository at SERVER_URL. Writes dnf's
# download plugin and bed.repo, with the repository not enabled, to CONTEXT.
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
