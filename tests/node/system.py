"""The node of `bed node`: its saved states, and the boots of the entry on its disk."""

import hashlib
import json
import pathlib
import re
import shutil
import tempfile

from machine import FIRMWARE, BootDisk, Failed, Machine, State, loader_disk, resume, run

STEADY = "no_timer_check"
# dracut's time limits for each boot whose result counts, in seconds of the guest's clock.
PATIENCE = "rd.retry=60 rd.timeout=90"
END = rb"NODE-UP |Kernel panic|Boot has failed|Freezing execution|reboot: Power down|Error loading .*Access Denied"
KNOWN = (
    r"Initramfs unpacking failed|Failed to execute|Cannot open root device|Kernel panic|Freezing execution|Failed to start"
    r"|error while loading|Timed out|Boot has failed|Access Denied|Cannot|cannot"
)
UNITS = "ostree-kernel-gate.service"
DROP_INS = "/etc/systemd/system/ostree-kernel-.service.d"
SERVICES = ["ostree-kernel-gate.service", "ostree-kernel-gate-staged.service", "ostree-finalize-staged.service"]
# Stops the path unit that starts the verification of a newly staged deployment: the gate then verifies it at shutdown.
LATE = "systemctl stop ostree-kernel-gate-staged.path"
# Makes the gate do nothing at shutdown, as if it were not installed.
WITHOUT = (
    "mkdir -p /run/systemd/system/ostree-kernel-gate.service.d; printf '[Service]\\nExecStop=\\n' "
    ">/run/systemd/system/ostree-kernel-gate.service.d/none.conf; systemctl daemon-reload"
)
# Commands that prepare the machine before the deployment is staged, by the fifth column of variants.tsv.
BEFORE = {
    "": "true",
    "secure": "test $(od -An -tu1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c) = 1",
    "full": "F=$(($(stat -f -c %a*%S /boot) - 4*1048576)); fallocate -l $F /boot/filler && sync",
}


