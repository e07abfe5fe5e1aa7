# shellcheck shell=bash
# `bed secure-boot`: boots the kernel that the case `sign` has signed under OVMF with Secure Boot, from an ESP with a
# signed systemd-boot. The same kernel with one changed bit, and without its signature, must be refused. QEMU's -kernel
# is not used, because it also starts kernels that Secure Boot refuses.

SNAKEOIL=/usr/share/ovmf/PkKek-1-snakeoil

bed_secure_boot() {
    local image dir work=$BED/secure-boot rc=0
    image=$(image_of sign)
    dir=$(make_disk "$image")
    rm -rf "$work" && mkdir -p "$work"
    openssl rsa -in "$SNAKEOIL.key" -passin pass:snakeoil -out "$work/key.pem" 2>/dev/null
    sbsign --key "$work/key.pem" --cert "$SNAKEOIL.pem" --output "$work/boot.efi" /usr/lib/systemd/boot/efi/systemd-bootx64.efi >/dev/null 2>&1
    cp "$dir/vmlinuz" "$work/signed"
    cp "$dir/vmlinuz" "$work/changed"
    # Changes one bit in the middle of the file.
    /usr/bin/python3 -c 'import sys; f = open(sys.argv[1], "r+b"); n = f.seek(0, 2) // 2; f.seek(n); b = f.read(1)[0]; f.seek(n); f.write(bytes([b ^ 1]))' "$work/changed"
    cp "$dir/vmlinuz" "$work/unsigned"
    while sbattach --remove "$work/unsigned" >/dev/null 2>&1; do :; done
    _secure_boot "$dir" signed 'BOOT-OK [0-9]' 300 || rc=1
    _secure_boot "$dir" changed 'Error loading .*Access Denied' 60 || rc=1
    _secure_boot "$dir" unsigned 'Error loading .*Access Denied' 60 || rc=1
    return "$rc"
}

# _secure_said REGEX: prints the first match in $log, without the firmware's escape sequences.
_secure_said() { tr -d '\r\000' <"$log" | sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' | grep -aoE -m 1 "$1.*"; }

# _secure_boot DIR KERNEL REGEX SECONDS: boots $work/KERNEL, and fails if the console does not match REGEX within
# SECONDS.
_secure_boot() {
    local dir=$1 kernel=$2 work=$BED/secure-boot log=$LOGS/secure-boot-$2.log limit=${BED_BOOT_TIMEOUT:-$4} n pid found=''
    local esp=$work/$kernel.esp
    rm -f "$esp"
    truncate -s 200M "$esp"
    mformat -i "$esp" -F ::
    mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/loader ::/loader/entries
    printf 'timeout 0\ndefault bed\n' >"$work/loader.conf"
    printf 'title bed\nlinux /vmlinuz\ninitrd /initrd\noptions %s %s\n' "$(_entry "$dir" options | sed 's/ quiet//')" "$STEADY" >"$work/entry.conf"
    mcopy -i "$esp" "$work/boot.efi" ::/EFI/BOOT/BOOTX64.EFI
    mcopy -i "$esp" "$work/$kernel" ::/vmlinuz
    mcopy -i "$esp" "$dir/initrd" ::/initrd
    mcopy -i "$esp" "$work/loader.conf" ::/loader/loader.conf
    mcopy -i "$esp" "$work/entry.conf" ::/loader/entries/bed.conf
    : >"$log"
    cp /usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd "$work/vars.fd"
    timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -M q35,smm=on -m 1536 -smp 2 -nographic -no-reboot -nic none \
        -global driver=cfi.pflash01,property=secure,value=on \
        -drive if=pflash,format=raw,unit=0,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd,readonly=on \
        -drive "if=pflash,format=raw,unit=1,file=$work/vars.fd" \
        -drive "file=$esp,format=raw,if=none,id=esp" -device ich9-ahci,id=ahci -device ide-hd,drive=esp,bus=ahci.0,bootindex=0 \
        -drive "file=$dir/disk.img,format=raw,if=virtio,snapshot=on" </dev/null >"$log" 2>&1 &
    pid=$!
    for ((n = 0; n < limit; n++)); do
        _secure_said "$3" >/dev/null && break
        kill -0 "$pid" 2>/dev/null || break
        sleep 1
    done
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    found=$(_secure_said "$3") || true
    if [[ ! $found || ($3 == BOOT-OK* && ! $(_secure_said 'UEFI Secure Boot is enabled')) ]]; then
        say "secure-boot: $kernel: expected $3 (log: $log)"
        return 1
    fi
    printf 'secure-boot %s: %s\n' "$kernel" "$found"
}
