"""Translates RUN <<EOF for buildah before 1.33, which has no here-documents: the text becomes the argument of the
shell's -c.

heredoc.py SHELL <Containerfile: SHELL replaces /bin/sh for the here-documents of the last stage.
"""

import json
import re
import sys

START = re.compile(r"""RUN\s+((?:--\S+\s+)*)<<-?\s*(["']?)(\w+)\2\s*$""")

lines = sys.stdin.read().splitlines()
last = max(number for number, line in enumerate(lines) if line.upper().startswith("FROM "))
at = 0
while at < len(lines):
    start = START.match(lines[at])
    if not start:
        print(lines[at])
        at += 1
        continue
    options, _, end = start.groups()
    length = lines[at + 1 :].index(end)
    text = "\n".join(lines[at + 1 : at + 1 + length]) + "\n"
    shell = sys.argv[1] if at > last else "/bin/sh"
    print(f"RUN {options}{json.dumps([shell, '-c', text])}")
    at += length + 2
