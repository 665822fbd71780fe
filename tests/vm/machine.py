#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A throw-away Debian under systemd, in qemu without KVM: `machine.py [options] COMMAND` runs a
shell command there as root and ends with its exit status.

The image is what `tests/vm/image` made. The first run boots it (under a minute) and saves the
booted machine; later ones resume that in a second, and what they write is thrown away at the end.
The shared folder is /host inside, read and write. Exit status 124: the time was up; 125: the
machine itself failed, and its console is shown.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

QEMU = "qemu-system-x86_64"
PORTS = ("qmp", "ctl", "out", "err")
KERNEL = (
    "root=/dev/vda console=ttyS0 quiet panic=-1 mitigations=off nokaslr nowatchdog audit=0 "
    "no_timer_check tsc=reliable random.trust_cpu=on rcupdate.rcu_expedited=1 "
    "systemd.show_status=0 lsm=landlock,lockdown,yama,integrity,apparmor,bpf apparmor=1"
)
# How systemd mounts the cgroup hierarchies: the image's suite, and parameters of the kernel. In v1,
# trixie's kernel has neither memory nor cpuset, and its systemd has to be forced.
CGROUPS = {
    "v2": ("trixie", ""),
    "hybrid": ("bookworm", "systemd.unified_cgroup_hierarchy=0"),
    "v1": (
        "bookworm",
        "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
    ),
}
HARDWARE = [
    "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
    "-machine", "q35,vmport=off,i8042=off,hpet=off,memory-backend=ram",
    "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,la57=off", "-smp", "2",
]  # fmt: skip
TIME_UP, FAILED = 124, 125


class TimeUpError(Exception):
    """The machine did not answer in time."""


class DiedError(Exception):
    """The machine ended before the command did."""


def image(suite: str) -> Path:
    """Where tests/vm/image puts what it makes."""
    command = [Path(__file__).parent / "image", "--where", suite]
    return Path(subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip())


class Lines:
    """Lines from a socket, until a deadline."""

    def __init__(self, source: socket.socket, deadline: float) -> None:
        self.source, self.deadline, self.rest = source, deadline, b""

    def __iter__(self) -> Iterator[str]:
        while True:
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                yield line.decode()
            left = self.deadline - time.monotonic()
            if left <= 0 or not select.select([self.source], [], [], left)[0]:
                raise TimeUpError
            data = self.source.recv(65536)
            if not data:
                raise DiedError
            self.rest += data

    def starting(self, word: str) -> str:
        """The next line that starts so."""
        return next(line for line in self if line.startswith(word))


