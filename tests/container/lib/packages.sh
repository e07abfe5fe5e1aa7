# shellcheck shell=bash
# The tool as an RPM.

# rpm_package FILE: $RPM, or an RPM of the tool under test by the same spec.
rpm_package() {
    if [[ ${RPM:-} ]]; then
        cp "$RPM" "$1"
        return 0
    fi
    (cd "$TOP" && run_logged rpm.log rpmbuild -bb --build-in-place --nodeps --quiet --define "prebuilt $TOOL" \
        --define "_topdir $OUT/rpmbuild" --define "_rpmdir ${1%/*}" --define "_rpmfilename ${1##*/}" packaging/ostree-kernel.spec)
}
