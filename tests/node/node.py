#!/usr/bin/python3
"""Stages deployments on a real ostree system in QEMU, reboots it, and boots the entry that a boot loader would take
from its disk.

    node.py --node DIR --product DIR table [--only NAME,…] [--modes without,with] [--jobs N] [--quick]
    node.py --node DIR --product DIR shutdown [--runs N]
    node.py --node DIR --product DIR kills N
    node.py --node DIR --product DIR cannot-start
    node.py --node DIR --product DIR policy

--node has the disks of `bed node`; --product is the directory of `make install DESTDIR=`. The system is booted once and
saved, and each test resumes it. A result of the table is cached in DIR/seen, so that an interrupted run can be
continued. The file's name is a digest of the variant, the inputs of the disks and, with the gate, the program and the
units.

A boot fails if it takes more than five times the processor time of the unchanged deployment, which is booted first.
Except with Secure Boot, the guest's clock counts instructions, so that the limits of a boot do not depend on the load
of the host.
"""

import argparse
import concurrent.futures
import hashlib
import json
import pathlib
import sys
import time

import trials
from disk import journal
from machine import Failed, resume
from system import BEFORE, LATE, PATIENCE, SERVICES, WITHOUT, Node, last_word, reason, variants


def staged(node, variant, place):
    """Stages a deployment that is not verified before the shutdown; returns the running machine."""
    machine = resume(node.installed(), place / "staged", node.payload)
    try:
        machine.do(f"{LATE}; {BEFORE[variant.machine]}")
        machine.do(f"ostree admin deploy --stage --os bed node/{variant.commit}", 900)
        return machine
    except BaseException:
        machine.kill()
        raise


def attempt(node, variant, mode, machine, place, quick):
    """Reboots the machine, and boots the entry on its disk. Returns whether the result is as expected, and its
    description."""
    disks = node.reboot(machine, WITHOUT if mode == "without" else "true").state
    messages = journal(disks, SERVICES)
    why = reason(messages) if mode == "with" else ""
    if quick and node.is_the_booted_one(disks, place):
        node.control()
        which, is_up, result = "old", True, "old entry, the same bytes in /boot as those of the control"
    else:
        entry, up, text = node.boot(disks, variant.commit)
        which, is_up = node.which(entry), bool(up)
        result = f"{which} entry, " + ("up" if is_up else f"dead: {last_word(text)}")
    right = {
        ("broken", "without"): which == "new" and not is_up,
        ("broken", "with"): which == "old" and is_up and bool(why),
        ("lost", "without"): which == "old" and is_up,
        ("lost", "with"): which == "old" and is_up and bool(why),
        ("good", "with"): which == "new" and is_up,
    }[variant.kind, mode]
    if variant.kind == "lost" and mode == "without":
        result += f"; journal: {next((it for it in messages.splitlines() if 'rror' in it), '')[:160]}"
    if mode == "with" and variant.kind != "good":
        result += f"; journal: {why[:240]}"
    return right, result


class Table:
    """Tests broken deployments without and with the gate, and good ones with it."""

    def __init__(self, nodes, options):
        self.nodes, self.options = nodes, options
        self.node = nodes(False)

    def kept(self, variant, mode):
        """Returns the file with the cached result. Its name depends on the variant, the disks and, with the gate, on
        the program and the units."""
        keys = self.node.place.parent.parent / "keys"
        names = [f"node-{self.node.suite}"] + ([f"node-installed-{self.node.suite}"] if mode == "with" else [])
        facts = [(keys / name).read_text() if (keys / name).exists() else "" for name in names]
        facts += [PATIENCE, vars(variant), mode, self.options.quick and mode == "with" and variant.kind != "good"]
        return self.node.seen / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]

    def row(self, variant):
        """Tests one deployment in its modes; returns a list of modes, each with whether the result is as expected."""
        rights = []
        node = self.nodes(variant.machine == "secure")
        with node.scratch() as place:
            place = pathlib.Path(place)
            state = None
            modes = self.options.modes if variant.kind != "good" else ["with"]
            tries = [mode for mode in modes if not self.kept(variant, mode).exists()]
            for mode in modes:
                kept = self.kept(variant, mode)
                start = time.monotonic()
                if kept.exists():
                    right, result = json.loads(kept.read_text())
                    result += " [seen before]"
                else:
                    try:
                        if state is None:
                            machine = staged(node, variant, place)
                            state = machine.state
                            if len(tries) > 1:
                                machine.save(state.memory)
                        if len(tries) > 1:
                            machine = resume(state, place / mode, node.payload)
                        right, result = attempt(node, variant, mode, machine, place, self.options.quick)
                        kept.write_text(json.dumps([right, result]))
                    except (Failed, OSError) as error:
                        right, result = False, f"not tried: {error}"
                    result += f" [{time.monotonic() - start:.0f} s]"
                print(f"{'ok   ' if right else 'WRONG'} {variant.kind:6} {mode:7} {variant.name}: {result}", flush=True)
                rights.append((f"{variant.kind} {mode} the gate", right))
        return rights

    def print(self):
        rows = variants(self.node.suite, self.options.only)
        # The states with which all rows begin are made before the rows run in parallel.
        for secure in {it.machine == "secure" for it in rows}:
            self.nodes(secure).installed()
            self.nodes(secure).control()
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            results = [it for row in pool.map(self.row, rows) for it in row]
        for key in dict.fromkeys(key for key, _ in results):
            rights = [right for other, right in results if other == key]
            print(f"{key}: {sum(rights)} of {len(rights)} as expected")
        return all(right for _, right in results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", required=True)
    parser.add_argument("--product", required=True)
    parser.add_argument("--limit", type=int, default=900)
    verbs = parser.add_subparsers(dest="verb", required=True)
    names = lambda text: text.split(",")
    verb = verbs.add_parser("table")
    verb.add_argument("--only", type=names)
    verb.add_argument("--modes", type=names, default=["without", "with"])
    verb.add_argument("--jobs", type=int, default=1)
    verb.add_argument("--quick", action="store_true", help="do not boot an unchanged /boot again, but compare its bytes")
    verb = verbs.add_parser("shutdown")
    verb.add_argument("--runs", type=int, default=10)
    verb = verbs.add_parser("kills")
    verb.add_argument("number", type=int)
    verb.add_argument("--seed", default="1")
    verb.add_argument("--span", type=float, default=5.0)
    verb.add_argument("--only", type=names)
    for name in ("cannot-start", "policy"):
        verb = verbs.add_parser(name)
        verb.add_argument("--only", type=names)
    options = parser.parse_args()
    options.tool = pathlib.Path(options.product) / "usr/bin/ostree-kernel"
    made = {}

    def nodes(secure):
        if secure not in made:
            made[secure] = Node(options.node, options.product, options.limit, secure)
        return made[secure]

    nodes(False).fill()
    try:
        if options.verb == "table":
            sys.exit(0 if Table(nodes, options).print() else 1)
        verb = {"shutdown": trials.shutdown, "kills": trials.kills, "cannot-start": trials.cannot_start, "policy": trials.policy}
        sys.exit(0 if verb[options.verb](nodes(False), options) else 1)
    except Failed as error:
        sys.exit(f"node: {error}")


if __name__ == "__main__":
    main()
