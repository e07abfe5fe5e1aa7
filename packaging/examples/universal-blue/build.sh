#!/bin/bash
set -euo pipefail

/tmp/tool/ostree-kernel replace /tmp/kernel-rpms

# Add kmods for this kernel, themes and services here. Change dracut.conf.d before the line above, or run the following
# line after the change:
# /tmp/tool/ostree-kernel rebuild
