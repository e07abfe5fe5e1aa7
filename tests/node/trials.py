"""Tests of the gate that are not in `node.py table`: shutdown times, kills, power cuts, gates that fail, the policy."""

import pathlib
import random
import re
import statistics
import time

from disk import journal, status
from machine import Failed, resume
from system import DROP_INS, LATE, SERVICES, last_word, variants

LOUD = "systemctl log-target kmsg; dmesg -n 7; echo on >/proc/sys/kernel/printk_devkmsg"


def say(right, line):
    print(f"{'ok   ' if right else 'WRONG'} {line}", flush=True)


def stamp(text, pattern):
    found = re.search(r"^\[ *(\d+\.\d+)\] .*" + pattern, text, re.M)
    return float(found[1]) if found else None


def staged(node, name, gate=True):
    """Returns a saved state in which a deployment is staged, and not verified yet."""

    def prepare(base, place):
        machine = resume(base, place, node.payload)
        machine.do(LATE, check=gate)
        machine.do(f"ostree admin deploy --stage --os bed node/{name}; sync; sleep 2", 900)
        return machine

    base = node.installed() if gate else node.warm()
    return node.saved(f"{base.place.name}-staged-{name}", base, prepare)


def shutdown(node, options):
    """Measures the shutdown, from the stop of multi-user.target to the reboot, by the kernel's time stamps of systemd's
    messages."""
    name = "trixie-replaced"
    times = {"without the gate": [], "judged before": [], "judged at shutdown": []}
    gate = {label: [] for label in times}
    states = {
        "without the gate": (staged(node, name, gate=False), LOUD),
        "judged before": (staged(node, name), f"systemctl start ostree-kernel-gate-staged.service; {LOUD}"),
        "judged at shutdown": (staged(node, name), LOUD),
    }
    # The variants are measured in turn, so that other load affects all of them equally.
    for _ in range(options.runs):
        for label, (state, before) in states.items():
            with node.scratch() as place:
                text = node.reboot(resume(state, pathlib.Path(place), node.payload), before).text()
            begin, end = stamp(text, r"Stopped target multi-user\.target"), stamp(text, r"systemd-shutdown\[1\]: Rebooting")
            if begin and end:
                times[label].append(end - begin)
            begin, end = (stamp(text, rf"systemd\[1\]: {verb} ostree-kernel-gate\.service") for verb in ("Stopping", "Stopped"))
            if begin and end:
                gate[label].append(end - begin)
    for label, whole in times.items():
        line = [f"{label}: {len(whole)} shutdowns, median {statistics.median(whole):.2f} s" if whole else f"{label}: no times"]
        if whole:
            line.append(f"{min(whole):.2f} to {max(whole):.2f}")
        if gate[label]:
            line.append(f"the gate {statistics.median(gate[label]):.2f} s ({min(gate[label]):.2f} to {max(gate[label]):.2f})")
        print(", ".join(line), flush=True)
    return True


# A transient unit without default dependencies, so that the shutdown does not stop it. It kills the gate once. It polls
# every 0.2 s, because the emulated processor is slow.
KILLER = (
    "systemd-run -q -p DefaultDependencies=no bash -c "
    "'for i in $(seq 3000); do P=$(pgrep -x ostree-kernel) && break; sleep 0.2; done; sleep {delay}; kill -{signal} $P'"
)


def killed(node, place, state, how, delay):
    """Kills the gate, or the whole machine, `delay` seconds after the gate has started. Returns the disks."""
    if how == "SIGKILL at shutdown":
        return node.reboot(resume(state, place, node.payload), KILLER.format(delay=f"{delay:.2f}", signal="KILL")).state
    machine = resume(state, place, node.payload)
    try:
        machine.do(LOUD)
        if how == "power cut at shutdown":
            machine.send("systemctl reboot")
            machine.wait(node.limit, rb"Stopping ostree-kernel-gate\.service")
        else:
            machine.send("systemctl start ostree-kernel-gate-staged.service")
            machine.wait(node.limit, rb"Starting ostree-kernel-gate-staged\.service")
        time.sleep(delay)
    finally:
        machine.kill()
    return machine.state


def is_status_right(kind, up, said):
    """Returns whether the output of `status` is right: it names the booted deployment; it reports no good deployment as
    refused and no broken one as verified; and nothing is staged."""
    names = re.search(r"booted +bed ([0-9a-f]{64}\.\d+)", said)
    verdict = "refused" if kind == "good" else "verified"
    return bool(names) and names[1] == up and not re.search(rf"(?<!could not be ){verdict}|staged +bed", said)


def kills(node, options):
    """Kills the gate, or cuts the power, at random times. Asserts that the node then boots, and that `status` is
    right."""
    wrong = 0
    rng = random.Random(options.seed)
    names = ["no-init", "trixie-replaced", "cut-zst"] if not options.only else options.only
    kinds = {it.name: it.kind for it in variants(node.suite, names)}
    ways = ["SIGKILL at shutdown", "power cut at shutdown", "power cut after staging"]
    for number in range(options.number):
        name, delay = rng.choice(names), rng.random() * options.span
        how, kind = ways[number % 3], kinds[name]
        with node.scratch() as place:
            place = pathlib.Path(place)
            try:
                disks = killed(node, place, staged(node, name), how, delay)
                entry, up, text = node.boot(disks, name, True)
                which, said = node.which(entry), "the machine did not boot"
                if up:
                    there, said = status(disks, entry, options.tool)
                    right = there == up and is_status_right(kind, up, said)
                else:
                    # With the policy "allow", ostree finalises even a broken deployment if the gate is killed
                    # before it has refused it.
                    right = kind == "broken" and which == "new" and how == "SIGKILL at shutdown"
                of_deployments = said[max(said.find("booted  "), 0) :][:300]
                result = f"{which} entry, {'up' if up else 'dead: ' + last_word(text)}; status: {of_deployments}"
            except (Failed, OSError) as error:
                right, result = False, str(error)
        wrong += not right
        say(right, f"{number + 1} {how}, {delay:.2f} s, {kind} {name}: {result}")
    print(f"{options.number - wrong} of {options.number} as expected")
    return not wrong


