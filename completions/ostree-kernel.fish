# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ostree_kernel_global_optspecs
    string join \n root= format= v/verbose q/quiet color= h/help V/version
end

function __fish_ostree_kernel_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ostree_kernel_global_optspecs) -- $cmd 2>/dev/null
    or return 0
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ostree_kernel_using_subcommand
    set -l cmd (__fish_ostree_kernel_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s V -l version -d 'Print version'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "replace" -d 'Replace the kernel with RPMs, and build and verify its initramfs'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "rebuild" -d 'Rebuild the initramfs of the installed kernel, and verify it'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "verify" -d 'Check whether a tree, an image or an initramfs would boot'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "status" -d 'Show the tree\'s kernels, backend, cliwrap state and leftovers'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "inspect" -d 'Show the content of an initramfs, or the differences between two'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "gate" -d 'Refuse a staged deployment that this machine would not boot'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "help" -d 'Print the help of a command'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "version" -d 'Print the version'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l from -d 'Download the packages named by SOURCE and their requirements with dnf from REPO, a repository of the image that need not be enabled' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l max-size -d 'Fail if a download is larger than SIZE (bytes, or with K, M, G)' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l cache-dir -d 'Keep downloads in DIR; mount a cache there to share them between builds' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l sha256sums -d 'Require that each package file has the digest listed in FILE (output of sha256sum)' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l gpg-key -d 'Trust the public keys in FILE, besides those in /etc/pki/rpm-gpg' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l backend -d 'Program that replaces the packages [default: detected]' -r -f -a "rpm-ostree\t'`rpm-ostree override replace`, in an ostree container'
dnf5\t'dnf 5'
dnf\t'dnf 4'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l kver -d 'Require this kernel release' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l flavour -d 'Use only kernels of this flavour: default, rt, 64k, debug … [default: any; of several, that of the base\'s kernel]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l remove -d 'Allow removing this package, which nothing in the sources replaces: a sub-package, a kmod, or a package that requires the kernel' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l root-device -d 'Require drivers for a root on this device type; may be repeated' -r -f -a "virtio\t'virtio disk of a virtual machine, virtio_blk (for virtio_scsi use `scsi`)'
nvme\t'NVMe'
scsi\t'SCSI disk'
sata\t'SATA disk'
usb\t'USB disk'
mmc\t'SD card or eMMC'
xen\t'Xen disk'
hyperv\t'Hyper-V disk'
dasd\t'DASD of IBM Z'
zfcp\t'zFCP disk of IBM Z'
luks\t'LUKS encryption'
lvm\t'LVM'
multipath\t'Several paths to one disk (multipath)'
raid\t'Software RAID'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l root-fs -d 'Require drivers for a root with this file system; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l require-driver -d 'Require this driver, in the initramfs or built in; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l for -d 'Require the dracut modules and drivers for this use of the image, for example iso,pxe' -r -f -a "disk\t'A disk image; adds no requirement'
iso\t'A live ISO image'
pxe\t'A live image that is booted from the network (PXE, HTTP)'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l boot-size -d 'Size of /boot on the machines: fail unless the kernels of --boot-deployments fit (bytes, or with K, M, G)' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l esp-size -d 'Size of the EFI system partition, if it holds the kernels' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l boot-deployments -d 'Number of deployments whose kernels are on /boot (or the ESP) at the same time' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l grub-memory -d 'Warn if the initramfs is larger than SIZE, the most that GRUB can load [240M without SIZE]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l skip -d 'Skip this check (recorded in the report); may be repeated' -r -f -a "kernel-single\t''
kernel-release\t''
kernel-rpmdb\t''
kernel-files\t''
kernel-hmac\t''
kernel-signature\t''
kernel-signer\t''
module-signers\t''
uki-shadow\t''
initramfs-present\t''
initramfs-mode\t''
initramfs-readable\t''
initramfs-compression\t''
initramfs-size\t''
boot-space\t''
initramfs-kver\t''
initramfs-modules\t''
initramfs-root-drivers\t''
initramfs-init\t''
initramfs-sources\t''
initramfs-units\t''
initramfs-ostree\t''
initramfs-wrappers\t''
initramfs-regression\t''
initramfs-intent\t''
initramfs-projection\t''
initramfs-firmware\t''
modules-depmod\t''
module-versions\t''
kmods\t''
kmod-userland\t''
os-release\t''
node-root-drivers\t''
node-boot-space\t''
node-kargs\t''
node-secure-boot\t''
leftovers\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l before-dracut -d 'Run this program in the tree after the packages are installed, before depmod and dracut, with KVER in its environment; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l against -d 'Compare with this earlier initramfs, image or tree instead of the base\'s' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l platform -d 'Platform to choose from an image index [default: this machine\'s, else the only one]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l authfile -d 'Read the passwords of registries from this file [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l tls-verify -d 'Verify the TLS certificates of registries; false accepts any certificate, and plain HTTP' -r -f -a "true\t''
false\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l cert-dir -d 'Certificates for registries (*.crt, *.cert, *.key) [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l compress -d 'Compress the initramfs with this command, for example \'zstd -9 -T0\' [default: from dracut.conf]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l report -d 'Also write the report to FILE' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l timeout -d 'Kill a program that runs longer than this, and fail' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l sign-kernel-key -d 'Sign vmlinuz with this private key (RSA, PEM, without a passphrase; use a build secret). sbsign or systemd-sbsign of the image reads the file' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l sign-kernel-cert -d 'Certificate of the key in --sign-kernel-key (PEM)' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l tool-root -d 'Run the sbsign or systemd-sbsign in the root directory DIR, not that in the image' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l sign-modules-key -d 'Sign modules with this private key (RSA, PEM, without a passphrase; use a build secret)' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l sign-modules-cert -d 'Certificate of the key in --sign-modules-key (PEM or DER)' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l sign-modules -d 'Modules to sign' -r -f -a "out-of-tree\t'Modules that were not built with the kernel'
all\t'All modules'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l require-signature -d 'Require a good signature, also of local and pinned packages'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l allow-unsigned -d 'Accept packages without a signature, or signed by an unknown or untrusted key'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l dry-run -d 'Print the plan with its command lines, and leave the tree unchanged; sources are downloaded'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l no-versionlock -d 'Leave dnf\'s version locks of the old kernel unchanged'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l no-repos -d 'Hide the image\'s repositories from rpm-ostree during the transaction'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l no-commit -d 'Install the initramfs, but clean no caches and do not commit'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l no-inherit -d 'Do not add the dracut modules that the base\'s initramfs has'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l prove -d 'Build the initramfs twice and fail if the two differ in any byte'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l kver -d 'Kernel release whose initramfs is rebuilt [default: the only one in the tree]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l root-device -d 'Require drivers for a root on this device type; may be repeated' -r -f -a "virtio\t'virtio disk of a virtual machine, virtio_blk (for virtio_scsi use `scsi`)'
nvme\t'NVMe'
scsi\t'SCSI disk'
sata\t'SATA disk'
usb\t'USB disk'
mmc\t'SD card or eMMC'
xen\t'Xen disk'
hyperv\t'Hyper-V disk'
dasd\t'DASD of IBM Z'
zfcp\t'zFCP disk of IBM Z'
luks\t'LUKS encryption'
lvm\t'LVM'
multipath\t'Several paths to one disk (multipath)'
raid\t'Software RAID'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l root-fs -d 'Require drivers for a root with this file system; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l require-driver -d 'Require this driver, in the initramfs or built in; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l for -d 'Require the dracut modules and drivers for this use of the image, for example iso,pxe' -r -f -a "disk\t'A disk image; adds no requirement'
iso\t'A live ISO image'
pxe\t'A live image that is booted from the network (PXE, HTTP)'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l boot-size -d 'Size of /boot on the machines: fail unless the kernels of --boot-deployments fit (bytes, or with K, M, G)' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l esp-size -d 'Size of the EFI system partition, if it holds the kernels' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l boot-deployments -d 'Number of deployments whose kernels are on /boot (or the ESP) at the same time' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l grub-memory -d 'Warn if the initramfs is larger than SIZE, the most that GRUB can load [240M without SIZE]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l skip -d 'Skip this check (recorded in the report); may be repeated' -r -f -a "kernel-single\t''
kernel-release\t''
kernel-rpmdb\t''
kernel-files\t''
kernel-hmac\t''
kernel-signature\t''
kernel-signer\t''
module-signers\t''
uki-shadow\t''
initramfs-present\t''
initramfs-mode\t''
initramfs-readable\t''
initramfs-compression\t''
initramfs-size\t''
boot-space\t''
initramfs-kver\t''
initramfs-modules\t''
initramfs-root-drivers\t''
initramfs-init\t''
initramfs-sources\t''
initramfs-units\t''
initramfs-ostree\t''
initramfs-wrappers\t''
initramfs-regression\t''
initramfs-intent\t''
initramfs-projection\t''
initramfs-firmware\t''
modules-depmod\t''
module-versions\t''
kmods\t''
kmod-userland\t''
os-release\t''
node-root-drivers\t''
node-boot-space\t''
node-kargs\t''
node-secure-boot\t''
leftovers\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l before-dracut -d 'Run this program in the tree after the packages are installed, before depmod and dracut, with KVER in its environment; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l against -d 'Compare with this earlier initramfs, image or tree instead of the base\'s' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l platform -d 'Platform to choose from an image index [default: this machine\'s, else the only one]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l authfile -d 'Read the passwords of registries from this file [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l tls-verify -d 'Verify the TLS certificates of registries; false accepts any certificate, and plain HTTP' -r -f -a "true\t''
false\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l cert-dir -d 'Certificates for registries (*.crt, *.cert, *.key) [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l compress -d 'Compress the initramfs with this command, for example \'zstd -9 -T0\' [default: from dracut.conf]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l report -d 'Also write the report to FILE' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l timeout -d 'Kill a program that runs longer than this, and fail' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l sign-kernel-key -d 'Sign vmlinuz with this private key (RSA, PEM, without a passphrase; use a build secret). sbsign or systemd-sbsign of the image reads the file' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l sign-kernel-cert -d 'Certificate of the key in --sign-kernel-key (PEM)' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l tool-root -d 'Run the sbsign or systemd-sbsign in the root directory DIR, not that in the image' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l sign-modules-key -d 'Sign modules with this private key (RSA, PEM, without a passphrase; use a build secret)' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l sign-modules-cert -d 'Certificate of the key in --sign-modules-key (PEM or DER)' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l sign-modules -d 'Modules to sign' -r -f -a "out-of-tree\t'Modules that were not built with the kernel'
all\t'All modules'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l no-commit -d 'Install the initramfs, but clean no caches and do not commit'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l no-inherit -d 'Do not add the dracut modules that the base\'s initramfs has'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l prove -d 'Build the initramfs twice and fail if the two differ in any byte'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l deployment -d 'Verify the deployment WHICH: an index of ostree admin status, staged, booted, rollback, or a checksum' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l initramfs -d 'Verify only this initramfs, without a tree' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l kver -d 'Kernel release to verify [default: the first one in the tree or IMAGE, the only one in FILE]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l against -d 'Compare with an earlier initramfs, image or tree: report drivers, dracut modules and units that are missing now' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l platform -d 'Platform to choose from an image index [default: this machine\'s, else the only one]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l authfile -d 'Read the passwords of registries from this file [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l tls-verify -d 'Verify the TLS certificates of registries; false accepts any certificate, and plain HTTP' -r -f -a "true\t''
false\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l cert-dir -d 'Certificates for registries (*.crt, *.cert, *.key) [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l jobs -d 'Verify up to N images at the same time [default: 2]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l root-device -d 'Require drivers for a root on this device type; may be repeated' -r -f -a "virtio\t'virtio disk of a virtual machine, virtio_blk (for virtio_scsi use `scsi`)'
nvme\t'NVMe'
scsi\t'SCSI disk'
sata\t'SATA disk'
usb\t'USB disk'
mmc\t'SD card or eMMC'
xen\t'Xen disk'
hyperv\t'Hyper-V disk'
dasd\t'DASD of IBM Z'
zfcp\t'zFCP disk of IBM Z'
luks\t'LUKS encryption'
lvm\t'LVM'
multipath\t'Several paths to one disk (multipath)'
raid\t'Software RAID'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l root-fs -d 'Require drivers for a root with this file system; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l require-driver -d 'Require this driver, in the initramfs or built in; may be repeated' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l for -d 'Require the dracut modules and drivers for this use of the image, for example iso,pxe' -r -f -a "disk\t'A disk image; adds no requirement'
iso\t'A live ISO image'
pxe\t'A live image that is booted from the network (PXE, HTTP)'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l boot-size -d 'Size of /boot on the machines: fail unless the kernels of --boot-deployments fit (bytes, or with K, M, G)' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l esp-size -d 'Size of the EFI system partition, if it holds the kernels' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l boot-deployments -d 'Number of deployments whose kernels are on /boot (or the ESP) at the same time' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l grub-memory -d 'Warn if the initramfs is larger than SIZE, the most that GRUB can load [240M without SIZE]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l skip -d 'Skip this check (recorded in the report); may be repeated' -r -f -a "kernel-single\t''
kernel-release\t''
kernel-rpmdb\t''
kernel-files\t''
kernel-hmac\t''
kernel-signature\t''
kernel-signer\t''
module-signers\t''
uki-shadow\t''
initramfs-present\t''
initramfs-mode\t''
initramfs-readable\t''
initramfs-compression\t''
initramfs-size\t''
boot-space\t''
initramfs-kver\t''
initramfs-modules\t''
initramfs-root-drivers\t''
initramfs-init\t''
initramfs-sources\t''
initramfs-units\t''
initramfs-ostree\t''
initramfs-wrappers\t''
initramfs-regression\t''
initramfs-intent\t''
initramfs-projection\t''
initramfs-firmware\t''
modules-depmod\t''
module-versions\t''
kmods\t''
kmod-userland\t''
os-release\t''
node-root-drivers\t''
node-boot-space\t''
node-kargs\t''
node-secure-boot\t''
leftovers\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l sbcert -d 'Require a signature of vmlinuz by this certificate (PEM or DER); may be repeated' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l module-cert -d 'Require that signed modules are signed by the kernel\'s own key or by this certificate; may be repeated' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l only -d 'Run only this check; may be repeated' -r -f -a "kernel-single\t''
kernel-release\t''
kernel-rpmdb\t''
kernel-files\t''
kernel-hmac\t''
kernel-signature\t''
kernel-signer\t''
module-signers\t''
uki-shadow\t''
initramfs-present\t''
initramfs-mode\t''
initramfs-readable\t''
initramfs-compression\t''
initramfs-size\t''
boot-space\t''
initramfs-kver\t''
initramfs-modules\t''
initramfs-root-drivers\t''
initramfs-init\t''
initramfs-sources\t''
initramfs-units\t''
initramfs-ostree\t''
initramfs-wrappers\t''
initramfs-regression\t''
initramfs-intent\t''
initramfs-projection\t''
initramfs-firmware\t''
modules-depmod\t''
module-versions\t''
kmods\t''
kmod-userland\t''
os-release\t''
node-root-drivers\t''
node-boot-space\t''
node-kargs\t''
node-secure-boot\t''
leftovers\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l report -d 'Also write the report to FILE' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l staged -d 'Verify the staged deployment, and whether this machine can boot it'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l fatal-warnings -d 'Treat warnings as fatal'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l list -d 'List the checks and their severities without running them'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l platform -d 'Platform to choose from an image index [default: this machine\'s, else the only one]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l authfile -d 'Read the passwords of registries from this file [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l tls-verify -d 'Verify the TLS certificates of registries; false accepts any certificate, and plain HTTP' -r -f -a "true\t''
false\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l cert-dir -d 'Certificates for registries (*.crt, *.cert, *.key) [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l why -d 'Show the chain of files from PID 1 to the file PATH' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l cat -d 'Print the content of the file PATH; links are followed inside the initramfs' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l diff -d 'Show the changes from this initramfs to OTHER, a file or an image' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l platform -d 'Platform to choose from an image index [default: this machine\'s, else the only one]' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l authfile -d 'Read the passwords of registries from this file [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l tls-verify -d 'Verify the TLS certificates of registries; false accepts any certificate, and plain HTTP' -r -f -a "true\t''
false\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l cert-dir -d 'Certificates for registries (*.crt, *.cert, *.key) [default: as podman does]' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l files -d 'List all files as `ls -l` does, with times in UTC'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l modules -d 'List the kernel modules with size, name and path'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l origins -d 'List the origin of each file: the tree (--root), a dracut module, dracut itself, or unknown'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l graph -d 'List the files that a boot uses before the root is mounted, each with the file that uses it'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -l on-error -d 'Policy if the deployment cannot be verified' -r -f -a "allow\t'Let ostree finalise the deployment'
refuse\t'Lock the finalisation of the deployment'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -l after -d 'Do not verify, but apply the policy after a run that ended with this $SERVICE_RESULT (systemd.exec(5)); "success" does nothing' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -l warn-only -d 'Report fatal findings, but never lock finalisation; --on-error has no effect'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -l release -d 'Unlock a refused deployment, so that ostree finalises it'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand gate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand help" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand help" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand help" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand help" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand help" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand version" -l root -d 'Use DIR as the root directory; replace and rebuild run the programs in DIR' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand version" -l format -d 'Format of the result on standard output' -r -f -a "human\t'Text'
json\t'JSON, as /usr/share/ostree-kernel/report.schema.json describes it'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand version" -l color -d 'When to use colours; auto follows NO_COLOR, CLICOLOR and CLICOLOR_FORCE' -r -f -a "auto\t'On a terminal, unless CLICOLOR=0, or TERM is dumb or not set. CLICOLOR_FORCE forces colours; NO_COLOR always disables them'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand version" -s v -l verbose -d 'Print the output of programs; -vv also that of queries such as rpm -q'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand version" -s q -l quiet -d 'Log errors only, and print no result of a successful replace, rebuild, verify or gate, except with --format json'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand version" -s h -l help -d 'Print help (see more with \'--help\')'
