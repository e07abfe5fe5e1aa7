_ostree__kernel() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="ostree__kernel"
                ;;
            ostree__kernel,gate)
                cmd="ostree__kernel__subcmd__gate"
                ;;
            ostree__kernel,help)
                cmd="ostree__kernel__subcmd__help"
                ;;
            ostree__kernel,inspect)
                cmd="ostree__kernel__subcmd__inspect"
                ;;
            ostree__kernel,rebuild)
                cmd="ostree__kernel__subcmd__rebuild"
                ;;
            ostree__kernel,replace)
                cmd="ostree__kernel__subcmd__replace"
                ;;
            ostree__kernel,status)
                cmd="ostree__kernel__subcmd__status"
                ;;
            ostree__kernel,verify)
                cmd="ostree__kernel__subcmd__verify"
                ;;
            ostree__kernel,version)
                cmd="ostree__kernel__subcmd__version"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        ostree__kernel)
            opts="-v -q -h -V --root --format --verbose --quiet --color --help --version replace rebuild verify status inspect gate help version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__gate)
            opts="-v -q -h --on-error --warn-only --release --after --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --on-error)
                    COMPREPLY=($(compgen -W "allow refuse" -- "${cur}"))
                    return 0
                    ;;
                --after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__help)
            opts="-v -q -h --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__inspect)
            opts="-v -q -h --files --modules --origins --graph --why --cat --diff --platform --authfile --tls-verify --cert-dir --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --why)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cat)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --diff)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --platform)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --authfile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tls-verify)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --cert-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__rebuild)
            opts="-v -q -h --kver --no-commit --root-device --root-fs --require-driver --for --boot-size --esp-size --boot-deployments --grub-memory --skip --no-inherit --before-dracut --against --platform --authfile --tls-verify --cert-dir --compress --prove --report --timeout --sign-kernel-key --sign-kernel-cert --tool-root --sign-modules-key --sign-modules-cert --sign-modules --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --kver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --root-device)
                    COMPREPLY=($(compgen -W "virtio nvme scsi sata usb mmc xen hyperv dasd zfcp luks lvm multipath raid" -- "${cur}"))
                    return 0
                    ;;
                --root-fs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --require-driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --for)
                    COMPREPLY=($(compgen -W "disk iso pxe" -- "${cur}"))
                    return 0
                    ;;
                --boot-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --esp-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --boot-deployments)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --grub-memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --skip)
                    COMPREPLY=($(compgen -W "kernel-single kernel-release kernel-rpmdb kernel-files kernel-hmac kernel-signature kernel-signer module-signers uki-shadow initramfs-present initramfs-mode initramfs-readable initramfs-compression initramfs-size boot-space initramfs-kver initramfs-modules initramfs-root-drivers initramfs-init initramfs-sources initramfs-units initramfs-ostree initramfs-wrappers initramfs-regression initramfs-intent initramfs-projection initramfs-firmware modules-depmod module-versions kmods kmod-userland os-release node-root-drivers node-boot-space node-kargs node-secure-boot leftovers" -- "${cur}"))
                    return 0
                    ;;
                --before-dracut)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --against)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --platform)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --authfile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tls-verify)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --cert-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --compress)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --report)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-kernel-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-kernel-cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tool-root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-modules-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-modules-cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-modules)
                    COMPREPLY=($(compgen -W "out-of-tree all" -- "${cur}"))
                    return 0
                    ;;
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__replace)
            opts="-v -q -h --from --max-size --cache-dir --sha256sums --gpg-key --require-signature --allow-unsigned --dry-run --backend --kver --flavour --remove --no-versionlock --no-repos --no-commit --root-device --root-fs --require-driver --for --boot-size --esp-size --boot-deployments --grub-memory --skip --no-inherit --before-dracut --against --platform --authfile --tls-verify --cert-dir --compress --prove --report --timeout --sign-kernel-key --sign-kernel-cert --tool-root --sign-modules-key --sign-modules-cert --sign-modules --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --from)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cache-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sha256sums)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --gpg-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --backend)
                    COMPREPLY=($(compgen -W "rpm-ostree dnf5 dnf" -- "${cur}"))
                    return 0
                    ;;
                --kver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --flavour)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --remove)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --root-device)
                    COMPREPLY=($(compgen -W "virtio nvme scsi sata usb mmc xen hyperv dasd zfcp luks lvm multipath raid" -- "${cur}"))
                    return 0
                    ;;
                --root-fs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --require-driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --for)
                    COMPREPLY=($(compgen -W "disk iso pxe" -- "${cur}"))
                    return 0
                    ;;
                --boot-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --esp-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --boot-deployments)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --grub-memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --skip)
                    COMPREPLY=($(compgen -W "kernel-single kernel-release kernel-rpmdb kernel-files kernel-hmac kernel-signature kernel-signer module-signers uki-shadow initramfs-present initramfs-mode initramfs-readable initramfs-compression initramfs-size boot-space initramfs-kver initramfs-modules initramfs-root-drivers initramfs-init initramfs-sources initramfs-units initramfs-ostree initramfs-wrappers initramfs-regression initramfs-intent initramfs-projection initramfs-firmware modules-depmod module-versions kmods kmod-userland os-release node-root-drivers node-boot-space node-kargs node-secure-boot leftovers" -- "${cur}"))
                    return 0
                    ;;
                --before-dracut)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --against)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --platform)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --authfile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tls-verify)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --cert-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --compress)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --report)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-kernel-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-kernel-cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tool-root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-modules-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-modules-cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sign-modules)
                    COMPREPLY=($(compgen -W "out-of-tree all" -- "${cur}"))
                    return 0
                    ;;
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__status)
            opts="-v -q -h --platform --authfile --tls-verify --cert-dir --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --platform)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --authfile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tls-verify)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --cert-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__verify)
            opts="-v -q -h --staged --deployment --initramfs --kver --against --platform --authfile --tls-verify --cert-dir --jobs --root-device --root-fs --require-driver --for --boot-size --esp-size --boot-deployments --grub-memory --skip --sbcert --module-cert --only --fatal-warnings --list --report --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --deployment)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --initramfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --against)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --platform)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --authfile)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tls-verify)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --cert-dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --jobs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --root-device)
                    COMPREPLY=($(compgen -W "virtio nvme scsi sata usb mmc xen hyperv dasd zfcp luks lvm multipath raid" -- "${cur}"))
                    return 0
                    ;;
                --root-fs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --require-driver)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --for)
                    COMPREPLY=($(compgen -W "disk iso pxe" -- "${cur}"))
                    return 0
                    ;;
                --boot-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --esp-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --boot-deployments)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --grub-memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --skip)
                    COMPREPLY=($(compgen -W "kernel-single kernel-release kernel-rpmdb kernel-files kernel-hmac kernel-signature kernel-signer module-signers uki-shadow initramfs-present initramfs-mode initramfs-readable initramfs-compression initramfs-size boot-space initramfs-kver initramfs-modules initramfs-root-drivers initramfs-init initramfs-sources initramfs-units initramfs-ostree initramfs-wrappers initramfs-regression initramfs-intent initramfs-projection initramfs-firmware modules-depmod module-versions kmods kmod-userland os-release node-root-drivers node-boot-space node-kargs node-secure-boot leftovers" -- "${cur}"))
                    return 0
                    ;;
                --sbcert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --module-cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --only)
                    COMPREPLY=($(compgen -W "kernel-single kernel-release kernel-rpmdb kernel-files kernel-hmac kernel-signature kernel-signer module-signers uki-shadow initramfs-present initramfs-mode initramfs-readable initramfs-compression initramfs-size boot-space initramfs-kver initramfs-modules initramfs-root-drivers initramfs-init initramfs-sources initramfs-units initramfs-ostree initramfs-wrappers initramfs-regression initramfs-intent initramfs-projection initramfs-firmware modules-depmod module-versions kmods kmod-userland os-release node-root-drivers node-boot-space node-kargs node-secure-boot leftovers" -- "${cur}"))
                    return 0
                    ;;
                --report)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        ostree__kernel__subcmd__version)
            opts="-v -q -h --root --format --verbose --quiet --color --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --root)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "human json" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _ostree__kernel -o nosort -o bashdefault -o default ostree-kernel
else
    complete -F _ostree__kernel -o bashdefault -o default ostree-kernel
fi
