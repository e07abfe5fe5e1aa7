#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""foreign.py TREE ARCH: turns an extracted root of another architecture into the tree of an ostree image
with an initramfs.

No program of the tree runs: libraries are found by their names in the dynamic sections."""
import os, pathlib, re, shutil, subprocess, sys

tree = pathlib.Path(os.path.realpath(sys.argv[1]))
for name in ("bin", "sbin", "lib", "lib64"):
    old, new = tree / name, tree / "usr" / name
    if old.is_dir() and not old.is_symlink():
        subprocess.run(["cp", "-a", "--no-target-directory", old, new], check=True)
        shutil.rmtree(old)
    if not old.is_symlink() and new.is_dir():
        old.symlink_to("usr/" + name)
modules_dir = tree / "usr/lib/modules"
if not modules_dir.is_dir():
    modules_dir = tree / "lib/modules"
kver = next(it.name for it in modules_dir.iterdir())
K = modules_dir / kver
for boot in (tree / "boot").glob("vm*-" + kver):
    boot.rename(K / "vmlinuz")
for name in ("config", "System.map"):
    (tree / f"boot/{name}-{kver}").rename(K / name)
subprocess.run(["depmod", "-a", "-b", tree, kver], check=True)

found = {}
libraries = {}
for dir in ("usr/lib", "lib"):
    base = tree / dir
    if base.is_symlink():
        continue
    for path in list(base.glob("*.so*")) + list(base.glob("*-linux-gnu/**/*.so*")) + list(base.glob("systemd/*.so*")):
        libraries.setdefault(path.name, path)
for path in (tree / "usr/lib64", tree / "lib64"):
    if path.is_dir() and not path.is_symlink():
        for one in path.glob("*.so*"):
            libraries.setdefault(one.name, one)

def real(path):
    """Adds a path with its parent directories and, for a link, its target. For an ELF file that is not a kernel module,
    also adds its interpreter and its libraries."""
    path = pathlib.Path(os.path.realpath(path.parent)) / path.name
    rel = os.path.relpath(path, tree)
    if rel in found or rel == ".":
        return
    parent = os.path.dirname(rel)
    if parent:
        real(tree / parent)
    full = tree / rel
    found[rel] = full
    if full.is_symlink():
        target = os.readlink(full)
        full = tree / target.lstrip("/") if target.startswith("/") else full.parent / target
        if full.exists():
            real(pathlib.Path(os.path.normpath(full)))
        return
    if full.is_file():
        with open(full, "rb") as file:
            if file.read(4) == b"\x7fELF" and ".ko" not in full.name:
                elf(full)

def elf(path):
    text = subprocess.run(["readelf", "-ld", path], capture_output=True, text=True).stdout
    for loader in re.findall(r"program interpreter: (\S+)\]", text):
        real(tree / loader.lstrip("/"))
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
        if name in libraries:
            real(libraries[name])
        else:
            sys.exit(f"{path}: no {name}")

def add(*patterns):
    for pattern in patterns:
        # glob skips a link whose absolute target does not exist on the host.
        paths = list(tree.glob(pattern)) if "*" in pattern else [it for it in [tree / pattern] if os.path.lexists(it)]
        if not paths:
            print("none:", pattern, file=sys.stderr)
        for path in paths:
            real(path)

for link in ("bin", "sbin", "lib", "lib64"):
    if (tree / link).is_symlink():
        real(tree / link)
add("usr/lib/systemd/systemd", "usr/lib/systemd/systemd-journald", "usr/lib/systemd/systemd-modules-load", "usr/lib/systemd/systemd-shutdown",
    "usr/lib/systemd/systemd-sysctl", "usr/lib/systemd/systemd-fsck", "usr/lib/systemd/systemd-makefs", "usr/lib/systemd/systemd-udevd", "usr/lib/systemd/systemd-executor", "usr/lib/systemd/systemd-sysroot-fstab-check",
    "usr/lib/systemd/system-generators/systemd-fstab-generator", "usr/lib/systemd/system/initrd*", "usr/lib/systemd/system/systemd-udev*",
    "usr/lib/systemd/system/*.wants/systemd-udev*", "usr/lib/systemd/system/systemd-journald*", "usr/lib/systemd/system/systemd-modules-load.service", "usr/lib/systemd/system/*.target", "usr/lib/systemd/system/*.slice",
    "usr/bin/systemctl", "usr/bin/udevadm", "usr/bin/kmod", "usr/bin/bash", "usr/bin/sh", "usr/bin/mount", "usr/bin/umount", "usr/sbin/switch_root", "usr/sbin/modprobe",
    "usr/bin/true", "usr/bin/echo", "usr/bin/systemd-tmpfiles", "usr/lib/udev/**/*", "usr/lib/ostree/ostree-prepare-root", "usr/lib/ostree/prepare-root.conf", "usr/lib/modprobe.d/*")

# udev opens libkmod at run time.
real(libraries["libkmod.so.2"])
for rules in ("usr/lib/systemd/system/ostree-prepare-root.service",):
    real(tree / rules)

# Drivers that a root needs; the modules that they depend on are added.
WANTED = "virtio_blk ext4 xfs overlay erofs dm_mod sd_mod virtio_scsi virtio_pci nvme".split()
dep = {}
for line in (K / "modules.dep").read_text().splitlines():
    path, needs = line.split(":")
    dep[re.sub(r"\.ko.*", "", os.path.basename(path)).replace("-", "_")] = [path, *needs.split()]
inside = set()
for name in WANTED:
    inside.update(dep.get(name, []))
for _ in range(3):
    names = {re.sub(r"\.ko.*", "", os.path.basename(path)).replace("-", "_") for path in inside}
    for name, words in re.findall(r"^softdep (\S+) (.*)$", (K / "modules.softdep").read_text(), re.M):
        if name.replace("-", "_") in names:
            for word in words.split():
                inside.update(dep.get(word.replace("-", "_"), []))
    # Softdeps can name these aliases instead of modules.
    for alias, name in re.findall(r"^alias (crypto-crc32c|crct10dif|crypto-crct10dif|crc32c) (\S+)$", (K / "modules.alias").read_text(), re.M):
        inside.update(dep.get(name.replace("-", "_"), []))

image = tree / "image"
for rel, path in sorted(found.items()):
    if str(path).startswith(str(K)):
        continue
    to = image / rel
    if path.is_symlink():
        to.parent.mkdir(parents=True, exist_ok=True)
        if not to.is_symlink():
            os.symlink(os.readlink(path), to)
    elif path.is_dir():
        to.mkdir(parents=True, exist_ok=True)
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, to)
lib = "usr/lib"
M = image / "usr/lib/modules" / kver
for path in inside:
    (M / path).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(K / path, M / path)
for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
    shutil.copy2(K / name, M / name)
if not (image / "lib").exists():
    os.symlink("usr/lib", image / "lib")
subprocess.run(["depmod", "-a", "-b", image, kver], check=True)
for name in ("sysroot", "proc", "sys", "dev", "run", "tmp", "etc"):
    (image / name).mkdir(exist_ok=True)
os.symlink("usr/lib/systemd/systemd", image / "init")
wants = image / "usr/lib/systemd/system/initrd-root-fs.target.wants"
wants.mkdir(exist_ok=True)
os.symlink("../ostree-prepare-root.service", wants / "ostree-prepare-root.service")
(image / "etc/initrd-release").write_text("ID=debian\nPRETTY_NAME=initrd\n")
with open(K / "initramfs.img", "wb") as out:
    names = subprocess.run("find . -mindepth 1 | sort", shell=True, cwd=image, capture_output=True).stdout
    packed = subprocess.run("cpio --quiet -o -H newc -R 0:0 | zstd -q -3", shell=True, cwd=image, input=names, capture_output=True, check=True).stdout
    out.write(packed)
os.chmod(K / "initramfs.img", 0o600)
shutil.rmtree(image)
# Removes the files that no check reads, and records the kernel as a package in an rpmdb.
KEPT = {"lib", "lib64", "os-release"}
for path in list(tree.iterdir()):
    if path.name in ("boot", "etc", "dev", "proc", "sys", "tmp", "run", "var") and path.is_dir():
        shutil.rmtree(path)
        path.mkdir()
for path in list((tree / "usr").iterdir()):
    if path.name not in KEPT and not path.is_symlink():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
for path in list((tree / "usr/lib").iterdir()):
    if path.name not in ("modules", "systemd", "ostree", "os-release", "modprobe.d"):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
arch = sys.argv[2]
spec = tree / "kernel.spec"
version, release = re.sub(r"[^0-9.].*", "", kver), "1.bed"
files = [f"/usr/lib/modules/{kver}/vmlinuz"]
files += ["/" + str(it.relative_to(tree)) for it in K.rglob("*.ko*") if it.is_file()]
spec.write_text(f"""Name: kernel-core
Version: {version}
Release: {release}
Summary: Kernel
License: GPL-2.0-only
Provides: kernel-uname-r = {kver}
AutoReqProv: no
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _binary_payload w0.gzdio
%global __strip /bin/true
%description
Kernel
%install
mkdir -p %{{buildroot}}/usr/lib/modules
cp -a {K} %{{buildroot}}/usr/lib/modules/
rm -f %{{buildroot}}/usr/lib/modules/{kver}/initramfs.img %{{buildroot}}/usr/lib/modules/{kver}/modules.*
rm -f %{{buildroot}}/usr/lib/modules/{kver}/config %{{buildroot}}/usr/lib/modules/{kver}/System.map
%files
""" + "\n".join(files) + "\n")
out = tree / "rpm"
subprocess.run(["rpmbuild", "-bb", "--quiet", "--target", arch, "--define", f"_topdir {out}",
    "--define", "_wrong_version_format_terminate_build 0", spec], check=True)
package = next(out.rglob("*.rpm"))
database = tree / "usr/share/rpm"
database.mkdir(parents=True)
common = ["rpm", "--dbpath", database, "--define", "_db_backend sqlite"]
subprocess.run([*common, "--justdb", "--nodeps", "--noscripts", "--ignorearch", "--ignoreos", "-i", package], check=True)
shutil.rmtree(out)
spec.unlink()
print(kver, len(packed))
