#!/bin/bash

# With status 255, dracut includes this module only on request (dracut.modules(7)), here by dracut.conf.d/50-hello.conf.
check() {
    return 255
}

install() {
    inst_hook pre-pivot 50 "$moddir/hello.sh"
}
