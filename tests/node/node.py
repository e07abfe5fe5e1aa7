#!/usr/bin/python3
"""Stages deployments on a real ostree system in QEMU, reboots it, and boots what a boot loader would take from its disk.

    node.py --node DIR --product DIR table [--only NAME,…] [--modes without,with]
    node.py --node DIR --product DIR shutdown [--runs N]
    node.py --node DIR --product DIR kills N
    node.py --node DIR --product DIR cannot-start

--node has the disks of `bed node`; --product is what `make install DESTDIR=` made. The system is brought up once, saved, and
continued for each test. It is rebooted one second after staging, unless the test says otherwise.
"""

import argparse
import pathlib
import random
import re
import shutil
import statistics
import sys
import time

from machine import BootDisk, Failed, Machine, State, journal, resume, run

STEADY = "no_timer_check"
# A boot that is meant to fail fails soon; one that is meant to succeed may be slow on a busy machine.
SOON, LATE = "rd.retry=10 rd.timeout=25", "rd.retry=300 rd.timeout=900"
END = rb"NODE-UP |Kernel panic|Boot has failed|Freezing execution|reboot: Power down"
KNOWN = (
    r"Initramfs unpacking failed|Failed to execute|Cannot open root device|Kernel panic|Freezing execution|Failed to start"
    r"|error while loading|Timed out|Boot has failed|Cannot|cannot"
)
UNITS = "ostree-kernel-gate.service"
DROP_INS = "/etc/systemd/system/ostree-kernel-.service.d"
SERVICES = ["ostree-kernel-gate.service", "ostree-kernel-gate-staged.service", "ostree-finalize-staged.service"]