class Node:
    """The node of one suite, with or without Secure Boot."""

    def __init__(self, place, product, limit, secure=False):
        self.place = pathlib.Path(place)
        self.suite = self.place.name
        self.secure = secure
        self.base = State(self.place)
        self.product = product
        self.payload = self.place / "payload.img"
        self.limit = limit
        self.work = self.place / "run"
        self.seen = self.place / "seen"
        for place in (self.work, self.seen):
            place.mkdir(exist_ok=True)
        with self.scratch() as place:
            self.old = BootDisk(self.base.copy(place)).default()["checksum"]
        self.limits = None

    def fill(self):
        """Writes the product to a separate disk, which the saved system has not read yet."""
        # Running machines have the old file open, so it is replaced and not overwritten.
        disk = self.payload.with_suffix(".new")
        disk.unlink(missing_ok=True)
        with open(disk, "wb") as file:
            file.truncate(96 << 20)
        run("mke2fs", "-q", "-t", "ext4", "-d", self.product, disk)
        disk.rename(self.payload)

    def scratch(self):
        return tempfile.TemporaryDirectory(prefix="t", dir=self.work)

    def saved(self, name, base, prepare):
        """Returns the saved state `name`; if there is none, `prepare` makes a machine for it."""
        place = self.place / (f"{name}-secure" if self.secure else name)
        state = State(place)
        if not state.memory.exists():
            shutil.rmtree(place, ignore_errors=True)
            machine = prepare(base, place)
            machine.save(state.memory)
        return state

    def booted(self):
        def prepare(base, place):
            state = base.copy(place)
            if self.secure:
                shutil.copy(FIRMWARE / "OVMF_VARS_4M.snakeoil.fd", state.variables)
            entry = BootDisk(state).default()
            entry["options"] += f" {STEADY}"
            machine = Machine(state, self.payload, boot=entry)
            machine.expect(rb":ready:", 1200)
            machine.do("systemctl is-system-running --wait", 600, check=False)
            machine.do("systemctl log-target journal-or-kmsg; sync; ostree admin status; sleep 3")
            return machine

        return self.saved("booted", self.base, prepare)

    def warm(self):
        """Returns a state with the files that staging reads in the page cache: the checkout takes half of a test's
        time."""

        def prepare(base, place):
            machine = resume(base, place, self.payload)
            name = variants(self.suite, None)[0].commit
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
            print(machine.do(f"systemd-analyze security --no-pager {' '.join(SERVICES[:2])} | grep -i overall", 300, check=False)[1])
            return machine

        return self.saved("installed", self.warm(), prepare)

    def reboot(self, machine, before="true"):
        """Reboots a machine, and returns it after QEMU has ended."""
        try:
            machine.do(before)
            machine.send("systemctl reboot")
            if not machine.wait(self.limit):
                raise Failed(f"no end of the shutdown within {self.limit} s")
            return machine
        finally:
            machine.kill()

    def control(self):
        """Boots the unchanged deployment as all others are booted; returns their limit, in processor seconds."""
        if self.limits is None:
            with self.scratch() as place:
                state = self.base.copy(place)
                if self.secure:
                    shutil.copy(FIRMWARE / "OVMF_VARS_4M.snakeoil.fd", state.variables)
                kept = self.verdict(BootDisk(state).default(), "old")
                if kept.exists():
                    up, text, spent = json.loads(kept.read_text())
                else:
                    entry, up, text, spent = self.boot_within(state, 3000)
                    self.keep(entry, "old", up, text, spent)
            if not up:
                raise Failed(f"the unchanged deployment does not boot: {last_word(text)}")
            print(f"control: the unchanged deployment boots with {PATIENCE}, {spent:.0f} s of processor time", flush=True)
            self.limits = 5 * spent
        return self.limits

    def boot(self, disks, commit, is_known=False):
        """Boots the default entry of /boot; returns the entry, the deployment that came up (or None), and the console.
        With `is_known`, a boot of the same kernel, initramfs, arguments and commit is not repeated."""
        limit = self.control()
        if is_known:
            entry = BootDisk(disks).default()
            kept = self.verdict(entry, commit)
            if kept.exists():
                up, text, _ = json.loads(kept.read_text())
                return entry, up, text
        entry, up, text, spent = self.boot_within(disks, limit)
        self.keep(entry, commit, up, text, spent)
        return entry, up, text

    def verdict(self, entry, commit):
        """Returns the file with the result of a boot."""
        key = (self.place.parent.parent / "keys" / f"node-{self.suite}").read_text()
        commit = "old" if self.which(entry) == "old" else commit
        digest = hashlib.sha256(json.dumps([key, commit, entry["options"].split(f" {STEADY}")[0], PATIENCE, self.secure]).encode())
        for name in ("kernel", "initrd"):
            digest.update(hashlib.sha256(entry[name].read_bytes() if entry[name] else b"").digest())
        return self.seen / f"boot-{digest.hexdigest()[:32]}"

    def keep(self, entry, commit, up, text, spent):
        self.verdict(entry, commit).write_text(json.dumps([up, text[-4000:], spent]))

    def boot_within(self, disks, limit):
        entry = BootDisk(disks).default()
        entry["options"] += f" {STEADY} {PATIENCE} rd.shell=0 rd.emergency=poweroff panic=-1 init=/usr/lib/node/report"
        if self.secure:
            machine = Machine(disks, self.payload, more=loader_disk(disks.place, entry))
        else:
            machine = Machine(disks, self.payload, boot=entry, counted=True)
        try:
            machine.wait(limit, END, machine.spent)
        finally:
            machine.kill()
        text = machine.text()
        up = re.search(r"^NODE-UP (\S+) ([0-9a-f]{64}\.\d+)", text, re.M)
        return entry, up and up[2], text, machine.last_spent

    def is_the_booted_one(self, disks, place):
        """Returns whether a boot loader would load the same bytes as from the unchanged disk."""
        before, now = BootDisk(self.base.copy(place / "look")).default(), BootDisk(disks).default()
        same = [before[key] == now[key] for key in ("entry", "options", "checksum")]
        return all(same) and all(before[key].read_bytes() == now[key].read_bytes() for key in ("kernel", "initrd"))

    def which(self, entry):
        return "old" if entry["checksum"] == self.old else "new"


def last_word(text):
    lines = [re.sub(r"^\[ *[\d.]+\] ", "", line) for line in text.splitlines() if line.strip()]
    return next((line for line in lines if re.search(KNOWN, line)), lines[-1] if lines else "nothing on the console")[:110]


def reason(text):
    """Returns the first line about a refusal, or ""."""
    return next((line for line in text.splitlines() if re.search(r"is refused", line)), "")


class Variant:
    def __init__(self, line):
        fields = line.split("\t") + ["", ""]
        self.name, self.suite, self.kind, commit, self.machine = fields[:5]
        self.commit = commit if commit not in ("", "-") else self.name


def variants(suite, only):
    lines = (pathlib.Path(__file__).parent / "variants.tsv").read_text().splitlines()
    rows = [Variant(line) for line in lines if line and not line.startswith("#")]
    return [it for it in rows if it.suite == suite and (not only or it.name in only)]
