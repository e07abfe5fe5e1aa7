# SPDX-License-Identifier: MIT OR Apache-2.0
# Sourced by every stub: records the program and its arguments, and reads its behaviour from /stub/do/PROGRAM, which the
# tests write. /stub is not a part of compared trees.

me=${0##*/}
echo "$me${*:+ $*}" >>/stub/order.log
env | sed "s/^/$me: /" >>/stub/env.log
echo "$me: $(readlink /proc/self/fd/0) $(pwd)" >>/stub/stdin.log
behaviour=$(cat "/stub/do/$me" 2>/dev/null)
kver=$(cat /stub/kver)

# Returns whether this program should behave in this way.
is() {
    case " $behaviour " in *" $1 "*) return 0 ;; esac
    return 1
}

# Requests that the test kills ostree-kernel, which is outside of this PID namespace.
kill_caller() {
    : >/stub/kill
    sleep 600
}

# strike HOW: causes a fault of tests/it/fault.rs. /stub/fault has NUMBER and HOW: the program call with that number is
# affected.
strike() {
    case "$1" in
    fails) die 1 "stub $me: struck by a fault" ;;
    killed) kill -9 $$ ;;
    hangs) exec sleep 600 ;;
    fills) dd if=/dev/zero of=/fill bs=64k 2>/dev/null ;;
    parent) kill_caller ;;
    parent-after) trap kill_caller EXIT ;;
    esac
}

die() {
    echo "$2" >&2
    exit "$1"
}

# Returns whether this rpm-ostree would find layout=ostree. Before 2026.1, it reads only the vendor's file. Since then,
# /etc takes precedence over /usr/lib, and in each of these the last drop-in over install.conf.
layout_is_ostree() {
    if [ "$(rpm_ostree_version)" -lt 202601 ]; then
        grep -qs '^layout=ostree' /usr/lib/kernel/install.conf
        return
    fi
    for level in /etc/kernel /usr/lib/kernel; do
        layout=
        for file in $level/install.conf $level/install.conf.d/*.conf; do
            found=$(sed -n 's/^layout=//p' "$file" 2>/dev/null)
            layout=${found:-$layout}
        done
        [ -z "$layout" ] || break
    done
    [ "$layout" = ostree ]
}

# Prints the version as a number: 202506 for 2025.6.
rpm_ostree_version() {
    version=$(cat /stub/rpm-ostree.version)
    echo $((${version%%.*} * 100 + ${version#*.}))
}

# Records the state during the transaction.
look_around() {
    {
        layout_is_ostree && echo "layout=ostree"
        [ -e /usr/libexec/rpm-ostree/wrapped/dracut ] && echo "a dracut in wrapped"
        for program in dracut rpm; do
            grep -q 'rpm-ostree cliwrap' "/usr/bin/$program" && echo "$program is wrapped"
        done
        for repo in /etc/yum.repos.d/*.repo; do
            [ ! -e "$repo" ] || echo "repository ${repo##*/}"
        done
        ls /usr/lib/modules
    } >/stub/seen.log
}

# If a stub was killed in exchange_packages, the new packages' texts are still in /stub/texts, and are moved back.
[ ! -e /stub/texts ] || mv /stub/texts /stub/come/usr/share/rpm

# name_of WORD: prints the name of the installed package that WORD names: NAME, or NAME-VERSION-RELEASE.ARCH.
name_of() {
    tab=$(printf '\t')
    for entry in /usr/share/rpm/*.pkg; do
        IFS=$tab read -r _ name _ version release arch _ <"$entry"
        case "$1" in "$name" | "$name-$version-$release.$arch") echo "$name" ;; esac
    done
}

# dependants NAME…: prints the packages whose requirements on a kernel would not be fulfilled after NAME… and the
# replaced packages are removed and the new ones are installed.
dependants() {
    going=" $* "
    for entry in /stub/come/usr/share/rpm/*.pkg; do going="$going$(name_in "$entry") "; done
    for entry in /usr/share/rpm/*.pkg; do
        case "$going" in *" $(name_in "$entry") "*) continue ;; esac
        grep '^R.*uname-r' "$entry" | while read -r line; do
            is_provided "P${line#R}" || name_in "$entry"
        done
    done
}

name_in() {
    file=${1##*/}
    echo "${file%.pkg}"
}

is_provided() {
    for file in /stub/come/usr/share/rpm/*.pkg; do grep -qxF "$1" "$file" && return 0; done
    for file in /usr/share/rpm/*.pkg; do
        case "$going" in *" $(name_in "$file") "*) continue ;; esac
        grep -qxF "$1" "$file" && return 0
    done
    return 1
}

# exchange_packages NAME…: removes NAME… and the replaced packages with their files, and adds the new packages.
# Directories and unowned files remain.
exchange_packages() {
    for entry in /stub/come/usr/share/rpm/*.pkg; do set -- "$@" "$(name_in "$entry")"; done
    is takes-more && set -- "$@" bystander
    for name; do
        [ -e "/usr/share/rpm/$name.files" ] || continue
        while read -r file _; do rm -f "$file"; done <"/usr/share/rpm/$name.files"
        rm -f "/usr/share/rpm/$name.files" "/usr/share/rpm/$name.pkg"
    done
    is lose-vmlinuz && rm -f "/stub/come/usr/lib/modules/$kver/vmlinuz"
    # As rpm does, installs the files before it changes the rpmdb.
    mv /stub/come/usr/share/rpm /stub/texts
    cp -a /stub/come/. /
    cp -a /stub/texts/. /usr/share/rpm/
    mv /stub/texts /stub/come/usr/share/rpm
    is keep-old && cp -a /stub/stay/. /
    # kernel-core's %posttrans leaves symvers in /boot.
    : >"/boot/symvers-$kver.xz"
    write_rpmdb
}

# Asks the test to write the rpmdb of SQLite from the texts of /usr/share/rpm (tests/it/rpmdb.rs), and waits for it.
write_rpmdb() {
    : >/stub/rpmdb.ask
    while [ -e /stub/rpmdb.ask ]; do sleep 0.01; done
}

fault=$(cat /stub/fault 2>/dev/null)
if [ "${fault%% *}" = "$(wc -l </stub/order.log)" ]; then
    strike "${fault#* }"
fi

# Records properties of this process, and the names of all processes, for the test.
if [ -e /stub/look ]; then
    {
        grep -E 'NoNewPrivs|Umask' /proc/self/status
        ls -l /proc/self/fd
        for process in /proc/[0-9]*; do echo "process ${process#/proc/}"; done
    } | sed "s/^/$me: /" >>/stub/state.log
fi

# `daemon` starts a process in its own session that keeps the output open.
is daemon && setsid sleep 5353 &
is asks-caller && kill -9 $PPID
is flood && dd if=/dev/zero bs=64k
is flood-lines && while :; do echo; done
is flood-errors && dd if=/dev/zero bs=64k >&2
true