class Node:
    def __init__(self, place, product, limit):
        self.place = pathlib.Path(place)
        self.base = State(self.place)
        self.product = product
        self.payload = self.place / "payload.img"
        self.limit = limit
        self.old = BootDisk(self.base.copy(self.place / "look")).default()["checksum"]

    def fill(self):
        """The product on a disk of its own, which the saved system has not read yet."""
        with open(self.payload, "wb") as disk:
            disk.truncate(96 << 20)
        run("mke2fs", "-q", "-t", "ext4", "-d", self.product, self.payload)

    def saved(self, name, base, prepare):
        """Returns the saved state `name`; if there is none, `prepare` makes a machine for it."""
        place = self.place / name
        state = State(place)
        if not state.memory.exists():
            shutil.rmtree(place, ignore_errors=True)
            machine = prepare(base, place)
            machine.save(state.memory)
        return state

    def booted(self):
        def prepare(base, place):
            state = base.copy(place)
            entry = BootDisk(state).default()
            entry["options"] += f" {STEADY}"
            machine = Machine(state, self.payload, boot=entry)
            machine.expect(rb":ready:", 1200)
            machine.do("systemctl is-system-running --wait", check=False)
            machine.do("systemctl log-target journal-or-kmsg; sync; ostree admin status; sleep 3")
            return machine

        return self.saved("booted", self.base, prepare)

    def warm(self):
        """Returns a state whose page cache has the files that staging reads: a checkout takes half of a test's time."""

        def prepare(base, place):
            machine = resume(base, place, self.payload)
            name = variants(self.place.name, None)[0][0]
            machine.do(f"ostree admin deploy --stage --os bed node/{name}; ostree admin undeploy 0; sync; sleep 2", 900)
            return machine

        return self.saved("warm", self.booted(), prepare)

    def installed(self):
        """Returns a state with the product, and with the gate enabled as ostree-kernel-gate(8) describes."""

        def prepare(base, place):
            machine = resume(base, place, self.payload)
            machine.do("mkdir /run/p; mount -o ro /dev/vdc /run/p; mount -o remount,bind,rw /usr; cp -a /run/p/usr/. /usr/")
            machine.do("sync; mount -o remount,bind,ro /usr; umount /run/p; systemctl daemon-reload")
            machine.do(f"systemctl preset {UNITS}; ! systemctl is-enabled {UNITS}")
            # An emulated processor on a busy machine is a hundred times slower than a node's.
            machine.do(f"mkdir -p {DROP_INS}; printf '[Service]\\nTimeoutStopSec=900\\n' >{DROP_INS}/bed.conf; systemctl daemon-reload")
            print(machine.do(f"systemctl enable --now {UNITS}; systemctl is-active {UNITS} ostree-kernel-gate-staged.path; ostree-kernel --version; sync; sleep 3", 900))
            print(machine.do("time ostree-kernel verify --deployment booted", 900, check=False)[1])
            return machine

        return self.saved("installed", self.warm(), prepare)

    def stage_and_reboot(self, state, name, before="true", after="sleep 1"):
        """Stages a deployment and reboots; returns the state of the disks afterwards."""
        machine = resume(state, self.place / "run", self.payload)
        try:
            machine.do(before)
            machine.send(f"ostree admin deploy --stage --os bed node/{name} && {after} && systemctl reboot")
            if not machine.wait(self.limit):
                raise Failed(f"{name}: no end of the shutdown within {self.limit} s")
            return machine
        finally:
            machine.kill()

    def boot(self, disks, patience=LATE):
        """Boots the default entry of /boot; returns the entry, the deployment that came up (or None), and the console."""
        entry = BootDisk(disks).default()
        entry["options"] += f" {STEADY} {patience} rd.shell=0 rd.emergency=poweroff panic=-1 init=/usr/lib/node/report"
        machine = Machine(disks, self.payload, boot=entry)
        try:
            machine.wait(self.limit, END)
        finally:
            machine.kill()
        text = machine.text()
        up = re.search(r"^NODE-UP (\S+) ([0-9a-f]{64}\.\d+)", text, re.M)
        return entry, up and up[2], text

    def is_the_booted_one(self, disks):
        """Whether /boot would load the same bytes as before."""
        before, now = BootDisk(self.base.copy(self.place / "look")).default(), BootDisk(disks).default()
        same = [before[key] == now[key] for key in ("entry", "options", "checksum")]
        return all(same + [before[key].read_bytes() == now[key].read_bytes() for key in ("kernel", "initrd")])

    def which(self, entry):
        return "old" if entry["checksum"] == self.old else "new"


def last_word(text):
    lines = [re.sub(r"^\[ *[\d.]+\] ", "", line) for line in text.splitlines() if line.strip()]
    return next((line for line in lines if re.search(KNOWN, line)), lines[-1] if lines else "nothing on the console")[:110]


def reason(text):
    """The gate's sentence about a refusal."""
    return next((line for line in text.splitlines() if re.search(r"is refused", line)), "")


