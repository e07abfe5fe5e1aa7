#!/bin/bash
set -euo pipefail

/tmp/tool/ostree-kernel replace /tmp/kernel-rpms

# Kmods for this kernel, themes, services … What changes dracut.conf.d comes before the line above,
# or is followed by: /tmp/tool/ostree-kernel rebuild