class Machine:
    """One qemu process and its four sockets."""

    def __init__(
        self, place: Path, share: Path, memory: int, parameters: str, seconds: float
    ) -> None:
        self.place, self.share, self.memory = place, share, memory
        self.parameters = f"{KERNEL} {parameters}".strip()
        self.deadline = time.monotonic() + seconds
        self.folder = Path(tempfile.mkdtemp(prefix="pyrun-vm-"))
        self.sockets: dict[str, socket.socket] = {}
        self.qemu: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def saved(self) -> Path:
        """The folder of the booted machine that fits this image, this qemu and these settings."""
        qemu = Path(shutil.which(QEMU) or QEMU)
        parts = [
            (self.place / "stamp").read_text(), str(qemu.stat().st_mtime), self.parameters,
            str(self.memory), *HARDWARE,
        ]  # fmt: skip
        return self.place / "saved" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def _spawn(self, disk: str, memory: str, *more: str) -> None:
        theirs = []
        arguments = [QEMU, *HARDWARE, "-m", str(self.memory), "-object", memory]
        for name in PORTS:
            self.sockets[name], other = socket.socketpair()
            theirs.append(other)
            arguments += ["-chardev", f"socket,id={name},fd={other.fileno()}"]
        arguments += [
            "-kernel", str(self.place / "vmlinuz"), "-initrd", str(self.place / "initrd"),
            "-append", self.parameters, "-drive", f"{disk},if=none,id=root,cache=unsafe",
            "-device", "virtio-blk-pci,drive=root,num-queues=1",
            "-fsdev", f"local,id=host,path={self.share},security_model=none,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
            "-device", "virtio-serial-pci,max_ports=4", "-mon", "chardev=qmp,mode=control",
            "-object", "rng-random,id=rng,filename=/dev/urandom",
            "-device", "virtio-rng-pci,rng=rng", "-serial", f"file:{self.folder}/console",
        ]  # fmt: skip
        for number, name in enumerate(PORTS[1:], 1):
            arguments += ["-device", f"virtserialport,nr={number},chardev={name},name={name}"]
        with open(self.folder / "qemu.log", "wb") as log:
            self.qemu = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *arguments, *more],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[other.fileno() for other in theirs],
                env={**os.environ, "TMPDIR": str(self.folder)},
            )  # fmt: skip
        for other in theirs:
            other.close()
        self.monitor = Lines(self.sockets["qmp"], self.deadline)
        self.control = Lines(self.sockets["ctl"], self.deadline)
        self.monitor.starting("{")
        self.ask("qmp_capabilities")

    def ask(self, command: str, **arguments: Any) -> Any:
        """One command of qemu's machine protocol. Raises DiedError with qemu's words."""
        text = json.dumps({"execute": command, "arguments": arguments})
        self.sockets["qmp"].sendall(text.encode() + b"\n")
        for line in self.monitor:
            answer = json.loads(line)
            if "error" in answer:
                raise DiedError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise DiedError

    def _await(self, query: str, wanted: str, *pending: str) -> None:
        while (status := self.ask(query).get("status")) != wanted:
            if status not in pending:
                raise DiedError(f"{query}: {status}")
            if time.monotonic() > self.deadline:
                raise TimeUpError
            time.sleep(0.05)

    def _ram(self, folder: Path, share: str) -> str:
        size = f"{self.memory}M"
        return f"memory-backend-file,id=ram,size={size},mem-path={folder}/ram,share={share}"

    def _keep_ram_in_place(self) -> None:
        capability = {"capability": "x-ignore-shared", "state": True}
        self.ask("migrate-set-capabilities", capabilities=[capability])

    def _tells_time(self) -> bool:
        """Its kernel measures its clock's speed when it boots. On a busy host the result can be
        ten times too low: ever after, all time limits would be up in a tenth of their time."""
        began = time.monotonic()
        self._send("sleep 3")
        self.control.starting("exit")
        return time.monotonic() - began > 2.7

    def save(self) -> None:
        """Boots the image and saves the machine once it has settled, if its clock is right."""
        for stale in self.place.glob("new-*"):  # of one that was killed; we have the lock
            shutil.rmtree(stale)
        folder = Path(tempfile.mkdtemp(prefix="new-", dir=self.place))
        try:
            disk = f"file={self.place}/root.img,format=raw,file.locking=off"
            self._spawn(disk, self._ram(folder, "on"), "-S")
            # What it changes goes into a layer of its own, from the first instruction on.
            self.ask(
                "blockdev-snapshot-sync",
                device="root", format="qcow2", **{"snapshot-file": f"{folder}/disk"},
            )  # fmt: skip
            self.ask("cont")
            self.control.starting("ready")
            self._send("systemctl is-system-running --wait; sync; echo 3 >/proc/sys/vm/drop_caches")
            self.control.starting("exit")
            if not self._tells_time():
                print("machine: its clock is wrong: booting once more", file=sys.stderr)
                return
            self.ask("stop")
            self._keep_ram_in_place()
            self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            self.ask("migrate", uri=f"exec:cat >{shlex.quote(str(folder / 'state'))}")
            self._await("query-migrate", "completed", "setup", "active", "device", "pre-switchover")
            self.stop()
            self.saved().parent.mkdir(exist_ok=True)
            folder.rename(self.saved())
        finally:
            self.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def resume(self) -> None:
        """The saved machine goes on; nothing that it writes is kept."""
        folder = self.saved()
        disk = f"file={folder}/disk,format=qcow2,snapshot=on"
        self._spawn(disk, self._ram(folder, "off"), "-incoming", "defer")
        self._keep_ram_in_place()
        self.ask("migrate-incoming", uri=f"exec:cat {shlex.quote(str(folder / 'state'))}")
        self._await("query-status", "paused", "inmigrate")
        self.ask("cont")

    def _send(self, command: str, user: str = "root") -> None:
        line = f"NOW={time.time():.2f} LOGIN={user} COMMAND={shlex.quote(command)}"
        self.sockets["ctl"].sendall(line.replace("\n", "'$'\\n''").encode() + b"\n")

    def run(self, command: str, user: str = "root") -> int:
        """Its exit status; what it prints is printed."""
        self._send(command, user)
        streams = {self.sockets["out"]: 1, self.sockets["err"]: 2}
        control = self.sockets["ctl"]
        status, patience = -1, self.deadline
        while True:
            left = min(patience, self.deadline) - time.monotonic()
            if left <= 0 and status < 0:
                raise TimeUpError
            ready = select.select([*streams, control], [], [], max(left, 0))[0]
            if status >= 0 and not ready:
                return status
            for source in ready:
                data = source.recv(65536)
                if source in streams:
                    os.write(streams[source], data)
                elif not data:
                    raise DiedError
                else:
                    status = int(data.split()[1])
                    patience = time.monotonic() + 0.2  # for what is still on its way

    def stop(self) -> None:
        """Kills it: there is nothing to lose."""
        if self.qemu:
            self.qemu.kill()
            self.qemu.wait()
            self.qemu = None
        for end in self.sockets.values():
            end.close()
        self.sockets.clear()

    def last_words(self) -> str:
        """The end of qemu's log and of the console."""
        files = [self.folder / "qemu.log", self.folder / "console"]
        return "\n".join(p.read_text(errors="replace")[-3000:] for p in files if p.exists())


