#!/bin/sh
# What has to happen before the root is switched to.
echo "hello from the initramfs" >/dev/kmsg
