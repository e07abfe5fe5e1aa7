#!/bin/bash

# Included only on request, by dracut.conf.d.
check() {
    return 255
}

install() {
    inst_hook pre-pivot 50 "$moddir/hello.sh"
}
