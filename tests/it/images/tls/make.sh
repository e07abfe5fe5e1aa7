#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the certificates of the tests: of an authority, a server and a client. To run it, type:
# tests/it/images/tls/make.sh
set -e
cd "$(dirname "$0")"
key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null ||
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}
key ca
openssl req -x509 -new -key ca.key -days 36500 -subj '/CN=test authority' -out ca.crt \
    -addext keyUsage=critical,keyCertSign
for name in server client; do
    case $name in
    server) san='subjectAltName=DNS:registry.invalid,DNS:localhost,IP:127.0.0.1' ;;
    client) san='extendedKeyUsage=clientAuth' ;;
    esac
    key $name
    openssl req -new -key $name.key -subj "/CN=test $name" |
        openssl x509 -req -CA ca.crt -CAkey ca.key -days 36500 -out $name.crt -extfile /dev/fd/3 3<<EXT
basicConstraints=critical,CA:FALSE
$san
EXT
done
rm -f ca.key ca.srl
