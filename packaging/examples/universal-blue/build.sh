#!/bin/bash
set -euo pipefail

/tmp/tool/ostree-kernel replace /tmp/kernel-rpms

# Kmods for this kernel, themes, services … Change dracut.conf.d before the line above, or run after the change:
# /tmp/tool/ostree-kernel rebuild