def variants(suite, only):
    lines = (pathlib.Path(__file__).parent / "variants.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    rows = [(name, kind) for name, of, kind in rows if of == suite]
    return [row for row in rows if not only or row[0] in only]


def table(node, options):
    """Broken deployments without and with the gate, good ones with it."""
    wrong = []
    totals = {}
    for name, kind in variants(node.place.name, options.only):
        for mode in options.modes if kind == "broken" else ["with"]:
            start = time.monotonic()
            try:
                state = node.warm() if mode == "without" else node.installed()
                disks = node.stage_and_reboot(state, name).state
                why = reason(journal(disks, SERVICES)) if mode == "with" else ""
                if options.quick and node.is_the_booted_one(disks):
                    entry, is_up, result = BootDisk(disks).default(), True, "old entry, the same bytes in /boot as before"
                else:
                    entry, up, text = node.boot(disks, SOON if mode == "without" else LATE)
                    is_up = bool(up)
                    result = f"{node.which(entry)} entry, " + ("up" if is_up else f"dead: {last_word(text)}")
                right = {
                    ("broken", "without"): node.which(entry) == "new" and not is_up,
                    ("broken", "with"): node.which(entry) == "old" and is_up and bool(why),
                    ("good", "with"): node.which(entry) == "new" and is_up,
                }[kind, mode]
                if mode == "with" and kind == "broken":
                    result += f"; journal: {why[:160]}"
            except Failed as error:
                right, result = False, f"not tried: {error}"
            key = f"{kind} {mode} the gate"
            totals.setdefault(key, [0, 0])
            totals[key][0] += 1
            totals[key][1] += right
            wrong += [] if right else [name]
            print(f"{'ok   ' if right else 'WRONG'} {kind:6} {mode:7} {name}: {result} [{time.monotonic() - start:.0f} s]", flush=True)
    for key, (number, right) in totals.items():
        print(f"{key}: {right} of {number} as expected")
    return not wrong


def stamp(text, pattern):
    found = re.search(r"^\[ *(\d+\.\d+)\] .*" + pattern, text, re.M)
    return float(found[1]) if found else None


LOUD = "systemctl log-target kmsg; dmesg -n 7; echo on >/proc/sys/kernel/printk_devkmsg"


def shutdown(node, options):
    """The shutdown's duration by the kernel's clock in systemd's messages, from the first stopped unit to the reboot."""
    wait = "for i in $(seq 600); do test -s /var/lib/ostree-kernel/gate.json && break; sleep 0.1; done; sleep 2"
    for label, state, name, after in (
        ("without the gate", node.warm(), "trixie-replaced", "sleep 1"),
        ("judged before", node.installed(), "trixie-replaced", wait),
        ("judged at shutdown", node.installed(), "trixie-replaced", "true"),
    ):
        whole, gate = [], []
        before = LOUD if label != "judged at shutdown" else LOUD + "; systemctl stop ostree-kernel-gate-staged.path"
        for _ in range(options.runs):
            text = node.stage_and_reboot(state, name, before, after).text()
            begin, end = stamp(text, r"Stopped target multi-user\.target"), stamp(text, r"systemd-shutdown\[1\]: Rebooting")
            if begin and end:
                whole.append(end - begin)
            begin, end = (stamp(text, rf"systemd\[1\]: {verb} ostree-kernel-gate\.service") for verb in ("Stopping", "Stopped"))
            if begin and end:
                gate.append(end - begin)
        times = [f"{label}: {len(whole)} shutdowns, median {statistics.median(whole):.2f} s" if whole else f"{label}: no times"]
        if gate:
            times.append(f"the gate {statistics.median(gate):.2f} s ({min(gate):.2f} to {max(gate):.2f})")
        print(", ".join(times), flush=True)
    return True


# Survives until systemd kills what is left, and kills the gate once. (The loop is cheap: the processor is emulated.)
KILLER = (
    "systemd-run -q -p DefaultDependencies=no bash -c "
    "'for i in $(seq 3000); do P=$(pgrep -x ostree-kernel) && break; sleep 0.2; done; sleep {delay}; kill -9 $P'"
)


def kills(node, options):
    """Kills the gate at random times, in turn by SIGKILL and by a power cut; the node boots either deployment."""
    wrong = 0
    rng = random.Random(options.seed)
    names = [row for row in variants(node.place.name, options.only)]
    for number in range(options.number):
        name, kind = rng.choice(names)
        delay = rng.random() * options.span
        how = "power cut" if number % 2 else "SIGKILL"
        state = node.installed()
        quiet = "systemctl stop ostree-kernel-gate-staged.path"
        try:
            if how == "SIGKILL":
                done = node.stage_and_reboot(state, name, f"{quiet}; {KILLER.format(delay=f'{delay:.2f}')}")
                disks = done.state
            else:
                machine = resume(state, node.place / "run", node.payload)
                try:
                    machine.do(f"{LOUD}; {quiet}")
                    machine.send(f"ostree admin deploy --stage --os bed node/{name} && sleep 1 && systemctl reboot")
                    machine.wait(node.limit, rb"Stopping ostree-kernel-gate\.service")
                    time.sleep(delay)
                finally:
                    machine.kill()
                disks = machine.state
            entry, up, text = node.boot(disks)
            # With the policy "allow", a deployment that a killed gate did not refuse is finalised, even a broken one.
            right = bool(up) or (kind == "broken" and node.which(entry) == "new" and how == "SIGKILL")
            status = " | ".join(line[7:] for line in text.splitlines() if line.startswith("STATUS "))
            result = f"{node.which(entry)} entry, {'up' if up else 'dead: ' + last_word(text)}; {status[:200]}"
        except Failed as error:
            right, result = False, str(error)
        wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {how} after {delay:.2f} s, {kind} {name}: {result}", flush=True)
    print(f"{options.number - wrong} of {options.number} as expected")
    return not wrong


BROKEN_GATES = {
    "program removed": "mount -o remount,bind,rw /usr; rm /usr/bin/ostree-kernel; mount -o remount,bind,ro /usr",
    "unit masked": "systemctl mask --now ostree-kernel-gate.service ostree-kernel-gate-staged.service",
    "sandbox broken": f"mkdir -p {DROP_INS}; printf '[Service]\\nReadWritePaths=/not/there\\n' "
    f">{DROP_INS}/x.conf; systemctl daemon-reload",
    "hangs": "mount -o remount,bind,rw /usr; rm /usr/bin/ostree-kernel; printf '#!/bin/sh\\nexec sleep 1000\\n' >/usr/bin/ostree-kernel; "
    f"chmod 755 /usr/bin/ostree-kernel; mount -o remount,bind,ro /usr; printf '[Service]\\nTimeoutStopSec=15\\n' >{DROP_INS}/x.conf; "
    "systemctl daemon-reload",
    "crashes": "mount -o remount,bind,rw /usr; rm /usr/bin/ostree-kernel; printf '#!/bin/sh\\nkill -SEGV $$\\n' >/usr/bin/ostree-kernel; "
    "chmod 755 /usr/bin/ostree-kernel; mount -o remount,bind,ro /usr",
}


def cannot_start(node, options):
    """A gate that cannot start, crashes or hangs does not block an update."""
    wrong = 0
    for how, change in BROKEN_GATES.items():
        if options.only and how not in options.only:
            continue
        start = time.monotonic()
        try:
            done = node.stage_and_reboot(node.installed(), "trixie-replaced", change)
            entry, up, _ = node.boot(done.state)
            right, result = node.which(entry) == "new" and bool(up), f"{node.which(entry)} entry, {'up' if up else 'dead'}"
        except Failed as error:
            right, result = False, str(error)
        wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {how}: {result} [{time.monotonic() - start:.0f} s]", flush=True)
    return not wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", required=True)
    parser.add_argument("--product", required=True)
    parser.add_argument("--limit", type=int, default=600)
    verbs = parser.add_subparsers(dest="verb", required=True)
    names = lambda text: text.split(",")
    verb = verbs.add_parser("table")
    verb.add_argument("--only", type=names)
    verb.add_argument("--modes", type=names, default=["without", "with"])
    verb.add_argument("--quick", action="store_true", help="do not boot an unchanged /boot again, but compare its bytes")
    verb = verbs.add_parser("shutdown")
    verb.add_argument("--runs", type=int, default=10)
    verb = verbs.add_parser("kills")
    verb.add_argument("number", type=int)
    verb.add_argument("--seed", default="1")
    verb.add_argument("--span", type=float, default=5.0)
    verb.add_argument("--only", type=names)
    verb = verbs.add_parser("cannot-start")
    verb.add_argument("--only", type=names)
    options = parser.parse_args()
    node = Node(options.node, options.product, options.limit)
    node.fill()
    verb = {"table": table, "shutdown": shutdown, "kills": kills, "cannot-start": cannot_start}[options.verb]
    sys.exit(0 if verb(node, options) else 1)


main()
