#!/usr/bin/python3
"""Stands for gpg in rpmsign and makes signatures of version 3, as RHEL's packages have them. gpg cannot create these.

Takes gpg's arguments: -o FILE or -sbo FILE is the output, the last argument is the input. $GNUPGHOME has the RSA key,
without a passphrase."""

import hashlib, subprocess, sys, time

# The DigestInfo of SHA-256 (RFC 8017).
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


def packet(data):
    """Returns the body of the first OpenPGP packet, which can have the old or the new header format."""
    first, length, at = data[0], data[1], 2
    if first & 0x40:
        if length >= 192:
            length, at = ((length - 192) << 8) + data[2] + 192, 3
    else:
        size = 1 << (first & 3)
        length, at = int.from_bytes(data[1 : 1 + size], "big"), 1 + size
    return data[at : at + length]


def integers(data, at, count):
    found = []
    for _ in range(count):
        size = (int.from_bytes(data[at : at + 2], "big") + 7) // 8
        found.append(int.from_bytes(data[at + 2 : at + 2 + size], "big"))
        at += 2 + size
    return found, at


def main():
    arguments = sys.argv[1:]
    output = next(arguments[i + 1] for i, a in enumerate(arguments) if a in ("-o", "-sbo", "--output"))
    secret = packet(subprocess.run(["gpg", "--batch", "--export-secret-keys"], check=True, capture_output=True).stdout)
    (modulus, _), at = integers(secret, 6, 2)
    public, usage = secret[:at], secret[at]
    assert secret[0] == 4 and secret[5] == 1 and usage == 0, "an RSA key without a passphrase"
    exponent = integers(secret, at + 1, 1)[0][0]
    key_id = hashlib.sha1(b"\x99" + len(public).to_bytes(2, "big") + public).digest()[-8:]
    plain = sys.stdin.buffer if arguments[-1] == "-" else open(arguments[-1], "rb")
    hashed = b"\0" + int(time.time()).to_bytes(4, "big")
    digest = hashlib.sha256(plain.read() + hashed).digest()
    size = (modulus.bit_length() + 7) // 8
    tail = SHA256 + digest
    padded = b"\0\1" + b"\xff" * (size - len(tail) - 3) + b"\0" + tail
    value = pow(int.from_bytes(padded, "big"), exponent, modulus)
    bits = value.bit_length()
    body = b"\3\5" + hashed + key_id + b"\1\x08" + digest[:2] + bits.to_bytes(2, "big") + value.to_bytes((bits + 7) // 8, "big")
    with open(output, "wb") as out:
        out.write(b"\x89" + len(body).to_bytes(2, "big") + body)


main()
