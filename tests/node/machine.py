"""A machine in QEMU that can be saved while it runs, and the entry that a boot loader would start from its disk."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time


class Failed(Exception):
    """A failed step of the bed."""


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def processor_seconds(pid):
    """Returns the processor time of a process: unlike wall time, it does not depend on other load."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class State:
    """Two disks; with Secure Boot, the firmware's variables; the memory of a machine that was saved while it ran."""

    def __init__(self, place):
        self.place = pathlib.Path(place)
        self.memory = self.place / "memory"
        self.variables = self.place / "variables.fd"

    def disks(self):
        for name in ("root", "boot"):
            for suffix, kind in ((".qcow2", "qcow2"), (".img", "raw")):
                if (self.place / (name + suffix)).exists():
                    yield name, self.place / (name + suffix), kind
                    break

    def copy(self, place):
        """Returns a new state whose disks are overlays of the disks of this state."""
        place = pathlib.Path(place)
        place.mkdir(parents=True, exist_ok=True)
        for name, path, kind in self.disks():
            target = place / f"{name}.qcow2"
            target.unlink(missing_ok=True)
            run("qemu-img", "create", "-q", "-f", "qcow2", "-b", path.resolve(), "-F", kind, target)
        copied = State(place)
        if self.variables.exists():
            shutil.copy(self.variables, copied.variables)
        return copied


FIRMWARE = pathlib.Path("/usr/share/OVMF")
# With -icount, the guest's clock counts instructions: no timeout in the guest expires early because the host is busy.
COUNTED = ["-accel", "tcg,thread=single", "-icount", "shift=3,sleep=off", "-smp", "1"]
REAL_TIME = ["-accel", "tcg,thread=multi", "-smp", "2"]


