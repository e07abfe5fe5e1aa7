"""Reads the disks of a machine that has ended: its journal, and the output of `ostree-kernel status` after the next
boot."""

import contextlib
import re
import shutil
import subprocess
import time

from machine import Failed, State, run


@contextlib.contextmanager
def exported(path, kind, raw, writable=False):
    """Exports a disk image as a raw file at the path `raw`, through FUSE."""
    raw.touch()
    mode = "read-only=on,force-share=on" if not writable else "read-only=off"
    export = subprocess.Popen(
        ["qemu-storage-daemon", "--blockdev", f"driver={kind},node-name=r,{mode},file.driver=file,file.filename={path}"]
        + ["--export", f"type=fuse,id=e,node-name=r,mountpoint={raw},writable={'on' if writable else 'off'}"]
    )
    try:
        for _ in range(200):
            if raw.stat().st_size:
                break
            time.sleep(0.05)
        yield raw
    finally:
        export.terminate()
        export.wait()


def journal(state, units):
    """Returns the messages of units in the last boot of a machine that has ended; "" if its disk has no journal."""
    place = state.place
    (path, kind) = next((path, kind) for name, path, kind in state.disks() if name == "root")
    found = place / "journal"
    shutil.rmtree(found, ignore_errors=True)
    found.mkdir()
    with exported(path, kind, place / "root.raw") as raw:
        run("debugfs", "-R", f"rdump /ostree/deploy/bed/var/log/journal {found}", raw)
    options = [option for unit in units for option in ("-u", unit)]
    places = [path.parent for path in found.rglob("system.journal")]
    if not places:
        return ""
    return run("journalctl", "-D", places[0], "-b", "0", "-o", "cat", "--no-pager", *options)


@contextlib.contextmanager
def mounted(raw, place):
    """Mounts a file system. Its journal is replayed, as at a boot."""
    place.mkdir(parents=True, exist_ok=True)
    run("mount", "-o", "loop", raw, place)
    try:
        yield place
    finally:
        run("umount", "-R", place)


def status(state, entry, tool):
    """Returns the name of a boot entry's deployment, and the output of `status` in it. The program runs on this
    machine. Overlays of the disks are mounted as ostree mounts the disks."""
    copy = State(state.place).copy(state.place / "status")
    disks = {name: (path, kind) for name, path, kind in copy.disks()}
    place = copy.place
    with contextlib.ExitStack() as stack:
        root, boot = (
            stack.enter_context(mounted(stack.enter_context(exported(*disks[name], place / f"{name}.raw", True)), place / name))
            for name in ("root", "boot")
        )
        link = re.search(r"ostree=/(\S+)", entry["options"])[1]
        deployment = (root / link).resolve()
        tree = stack.enter_context(bound(deployment, place / "tree"))
        for source, target in ((root, "sysroot"), (boot, "boot"), (deployment.parent.parent / "var", "var")):
            stack.enter_context(bound(source, tree / target))
        for target, file, text in (("run", "ostree-booted", ""), ("proc", "cmdline", entry["options"] + "\n")):
            run("mount", "-t", "tmpfs", "tmpfs", tree / target)
            stack.callback(run, "umount", tree / target)
            (tree / target / file).write_text(text)
        done = subprocess.run([tool, "status", "--root", tree], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"status: {done.stderr.strip()}")
        return deployment.name, " | ".join(line.strip() for line in done.stdout.splitlines())


@contextlib.contextmanager
def bound(source, target):
    target.mkdir(exist_ok=True)
    run("mount", "--bind", source, target)
    try:
        yield target
    finally:
        run("umount", target)
