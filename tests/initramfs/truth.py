#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Compares the results of `verify` for random single mutations with real boots: the work of `bed truth`.

    truth.py --tool FILE --store DIR --seed HEX --number N [--jobs N] SUITE=DIR [SUITE=DIR]

DIR has the parts of a replaced image: root/ (its tree), disk.img (a deployment of it), options (the kernel's command line).

A third of the mutations are made in the initramfs, which is verified in its tree; a third in the tree before dracut
makes the initramfs; and a third in the initramfs, which is verified without a tree. Half of the paths are drawn from
all files, half from those that `inspect --graph` reaches from PID 1. The classes, whose rules were fixed in advance, are
printed with each line:

    agree            verify passes it and it boots, or verify rejects it and it does not boot
    passes-and-dies  verify passes it and it does not boot
    rejected-boots   verify rejects it and it boots
    damaged-boots    as rejected-boots, and the path is on the boot graph: this boot did not reach the damaged part, or did
                     not need the file. Not a false rejection
    other-hardware   as rejected-boots, and the path is a kernel module or firmware, which hardware other than that of the
                     test (virtio, ext4) may need. Not a false rejection
    no-image         dracut refused to make an image of the changed tree; not counted

The result of a boot is cached under the digest of kernel, initramfs and command line.
"""

import argparse
import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import random
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time

THIRDS = ("initramfs", "tree", "alone")
END = re.compile(rb"^BOOT-OK |Kernel panic|Boot has failed|Freezing execution|reboot: Power down", re.M)
BOOTED = re.compile(rb"^BOOT-OK .* root=deployment ", re.M)
DRACUT = ["dracut", "--no-hostonly", "--reproducible", "--no-compress", "--add", "ostree", "-f"]


class Archive:
    """A newc archive: its entries by path, in their order. Of several entries with one path, the last one counts."""

    def __init__(self, data):
        self.entries = {}
        at = 0
        while True:
            fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
            name = data[at + 110 : at + 109 + fields[11]].decode("utf-8", "surrogateescape")
            start = (at + 110 + fields[11] + 3) & ~3
            at = (start + fields[6] + 3) & ~3
            if name == "TRAILER!!!":
                break
            self.entries[name] = [fields, data[start : start + fields[6]]]
        self.separate_names()

    def separate_names(self):
        """Turns hard links into separate files: the data belongs to the last name, which a mutation may remove."""
        files = {}
        for fields, data in self.entries.values():
            if stat.S_ISREG(fields[1]) and fields[4] > 1:
                file = (fields[0], fields[7], fields[8])
                files[file] = data or files.get(file, b"")
        for number, (name, (fields, _)) in enumerate(self.entries.items()):
            data = files.get((fields[0], fields[7], fields[8]))
            if data is not None and stat.S_ISREG(fields[1]):
                self.entries[name] = [[number + 2_000_000, fields[1], fields[2], fields[3], 1, *fields[5:]], data]

    def put(self, path, mode, data):
        fields = [len(self.entries) + 1_000_000, mode, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
        self.entries[path] = [fields, data]

    def add_parents(self, path):
        parents = pathlib.PurePosixPath(path).parents
        for parent in reversed([str(it) for it in parents if str(it) != "."]):
            if parent not in self.entries:
                self.put(parent, stat.S_IFDIR | 0o755, b"")

    def to_bytes(self):
        """Returns the archive; entries are in the order in which they were added."""
        out = []
        trailer = {"TRAILER!!!": [[0] * 4 + [1] + [0] * 8, b""]}
        for name, (fields, data) in {**self.entries, **trailer}.items():
            raw = name.encode("utf-8", "surrogateescape") + b"\0"
            fields = fields[:6] + [len(data)] + fields[7:11] + [len(raw), 0]
            out.append(b"070701" + b"".join(b"%08X" % it for it in fields) + raw)
            out.append(b"\0" * (-(110 + len(raw)) % 4) + data + b"\0" * (-len(data) % 4))
        return b"".join(out)


class Suite:
    def __init__(self, name, directory, tool):
        self.name, self.dir, self.tool = name, pathlib.Path(directory), tool
        self.root = self.dir / "root"
        kernels = [it.parent.name for it in self.root.glob("usr/lib/modules/*/vmlinuz")]
        (self.kver,) = kernels
        self.kernel = self.root / "usr/lib/modules" / self.kver / "vmlinuz"
        self.image = self.root / "usr/lib/modules" / self.kver / "initramfs.img"
        self.options = (self.dir / "options").read_text().strip()
        plain = subprocess.run(
            ["sh", "-c", 'case $(head -c 4 "$1" | od -An -tx1) in *28\\ b5*) zstd -dc "$1" ;; *1f\\ 8b*) gzip -dc "$1" ;; *) cat "$1" ;; esac', "-", self.image],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        ).stdout
        self.plain = plain
        archive = Archive(plain)
        files = [path for path, (fields, _) in archive.entries.items() if not stat.S_ISDIR(fields[1])]
        self.files = sorted(files)
        self.graph = self.reached(files)

    def reached(self, files):
        """Returns the paths in the output of `inspect --graph`."""
        said = subprocess.run(
            [self.tool, "--format", "json", "inspect", "--graph", self.image], capture_output=True, text=True, check=True
        )
        known = set(files)
        return sorted(path for path in (it["path"] for it in json.loads(said.stdout)["graph"]) if path in known)


def is_text(data):
    return b"\0" not in data[:4096] and b"\n" in data


def change(rng, data, others):
    """Changes a file's content at random; returns the name of the change and the new content, or None."""
    ways = ["cut", "zeros"] if data else []
    if is_text(data):
        ways += ["line", "character"]
    if others is not None and others != data:
        ways.append("namesake")
    if not ways:
        return None
    way = rng.choice(ways)
    data = bytearray(data)
    if way == "cut":
        return way, bytes(data[: rng.randrange(len(data))])
    if way == "zeros":
        size = min(4096, max(1, len(data) // 2))
        start = rng.randrange(len(data) - size + 1)
        data[start : start + size] = b"\0" * size
        return way, bytes(data)
    if way == "line":
        lines = bytes(data).splitlines(keepends=True)
        del lines[rng.randrange(len(lines))]
        return way, b"".join(lines)
    if way == "character":
        at = rng.randrange(len(data))
        data[at] = rng.choice([it for it in b"abcdefghijklmnopqrstuvwxyz0123456789=/. " if it != data[at]])
        return way, bytes(data)
    return way, others


def mask(path):
    """Returns the path where a link to /dev/null masks this unit or file of udev rules; None for any other file."""
    for directory, own in (("systemd/system/", "etc/systemd/system/"), ("udev/rules.d/", "etc/udev/rules.d/")):
        if directory in path and path.count("/") == f"usr/lib/{directory}".count("/"):
            return own + path.rsplit("/", 1)[1]
    return None


def mutate_archive(rng, path, archive, other):
    """Changes one entry; returns the name of the change, or None if nothing was changed."""
    fields, data = archive.entries[path]
    is_file = stat.S_ISREG(fields[1])
    ways = ["remove", "type"]
    if is_file:
        ways += ["bytes"] * 4 + ["override"]
        if fields[1] & 0o111:
            ways += ["mode"] * 2
    if mask(path):
        ways += ["mask"] * 2
    way = rng.choice(ways)
    if way == "remove":
        del archive.entries[path]
    elif way == "type":
        if rng.random() < 0.5:
            archive.entries[path] = [[fields[0], stat.S_IFDIR | 0o755] + fields[2:], b""]
        else:
            archive.entries[path] = [[fields[0], stat.S_IFLNK | 0o777] + fields[2:], b"nowhere"]
    elif way == "mode":
        archive.entries[path][0][1] = fields[1] & ~0o111
    elif way == "mask":
        archive.add_parents(mask(path))
        archive.put(mask(path), stat.S_IFLNK | 0o777, b"/dev/null")
        return f"mask {mask(path)}"
    elif way == "override":
        taken = rng.choice(sorted(archive.entries))
        archive.entries[path][1] = archive.entries[taken][1]
        return f"override with {taken}"
    else:
        changed = change(rng, data, other)
        if changed is None or changed[1] == data:
            return None
        way, archive.entries[path][1] = changed
    return way


def mutate_tree(rng, path, root, other):
    """Changes one file of a tree; returns the name of the change, or None if nothing was changed."""
    file = root / path
    if file.is_symlink() or not file.is_file():
        if not file.is_symlink():
            return None
        file.unlink()
        return "remove"
    mode = stat.S_IMODE(file.stat().st_mode)
    ways = ["remove"] + ["bytes"] * 4 + (["mode"] * 2 if mode & 0o111 else [])
    way = rng.choice(ways)
    if way == "remove":
        file.unlink()
    elif way == "mode":
        file.chmod(mode & ~0o111)
    else:
        data = file.read_bytes()
        changed = change(rng, data, other)
        if changed is None or changed[1] == data:
            return None
        way = changed[0]
        file.unlink()
        file.write_bytes(changed[1])
        file.chmod(mode)
    return way


def namesake(suites, suite, path):
    for another in suites:
        file = another.root / path
        if another is not suite and file.is_file() and not file.is_symlink():
            return file.read_bytes()
    return None


def verify(tool, arguments):
    said = subprocess.run([tool, "--format", "json", *arguments], capture_output=True, text=True, check=False)
    try:
        findings = json.loads(said.stdout).get("findings", [])
    except ValueError:
        findings = []
    fatal = sorted({it["check"] for it in findings if it["severity"] == "fatal"})
    return said.returncode, fatal


def in_overlay(suite, work, run):
    """Calls run(tree) with a copy of the tree that can be changed, in this process's mount namespace."""
    upper, overlay, tree = work / "upper", work / "work", work / "tree"
    for it in (upper, overlay, tree):
        it.mkdir()
    options = f"lowerdir={suite.root},upperdir={upper},workdir={overlay}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tree], check=True)
    try:
        return run(tree)
    finally:
        subprocess.run(["umount", "-l", tree], check=False)


def dracut(suite, tree):
    """Builds the image of a tree; returns whether dracut succeeded."""
    image = f"/usr/lib/modules/{suite.kver}/initramfs.img"
    (tree / image.lstrip("/")).unlink(missing_ok=True)
    mounts = 'for it in proc sys dev; do mount --rbind "/$it" "$1/$it"; done; mount -t tmpfs tmpfs "$1/run"; shift'
    line = mounts + '; exec env -i PATH=/usr/sbin:/usr/bin DRACUT_NO_XATTR=1 chroot "$@"'
    command = [*DRACUT, image, "--kver", suite.kver]
    made = subprocess.run(["unshare", "-m", "sh", "-ec", line, "-", tree, tree, *command], capture_output=True, check=False)
    return made.returncode == 0 and (tree / image.lstrip("/")).is_file()


def processor_seconds(pid):
    """Returns the processor time of a process: unlike wall time, it does not depend on other load."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def boot(suite, image, store, limit):
    """Returns whether the deployment comes up with the image, the line of the console that says most, and the processor
    seconds that it took.

    The guest's clock counts instructions (-icount), so that no timeout of the guest expires early on a busy
    host, and time that the guest spends waiting is skipped. A guest that has taken `limit` processor seconds
    counts as hanging.
    """
    append = f"{suite.options} init=/usr/lib/bed/marker systemd.show_status=error panic=-1 no_timer_check"
    append += " rd.retry=60 rd.timeout=90 rd.shell=0 rd.emergency=poweroff"
    digest = hashlib.sha256()
    for part in (suite.kernel.read_bytes(), image.read_bytes(), append.encode()):
        digest.update(hashlib.sha256(part).digest())
    kept = store / digest.hexdigest()[:32]
    if kept.exists():
        known = json.loads(kept.read_text())
        return known["boots"], known["last"], known["seconds"]
    console = image.with_suffix(".console")
    seconds = 0.0
    with open(console, "wb") as out:
        qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-icount", "shift=3,sleep=off", "-M", "q35", "-m", "1024",
             "-smp", "1", "-nographic", "-no-reboot", "-nic", "none", "-kernel", suite.kernel, "-initrd", image,
             "-append", append, "-drive", f"file={suite.dir / 'disk.img'},format=raw,if=virtio,snapshot=on"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )
        while qemu.poll() is None and seconds < limit and not END.search(console.read_bytes().replace(b"\r", b"")):
            time.sleep(0.5)
            seconds = max(seconds, processor_seconds(qemu.pid))
        qemu.kill()
        qemu.wait()
    text = console.read_bytes().replace(b"\r", b"")
    boots = bool(BOOTED.search(text))
    lines = [re.sub(r"\x1b(\[[0-9;?!]*[a-zA-Z]|c)", "", line) for line in text.decode("utf-8", "replace").splitlines()]
    known = re.compile("Initramfs unpacking failed|Failed to execute|Cannot open root|Kernel panic|Freezing|Failed to start|error while|Timed out|Boot has failed")
    last = next((line for line in lines if known.search(line)), next((it for it in reversed(lines) if it.strip()), ""))
    last = last.strip()[:160]
    if text:
        kept.write_text(json.dumps({"boots": boots, "last": last, "seconds": seconds}))
    return boots, last, seconds


def classify(suite, path, status, boots):
    if (status == 0) == boots:
        return "agree"
    if status == 0:
        return "passes-and-dies"
    if re.search(r"lib/(modules|firmware)/", path):
        return "other-hardware"
    if path in suite.graph:
        return "damaged-boots"
    return "rejected-boots"


def one(number, options, suites, store):
    """Makes, verifies and boots one mutation; returns its third, its class and its line."""
    rng = random.Random(f"{options.seed}/{number}")
    third = THIRDS[number % 3]
    suite = suites[(number // 3) % len(suites)]
    with tempfile.TemporaryDirectory(prefix="truth-", dir=options.store) as work:
        work = pathlib.Path(work)
        for _ in range(50):
            path = rng.choice(suite.graph if rng.random() < 0.5 else suite.files)
            other = namesake(suites, suite, path)
            if third != "tree":
                archive = Archive(suite.plain)
                done = mutate_archive(rng, path, archive, other)
                if done is None:
                    continue
                image = work / "image"
                image.write_bytes(archive.to_bytes())
                image.chmod(0o600)
                if third == "alone":
                    status, fatal = verify(options.tool, ["verify", "--initramfs", image, "--kver", suite.kver])
                else:
                    def judge(tree):
                        place = tree / "usr/lib/modules" / suite.kver / "initramfs.img"
                        shutil.copy(image, place)
                        place.chmod(0o600)
                        return verify(options.tool, ["verify", "--root", tree])
                    status, fatal = in_overlay(suite, work, judge)
            else:
                def make(tree):
                    done = mutate_tree(rng, path, tree, other)
                    if done is None:
                        return None
                    if not dracut(suite, tree):
                        return done, None, None
                    place = tree / "usr/lib/modules" / suite.kver / "initramfs.img"
                    place.chmod(0o600)
                    shutil.copy(place, work / "image")
                    return done, *verify(options.tool, ["verify", "--root", tree])
                made = in_overlay(suite, work, make)
                for it in ("upper", "work", "tree"):
                    shutil.rmtree(work / it, ignore_errors=True)
                if made is None:
                    continue
                done, status, fatal = made
                image = work / "image"
            break
        head = f"{number}\t{third}\t{suite.name}\t{path}\t{done}"
        if status is None:
            return third, "no-image", f"no-image\t{head}"
        boots, last, _ = boot(suite, image, store, options.limit)
    kind = classify(suite, path, status, boots)
    said = "passes" if status == 0 else f"exit {status} ({' '.join(fatal)})"
    return third, kind, f"{kind}\t{head}\t{said}\t{'boots' if boots else 'dies: ' + last}"


def bound(count, of):
    """Returns the upper 95 % bound of a rate (Wilson score interval)."""
    if of == 0:
        return 1.0
    z, rate = 1.96, count / of
    centre = rate + z * z / (2 * of)
    return (centre + z * math.sqrt(rate * (1 - rate) / of + z * z / (4 * of * of))) / (1 + z * z / of)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--store", type=pathlib.Path, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("suites", nargs="+")
    options = parser.parse_args()
    store = options.store / "boots"
    store.mkdir(parents=True, exist_ok=True)
    suites = [Suite(*it.split("=", 1), options.tool) for it in options.suites]
    seconds = []
    for suite in suites:
        # A failure is meaningful only if the unchanged image boots.
        plain = options.store / f"{suite.name}.plain"
        plain.write_bytes(suite.plain)
        boots, last, took = boot(suite, plain, options.store, math.inf)
        if not boots:
            sys.exit(f"truth: the image of {suite.name} itself does not boot: {last}")
        seconds.append(took)
    options.limit = 5 * max(seconds)
    counts = {third: {} for third in THIRDS}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for third, kind, line in pool.map(lambda it: one(it, options, suites, store), range(options.number)):
            counts[third][kind] = counts[third].get(kind, 0) + 1
            print(line, flush=True)
            bad = counts[third]
            bad.setdefault("dies", 0)
            if kind == "passes-and-dies" or (kind == "agree" and "\tdies: " in line):
                bad["dies"] += 1
    print(f"seed {options.seed}, {options.number} mutations")
    for third, kinds in counts.items():
        dies, passes = kinds.pop("dies", 0), kinds.get("passes-and-dies", 0)
        boots = sum(kinds.get(it, 0) for it in ("agree", "rejected-boots")) - (dies - passes)
        rejected = kinds.get("rejected-boots", 0)
        print(f"{third}: {kinds}; of {dies} that do not boot {passes} pass (at most {bound(passes, dies):.0%}); "
              f"of {boots} that boot {rejected} are rejected (at most {bound(rejected, boots):.0%})")


if __name__ == "__main__":
    main()