def program(text):
    """Returns the commands that replace the program with a script."""
    return (
        "mount -o remount,bind,rw /usr; rm /usr/bin/ostree-kernel; "
        f"printf '#!/bin/sh\\n{text}\\n' >/usr/bin/ostree-kernel; chmod 755 /usr/bin/ostree-kernel; mount -o remount,bind,ro /usr"
    )


def drop_in(lines):
    """Returns the commands that write a drop-in for both services of the gate."""
    return f"mkdir -p {DROP_INS}; printf '[Service]\\n{lines}\\n' >{DROP_INS}/x.conf; systemctl daemon-reload"


BROKEN_GATES = {
    "program removed": "mount -o remount,bind,rw /usr; rm /usr/bin/ostree-kernel; mount -o remount,bind,ro /usr",
    "unit masked": "systemctl mask --now ostree-kernel-gate.service ostree-kernel-gate-staged.service",
    "sandbox broken": drop_in("ReadWritePaths=/not/there"),
    "hangs": f"{program('exec sleep 1000')}; {drop_in('TimeoutStopSec=15')}",
    "crashes": program("kill -SEGV $$"),
}


def cannot_start(node, options):
    """Asserts that a gate that cannot start, crashes or hangs does not block an update."""
    return trials(node, options, {how: ("trixie-replaced", change, "new", "") for how, change in BROKEN_GATES.items()})


ALLOW, REFUSE = "true", drop_in("Environment=GATE_OPTIONS=--on-error=refuse")
WARN = drop_in("Environment=GATE_OPTIONS=--warn-only")
SLOW = "Environment=GATE_OPTIONS=--on-error={}\\nTimeoutStopSec=4"
# Mounts a full file system at /var/lib/ostree-kernel.
FULL = (
    "mount -t tmpfs -o size=64k,nr_inodes=8 tmpfs /var/lib/ostree-kernel; cat /dev/zero >/var/lib/ostree-kernel/full; "
    "df /var/lib/ostree-kernel"
)
# Prevents the gate from opening any file.
UNREADABLE = "LimitNOFILE=3"


def killer(signal, delay=0.3):
    """Returns a command that sends a signal to the gate, `delay` seconds after it has started."""
    return KILLER.format(delay=delay, signal=signal)


POLICY = {
    "allow good": ("trixie-replaced", ALLOW, "new", "is fit to boot"),
    "refuse good": ("trixie-replaced", REFUSE, "new", "is fit to boot"),
    "refuse broken": ("no-init", REFUSE, "old", "is refused"),
    "warn-only broken": ("no-init", WARN, "new", "is not fit to boot"),
    "allow killed good": ("trixie-replaced", killer("KILL"), "new", "gate failed (signal)"),
    "refuse killed good": ("trixie-replaced", f"{REFUSE}; {killer('KILL')}", "old", "gate failed (signal)"),
    "allow crash good": ("trixie-replaced", killer("ABRT"), "new", "gate failed ("),
    "refuse crash good": ("trixie-replaced", f"{REFUSE}; {killer('ABRT')}", "old", "gate failed ("),
    "refuse killed at once good": ("trixie-replaced", f"{REFUSE}; {killer('KILL', 0)}", "old", "gate failed (signal)"),
    "allow timeout good": ("trixie-replaced", drop_in(SLOW.format("allow")), "new", "gate failed (timeout)"),
    "refuse timeout good": ("trixie-replaced", drop_in(SLOW.format("refuse")), "old", "gate failed (timeout)"),
    "allow /var full broken": ("no-init", FULL, "old", "is refused"),
    "allow /var full good": ("trixie-replaced", FULL, "new", "is fit to boot"),
    "refuse /var full good": ("trixie-replaced", f"{REFUSE}; {FULL}", "new", "is fit to boot"),
    "allow cannot verify": ("trixie-replaced", drop_in(UNREADABLE), "new", ""),
}


def policy(node, options):
    """Tests combinations of a policy and a failure of the gate: the booted deployment, and the gate's journal."""
    return trials(node, options, POLICY)


def trials(node, options, cases):
    """Changes the machine and reboots it. Asserts the entry of /boot, whether it boots, and a part of the gate's
    messages."""
    wrong = 0
    for how, (name, change, expected, message) in cases.items():
        if options.only and how not in options.only:
            continue
        start = time.monotonic()
        with node.scratch() as place:
            place = pathlib.Path(place)
            try:
                disks = node.reboot(resume(staged(node, name), place, node.payload), change).state
                messages = journal(disks, SERVICES[:1])
                entry, up, text = node.boot(disks, name, True)
                dies = expected == "new" and name != "trixie-replaced"
                right = node.which(entry) == expected and bool(up) != dies and message in messages
                says = next((it for it in messages.splitlines() if message and message in it), messages[-200:])
                result = f"{node.which(entry)} entry, {'up' if up else 'dead: ' + last_word(text)}; journal: {says[:200]}"
            except (Failed, OSError) as error:
                right, result = False, str(error)
        wrong += not right
        say(right, f"{how}: {result} [{time.monotonic() - start:.0f} s]")
    print(f"{len(cases) - wrong} of {len(cases)} as expected" if not options.only else "")
    return not wrong