def run(options: argparse.Namespace) -> int:
    """Boots or resumes, runs, and tells how it ended."""
    suite, parameters = CGROUPS[options.cgroups]
    place = image(suite)
    if not (place / "stamp").exists():
        print(f"machine: no image in {place}: run tests/vm/image {suite} first", file=sys.stderr)
        return FAILED
    share = options.share.resolve()
    with Machine(place, share, options.memory, parameters, options.time) as machine:
        try:
            with open(place / ".saving", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                while not machine.saved().exists():
                    machine.save()
            machine.resume()
            return machine.run(options.command, options.user)
        except TimeUpError:
            print(f"machine: the time was up: {options.time:g} s (--time)", file=sys.stderr)
            return TIME_UP
        except (DiedError, ConnectionError) as error:
            print(f"machine: it died: {error}\n{machine.last_words()}", file=sys.stderr)
            return FAILED


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="run a shell command in a virtual machine")
    parser.add_argument("-s", "--share", type=Path, default=Path.cwd(), help="folder for /host")
    parser.add_argument("-u", "--user", default="root", help="root, or u: in u's own systemd")
    parser.add_argument(
        "-c", "--cgroups", choices=CGROUPS, default="v2", help="how the hierarchies are mounted"
    )
    parser.add_argument("-m", "--memory", type=int, default=2048, help="MiB")
    parser.add_argument("-t", "--time", type=float, default=600, help="seconds, for all of it")
    parser.add_argument("--print-suite", action="store_true", help="of the image, and do no more")
    parser.add_argument("command", nargs="?", default="true")
    options = parser.parse_args()
    if options.print_suite:
        print(CGROUPS[options.cgroups][0])
        return 0
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
