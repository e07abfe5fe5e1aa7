#!/bin/sh
# Commands to run before the switch to the real root.
echo "hello from the initramfs" >/dev/kmsg
