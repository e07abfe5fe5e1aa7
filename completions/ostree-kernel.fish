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

complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -l root -d 'Work on the tree in DIR instead of /; programs run inside it' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -l format -d 'How the result is printed on standard output' -r -f -a "human\t'For people'
json\t'For programs; the fields are described in /usr/share/ostree-kernel/report.schema.json'"
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -l color -d 'When to use colours (auto: on a terminal, as NO_COLOR, CLICOLOR and CLICOLOR_FORCE have it)' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set or `CLICOLOR` is 0; with `CLICOLOR_FORCE` elsewhere, too'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s v -l verbose -d 'Show what the programs print; twice: also what they are asked'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s q -l quiet -d 'Show warnings and errors only'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -s V -l version -d 'Print version'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "replace" -d 'Replace the kernel by that of the RPMs, build and verify its initramfs'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "rebuild" -d 'Build the initramfs of the installed kernel again, and verify it'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "verify" -d 'Check whether the tree would boot'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "status" -d 'Show kernels, backend, cliwrap and leftovers of the tree'
complete -c ostree-kernel -n "__fish_ostree_kernel_needs_command" -f -a "inspect" -d 'Show what is in an initramfs, or what differs between two'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l from -d 'Take the SOURCEs, which are package names then, and what they require from REPO, a repository of the image that need not be enabled; needs dnf' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l max-size -d 'Give a download up that is larger (bytes, or with K, M, G)' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l sha256sums -d 'Take each source only with the digest that sha256sum wrote to FILE' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l gpg-key -d 'Trust the public key in FILE, beside those of /etc/pki/rpm-gpg' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l backend -d 'The program that replaces packages; found out by itself otherwise' -r -f -a "rpm-ostree\t'`rpm-ostree override replace`, in an ostree container'
dnf5\t'dnf 5'
dnf\t'dnf 4'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l kver -d 'Refuse any other kernel than this release' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l remove -d 'Let this package go with the old kernel, which nothing replaces: a sub-package, a kmod, a package that requires it' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l require-driver -d 'Reject an initramfs without this driver, inside or built in' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l compress -d 'How dracut packs the initramfs, in place of what its configuration says: a compressor with its options, as \'zstd -9 -T0\'' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l report -d 'Write the report to FILE too' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l timeout -d 'End a program that runs longer than this, and fail' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l cache-dir -d 'Keep downloads in DIR; mount a cache there to share them between builds' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l root -d 'Work on the tree in DIR instead of /; programs run inside it' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l format -d 'How the result is printed on standard output' -r -f -a "human\t'For people'
json\t'For programs; the fields are described in /usr/share/ostree-kernel/report.schema.json'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l color -d 'When to use colours (auto: on a terminal, as NO_COLOR, CLICOLOR and CLICOLOR_FORCE have it)' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set or `CLICOLOR` is 0; with `CLICOLOR_FORCE` elsewhere, too'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l require-signature -d 'Refuse packages without a good signature, local and pinned ones too'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l allow-unsigned -d 'Accept packages without a signature, or with that of an unknown key'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l dry-run -d 'Print the plan with its exact command lines, and change nothing'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l no-commit -d 'Put the initramfs in place, but clean no caches and commit nothing'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l no-inherit -d 'Let dracut choose its modules anew, without those that the base\'s initramfs has'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -l prove -d 'Build the initramfs twice and fail if the two differ in any byte'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -s v -l verbose -d 'Show what the programs print; twice: also what they are asked'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -s q -l quiet -d 'Show warnings and errors only'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand replace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l require-driver -d 'Reject an initramfs without this driver, inside or built in' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l compress -d 'How dracut packs the initramfs, in place of what its configuration says: a compressor with its options, as \'zstd -9 -T0\'' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l report -d 'Write the report to FILE too' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l timeout -d 'End a program that runs longer than this, and fail' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l cache-dir -d 'Keep downloads in DIR; mount a cache there to share them between builds' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l root -d 'Work on the tree in DIR instead of /; programs run inside it' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l format -d 'How the result is printed on standard output' -r -f -a "human\t'For people'
json\t'For programs; the fields are described in /usr/share/ostree-kernel/report.schema.json'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l color -d 'When to use colours (auto: on a terminal, as NO_COLOR, CLICOLOR and CLICOLOR_FORCE have it)' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set or `CLICOLOR` is 0; with `CLICOLOR_FORCE` elsewhere, too'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l no-commit -d 'Put the initramfs in place, but clean no caches and commit nothing'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l no-inherit -d 'Let dracut choose its modules anew, without those that the base\'s initramfs has'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -l prove -d 'Build the initramfs twice and fail if the two differ in any byte'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -s v -l verbose -d 'Show what the programs print; twice: also what they are asked'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -s q -l quiet -d 'Show warnings and errors only'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand rebuild" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l image -d 'Look at this file alone, and at no tree' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l kver -d 'The kernel release that the file of --image is for' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l against -d 'Also look for what this earlier initramfs has and this one lost' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l root-device -d 'What the root lies on; may be given several times' -r -f -a "virtio\t'A disk of a virtual machine: virtio'
nvme\t'NVMe'
scsi\t'A SCSI disk'
sata\t'A SATA disk'
usb\t'A disk at USB'
mmc\t'An SD card or eMMC'
xen\t'A disk of Xen'
hyperv\t'A disk of Hyper-V'
dasd\t'A DASD of IBM Z'
zfcp\t'A disk at zFCP of IBM Z'
luks\t'LUKS encryption'
lvm\t'LVM'
multipath\t'Several paths to one disk'
raid\t'Software RAID'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l root-fs -d 'The file system of the root; may be given several times' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l require-driver -d 'A driver that has to be inside or built in; may be given several times' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l only -d 'Let only this check look; may be given several times' -r -f -a "kernel-single\t''
kernel-release\t''
kernel-rpmdb\t''
kernel-hmac\t''
kernel-signature\t''
uki-shadow\t''
initramfs-present\t''
initramfs-mode\t''
initramfs-readable\t''
initramfs-compression\t''
initramfs-size\t''
initramfs-kver\t''
initramfs-modules\t''
initramfs-root-drivers\t''
initramfs-init\t''
initramfs-ostree\t''
initramfs-wrappers\t''
initramfs-regression\t''
initramfs-firmware\t''
modules-depmod\t''
kmods\t''
leftovers\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l skip -d 'Do not let this check look; the report says so' -r -f -a "kernel-single\t''
kernel-release\t''
kernel-rpmdb\t''
kernel-hmac\t''
kernel-signature\t''
uki-shadow\t''
initramfs-present\t''
initramfs-mode\t''
initramfs-readable\t''
initramfs-compression\t''
initramfs-size\t''
initramfs-kver\t''
initramfs-modules\t''
initramfs-root-drivers\t''
initramfs-init\t''
initramfs-ostree\t''
initramfs-wrappers\t''
initramfs-regression\t''
initramfs-firmware\t''
modules-depmod\t''
kmods\t''
leftovers\t''"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l report -d 'Write the report to FILE too' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l root -d 'Work on the tree in DIR instead of /; programs run inside it' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l format -d 'How the result is printed on standard output' -r -f -a "human\t'For people'
json\t'For programs; the fields are described in /usr/share/ostree-kernel/report.schema.json'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l color -d 'When to use colours (auto: on a terminal, as NO_COLOR, CLICOLOR and CLICOLOR_FORCE have it)' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set or `CLICOLOR` is 0; with `CLICOLOR_FORCE` elsewhere, too'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l fatal-warnings -d 'Take warnings for fatal'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -l list -d 'Print the checks with their severities, and look at nothing'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -s v -l verbose -d 'Show what the programs print; twice: also what they are asked'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -s q -l quiet -d 'Show warnings and errors only'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l root -d 'Work on the tree in DIR instead of /; programs run inside it' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l format -d 'How the result is printed on standard output' -r -f -a "human\t'For people'
json\t'For programs; the fields are described in /usr/share/ostree-kernel/report.schema.json'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -l color -d 'When to use colours (auto: on a terminal, as NO_COLOR, CLICOLOR and CLICOLOR_FORCE have it)' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set or `CLICOLOR` is 0; with `CLICOLOR_FORCE` elsewhere, too'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -s v -l verbose -d 'Show what the programs print; twice: also what they are asked'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -s q -l quiet -d 'Show warnings and errors only'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l cat -d 'Write the content of the file PATH, links followed inside the image' -r
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l diff -d 'Show what is added, gone and changed on the way from IMAGE to OTHER' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l root -d 'Work on the tree in DIR instead of /; programs run inside it' -r -F
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l format -d 'How the result is printed on standard output' -r -f -a "human\t'For people'
json\t'For programs; the fields are described in /usr/share/ostree-kernel/report.schema.json'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l color -d 'When to use colours (auto: on a terminal, as NO_COLOR, CLICOLOR and CLICOLOR_FORCE have it)' -r -f -a "auto\t'On a terminal, unless `NO_COLOR` is set or `CLICOLOR` is 0; with `CLICOLOR_FORCE` elsewhere, too'
always\t'Always'
never\t'Never'"
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l files -d 'List all files as `ls -l` does; times are in UTC'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -l modules -d 'List the kernel modules: size, name, path'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -s v -l verbose -d 'Show what the programs print; twice: also what they are asked'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -s q -l quiet -d 'Show warnings and errors only'
complete -c ostree-kernel -n "__fish_ostree_kernel_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
