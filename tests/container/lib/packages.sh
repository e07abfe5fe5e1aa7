# shellcheck shell=bash
# The tool as users install it: the static program in its own image, and the RPM.

STATIC=${OSTREE_KERNEL_STATIC:-$TOP/target/x86_64-unknown-linux-musl/dist/ostree-kernel}

# Builds packaging/Containerfile as the image localhost/ostree-kernel-static.
static_image() {
    [[ -x $STATIC ]] || die "no static program at $STATIC (make static)"
    local key
    key=$(key_of "$STATIC" "$TOP/packaging/Containerfile")
    if is_fresh static "$key" && b inspect --type image localhost/ostree-kernel-static >/dev/null 2>&1; then
        return 0
    fi
    run_logged static.log b bud --isolation chroot -f "$TOP/packaging/Containerfile" -t localhost/ostree-kernel-static \
        "$(dirname "$STATIC")"
    mark_fresh static "$key"
}

# The static program needs no file of the target image, and has at most 10 MB.
assert_static() {
    local size
    size=$(stat -c %s "$STATIC")
    ((size <= 10000000)) || fail "the static program has $size bytes, expected at most 10000000"
    ! readelf -lW "$STATIC" | grep -q INTERP || fail "the static program has an interpreter"
    ! readelf -dW "$STATIC" | grep -q NEEDED || fail "the static program needs libraries"
    ! readelf -SW "$STATIC" | grep -q symtab || fail "the static program is not stripped"
    # glibc's getaddrinfo(3) reads gai.conf and loads NSS modules (nsswitch.conf(5)); a static program that loads them
    # can crash.
    ! grep -qaE 'gai\.conf|libnss_' "$STATIC" || fail "the static program resolves names with glibc"
}

# rpm_package FILE: writes an RPM to FILE: a copy of $RPM if that is set, otherwise the tool under test, packed with the
# same spec.
rpm_package() {
    if [[ ${RPM:-} ]]; then
        cp "$RPM" "$1"
        return 0
    fi
    (cd "$TOP" && run_logged rpm.log rpmbuild -bb --build-in-place --nodeps --quiet --define "prebuilt $TOOL" \
        --define "_topdir $OUT/rpmbuild" --define "_rpmdir ${1%/*}" --define "_rpmfilename ${1##*/}" packaging/ostree-kernel.spec)
}

# names NAME: starts a name server on 127.53.53.1 that resolves NAME to 127.0.0.1, until the case ends.
names() {
    python3 "$HERE/lib/names.py" 127.53.53.1 "$1" 127.0.0.1 >"$OUT/names.log" 2>&1 </dev/null 9>&- &
    SERVERS+=("$!")
}

# serve_tls DIR NAME: starts an https server with a certificate for NAME, issued by the CA $OUT/ca.pem; sets TLS_PORT.
serve_tls() {
    local dir=$OUT/tls
    mkdir -p "$dir"
    run_logged tls.log openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=bed -keyout "$dir/ca.key" -out "$OUT/ca.pem" \
        -addext basicConstraints=critical,CA:TRUE
    run_logged tls.log openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$dir/key.pem" -out "$dir/csr.pem"
    printf 'subjectAltName=DNS:%s\n' "$2" >"$dir/ext"
    run_logged tls.log openssl x509 -req -in "$dir/csr.pem" -CA "$OUT/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 30 \
        -extfile "$dir/ext" -out "$dir/cert.pem"
    # shellcheck disable=SC2034  # cases use it
    TLS_PORT=$(free_port)
    (cd "$1" && exec openssl s_server -accept "127.0.0.1:$TLS_PORT" -WWW -cert "$dir/cert.pem" -key "$dir/key.pem") \
        >"$OUT/server.log" 2>&1 </dev/null 9>&- &
    SERVERS+=("$!")
    up "$TLS_PORT"
}
