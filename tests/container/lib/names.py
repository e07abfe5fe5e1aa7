"""names.py ADDRESS NAME TO: a name server at ADDRESS that resolves only NAME, and only to the IPv4 address TO."""
import socket
import sys

address, known, to = sys.argv[1:]
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((address, 53))
while True:
    query, client = server.recvfrom(512)
    end = query.index(0, 12) + 5
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    name, kind = ".".join(labels), query[end - 3]
    print(name, "A" if kind == 1 else "AAAA", flush=True)
    is_known, has_address = name == known, name == known and kind == 1
    header = query[:2] + (b"\x81\x80" if is_known else b"\x81\x83") + b"\0\1\0" + bytes([has_address]) + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(to)
    server.sendto(header + query[12:end] + (record if has_address else b""), client)