class Machine:
    """A running QEMU. Its console is a file; commands go through the second serial port."""

    def __init__(self, state, payload, boot=None, memory=None, counted=False, more=()):
        self.state = state
        self.console = state.place / "console"
        self.buffer = b""
        self.last_spent = 0.0
        agent, control = state.place / "agent.sock", state.place / "qmp.sock"
        secure = state.variables.exists()
        command = ["nice", "-n", "5", "qemu-system-x86_64", "-M", "q35,smm=on" if secure else "q35", "-m", "1024"]
        command += COUNTED if counted else REAL_TIME
        command += ["-display", "none", "-no-reboot", "-nic", "none", "-serial", f"file:{self.console}"]
        if secure:
            command += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
            command += ["-drive", f"if=pflash,format=raw,unit=0,file={FIRMWARE}/OVMF_CODE_4M.secboot.fd,readonly=on"]
            command += ["-drive", f"if=pflash,format=raw,unit=1,file={state.variables}"]
        command += ["-chardev", f"socket,id=agent,path={agent},server=on,wait=off", "-serial", "chardev:agent"]
        command += ["-qmp", f"unix:{control},server=on,wait=off"]
        for name, path, kind in state.disks():
            command += ["-drive", f"file={path},format={kind},if=virtio,cache=writeback"]
        command += ["-drive", f"file={payload},format=raw,if=virtio,readonly=on"]
        if boot:
            command += ["-kernel", boot["kernel"], "-append", boot["options"]]
            if boot["initrd"]:
                command += ["-initrd", boot["initrd"]]
        if memory:
            command += ["-incoming", f"file:{memory}"]
        self.console.write_bytes(b"")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command + list(more), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(state.place / "qemu.log", "wb")
        )
        self.agent, self.control = self._connect(agent), self._connect(control)
        self._reply()
        self.qmp("qmp_capabilities")

    def _connect(self, path):
        for _ in range(200):
            if self.process.poll() is not None:
                break
            try:
                link = socket.socket(socket.AF_UNIX)
                link.connect(str(path))
                return link
            except OSError:
                time.sleep(0.05)
        raise Failed(f"QEMU did not start: {(self.state.place / 'qemu.log').read_text()}")

    def _reply(self):
        data = b""
        while not data.endswith(b"\n"):
            more = self.control.recv(65536)
            if not more:
                raise Failed("QEMU ended")
            data += more
        return [json.loads(line) for line in data.splitlines()]

    def qmp(self, verb, **arguments):
        self.control.sendall(json.dumps({"execute": verb, "arguments": arguments}).encode() + b"\n")
        while True:
            for answer in self._reply():
                if "error" in answer:
                    raise Failed(f"{verb}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]

    def expect(self, pattern, limit):
        """Waits until the agent's output matches a pattern, and returns the output before the match, and the match."""
        end = time.monotonic() + limit
        while True:
            found = re.search(pattern, self.buffer)
            if found:
                before, self.buffer = self.buffer[: found.start()], self.buffer[found.end() :]
                return before.decode(errors="replace"), found
            left = end - time.monotonic()
            if left <= 0:
                raise Failed(f"no {pattern} within {limit} s; so far: {self.buffer[-300:]}")
            self.agent.settimeout(left)
            try:
                more = self.agent.recv(65536)
            except TimeoutError:
                continue
            if not more:
                raise Failed(f"the machine ended; so far: {self.buffer[-300:]}")
            self.buffer += more

    def send(self, line):
        self.agent.sendall(line.replace("\n", ";").encode() + b"\n")

    def do(self, line, limit=300, check=True):
        self.send(line)
        text, found = self.expect(rb"\n:(\d+):\n", limit)
        status = int(found[1])
        if check and status:
            raise Failed(f"{line}: status {status}: {text.strip()}")
        return text.strip() if check else (status, text.strip())

    def save(self, place):
        """Saves the running machine. Afterwards, its disks must not be written to: use State.copy()."""
        self.qmp("stop")
        self.qmp("migrate", uri=f"file:{place}")
        for _ in range(1200):
            status = self.qmp("query-migrate").get("status")
            if status == "completed":
                break
            if status == "failed":
                raise Failed("saving the machine")
            time.sleep(0.1)
        self.kill()

    def wait(self, limit, pattern=None, spent=None):
        """Waits until the machine ends or a line of its console matches; returns whether it did so within the limit, in
        seconds, or with `spent` in processor seconds of QEMU."""
        spent = spent or time.monotonic
        end = spent() + limit
        while spent() < end:
            if self.process.poll() is not None:
                return True
            if pattern and re.search(pattern, self.console.read_bytes()):
                return True
            time.sleep(0.1)
        return False

    def spent(self):
        """Returns the processor seconds that QEMU has taken."""
        self.last_spent = max(self.last_spent, processor_seconds(self.process.pid))
        return self.last_spent

    def kill(self):
        self.process.kill()
        self.process.wait()

    def text(self):
        text = self.console.read_bytes().replace(b"\r", b"").decode(errors="replace")
        return re.sub(r"\x1b(\[[0-9;?!]*[a-zA-Z]|c)", "", text)


def loader_disk(place, entry):
    """Makes a disk with a signed boot loader that starts one entry, and returns QEMU's arguments for the disk.

    QEMU's -kernel is not used, because it would also start a kernel that Secure Boot refuses."""
    disk = place / "esp.img"
    disk.unlink(missing_ok=True)
    with open(disk, "wb") as file:
        file.truncate(160 << 20)
    key, loader = "/usr/share/ovmf/PkKek-1-snakeoil", "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
    (place / "loader.conf").write_text("timeout 0\ndefault node\n")
    (place / "node.conf").write_text(f"title node\nlinux /vmlinuz\ninitrd /initrd\noptions {entry['options']}\n")
    run("openssl", "rsa", "-in", f"{key}.key", "-passin", "pass:snakeoil", "-out", place / "key.pem")
    run("sbsign", "--key", place / "key.pem", "--cert", f"{key}.pem", "--output", place / "boot.efi", loader)
    run("mformat", "-i", disk, "-F", "::")
    run("mmd", "-i", disk, "::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries")
    for source, target in (
        (place / "boot.efi", "EFI/BOOT/BOOTX64.EFI"),
        (entry["kernel"], "vmlinuz"),
        (entry["initrd"], "initrd"),
        (place / "loader.conf", "loader/loader.conf"),
        (place / "node.conf", "loader/entries/node.conf"),
    ):
        run("mcopy", "-i", disk, source, f"::/{target}")
    attach = f"file={disk},format=raw,if=none,id=esp"
    return ["-drive", attach, "-device", "ich9-ahci,id=loader", "-device", "ide-hd,drive=esp,bus=loader.0,bootindex=0"]


def resume(base, place, payload):
    """Continues a saved machine on disks of its own."""
    machine = Machine(base.copy(place), payload, memory=base.memory)
    for _ in range(600):
        status = machine.qmp("query-status")["status"]
        if status == "paused" or status == "postmigrate":
            machine.qmp("cont")
        if status == "running":
            return machine
        time.sleep(0.05)
    raise Failed("the saved machine does not continue")


class BootDisk:
    """/boot as a boot loader reads it: the file system's journal is not replayed, and only entries in /loader count."""

    def __init__(self, state):
        self.place = state.place
        (path, kind) = next((path, kind) for name, path, kind in state.disks() if name == "boot")
        self.raw = self.place / "boot.raw"
        run("qemu-img", "convert", "-U", "-f", kind, "-O", "raw", path, self.raw)

    def _debugfs(self, request):
        return subprocess.run(["debugfs", "-R", request, self.raw], capture_output=True, text=True).stdout

    def entries(self):
        link = re.search(r'Fast link dest: "([^"]+)"', self._debugfs("stat /loader"))
        if not link:
            raise Failed("no /boot/loader")
        folder = f"/{link[1]}/entries"
        for line in self._debugfs(f"ls -p {folder}").splitlines():
            name = line.split("/")[5] if line.count("/") > 5 else ""
            if name.endswith(".conf"):
                text = self._debugfs(f"cat {folder}/{name}")
                entry = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
                yield name, entry

    def default(self):
        """Returns the entry that a boot loader takes: the one with the highest version (ostree sets no sort-key)."""
        entries = sorted(self.entries(), key=lambda it: int(it[1]["version"]))
        if not entries:
            raise Failed("no boot entry")
        name, entry = entries[-1]
        if name != max(it[0] for it in entries):
            raise Failed(f"the order of names and that of versions differ: {entries}")
        loads = {"options": entry["options"], "initrd": None, "entry": name}
        for key, target in (("linux", "kernel"), ("initrd", "initrd")):
            if key in entry:
                loads[target] = self.place / target
                loads[target].unlink(missing_ok=True)
                run("debugfs", "-R", f"dump {entry[key]} {loads[target]}", self.raw)
                if not loads[target].exists():
                    raise Failed(f"{entry[key]} is missing from /boot")
                # QEMU refuses an empty initrd. For the kernel, an empty one is the same as none.
                if target == "initrd" and not loads[target].stat().st_size:
                    loads[target] = None
        loads["checksum"] = re.search(r"ostree=/ostree/boot\.\d/bed/([0-9a-f]+)/", entry["options"])[1]
        return loads
