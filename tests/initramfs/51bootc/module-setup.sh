#!/bin/bash
# A stand-in for bootc's dracut module: installs its program, its unit, and the link that starts the unit.

check() { return 255; }

depends() { echo systemd; }

install() {
    local system=/usr/lib/systemd/system
    inst /usr/lib/bootc/initramfs-setup
    inst_simple "${moddir:?}/bootc-root-setup.service" "$system/bootc-root-setup.service"
    mkdir -p "${initdir:?}$system/initrd-root-fs.target.wants"
    ln -s ../bootc-root-setup.service "$initdir$system/initrd-root-fs.target.wants/bootc-root-setup.service"
}
