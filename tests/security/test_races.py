# SPDX-License-Identifier: Apache-2.0
"""Paths that are changed while the runtime works with them: it is stopped at a system call that
takes a path or a place, the path is swapped for a link to the host, and it goes on, as another
container would do it with a volume that both have. At every boundary with PYRUN_SWEEP=all, else at
those where the name is looked up, and a sample of the others. By Python, and by a template."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE

import pytest

from faults.sampling import sample, tell
from faults.stops import PATHS, PLACES, Ended, Stop, Stopped, exchange, state
from faults.verbs import is_program
from life import leftovers
from life.runtimes import eventually
from needs import needs
from pyrun.criu import mount_table
from pyrun.errors import Error

from . import peers
from .box import DEV, DEVPTS, PROC, Box

pytestmark = needs("root", "busybox")

POINTS = 4  # of each race, in a sample
TEMPLATES = 0.3  # seconds from one that is left to the next at least
CALLS = (*PATHS, *PLACES)
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


class Race:
    """A bundle, and two names in it or in its volume that are exchanged."""

    terminal = False
    back = False  # whether the swap is taken back
    calls = CALLS

    def __init__(self, box: Box) -> None:
        self.box = box
        self.volume = box.folder / "volume"
        self.one = self.other = box.folder
        self.box.sh("cat /proc/self/mountinfo; echo RAN")

    def bind(self, source: Path, destination: str) -> dict[str, object]:
        """An entry of mounts."""
        return {"destination": destination, "source": str(source), "options": ["bind"]}

    def reset(self) -> None:
        """The tree as it is before each run."""
        shutil.rmtree(self.volume, ignore_errors=True)
        self.volume.mkdir()
        self.astray: set[str] = set()

    def look(self, stop: Stop) -> None:
        """What can be seen at a stop alone: a mount over what is the host's, which goes with the
        host's root when the container's takes its place. That may lie over it for a while."""
        try:
            table = {mount.number: mount for mount in mount_table.of(stop.pid)}
            if not Path(f"/proc/{stop.pid}/root").samefile("/"):
                return
        except (FileNotFoundError, Error):
            # Who stood there is being killed: what it has goes before its state tells.
            if not eventually(lambda: state(stop.pid) in ("", "X", "Z"), 1):
                raise
            return
        for mount in table.values():
            if mount.point.startswith(str(self.box.outside)):
                root = mount
                while root.point != "/":
                    root = table[root.parent]
                if root.parent not in table:
                    self.astray.add(mount.point)

    def swap(self) -> None:
        """What another container does with what both have; a second time it takes that back."""
        exchange(self.one, self.other)

    def check(self, ended: Ended) -> None:
        """Nothing of the host was reached, whatever the runtime made of it."""
        assert not ended.hung
        assert self.astray == set()
        assert self.box.untouched()
        assert "HOST SECRET" not in ended.output
        for line in ended.output.splitlines():
            fields = line.split()
            if " - " in line and len(fields) > 9:
                assert not fields[3].startswith(str(self.box.outside)), line


class Mounts(Race):
    """CVE-2024-45310, CVE-2021-30465: the parent of mount targets, which are made."""

    def reset(self) -> None:
        super().reset()
        self.one, self.other = self.volume / "d", self.volume / "d_evil"
        self.one.mkdir()
        self.other.symlink_to(self.box.outside)
        source = self.box.folder / "source"
        source.mkdir(exist_ok=True)
        (self.box.folder / "file").write_text("of the volume")
        self.box.config["mounts"] = [
            PROC, DEV, self.bind(self.volume, "/vol"),
            {"destination": "/vol/d/tmp", "type": "tmpfs", "source": "tmpfs"},
            self.bind(source, "/vol/d/dir"),
            self.bind(self.box.folder / "file", "/vol/d/file"),
        ]  # fmt: skip
        self.box.sh("cat /proc/self/mountinfo /vol/d/secret /vol/d/*/secret; echo RAN")


class Devices(Race):
    """CVE-2026-47766: the image's /dev, in which nodes and links are made."""

    def reset(self) -> None:
        super().reset()
        rootfs = self.box.rootfs
        self.one, self.other = rootfs / "dev", rootfs / "dev_evil"
        for path in (self.one, self.other):
            if path.is_symlink():
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)
        self.one.mkdir()
        self.other.symlink_to(self.box.outside)
        self.box.config["mounts"] = [PROC]


class Console(Race):
    """CVE-2026-88264, CVE-2025-52565: the image's /dev/console, while the terminal is set up."""

    terminal = True

    def reset(self) -> None:
        super().reset()
        dev = self.box.rootfs / "dev"
        shutil.rmtree(dev, ignore_errors=True)
        (dev / "pts").mkdir(parents=True)
        self.one, self.other = dev / "console", dev / "evil"
        self.one.touch()
        # What leads nowhere is followed by several calls: taken back, it is there for one alone.
        self.other.symlink_to(self.box.outside / ("ptmx" if self.back else "pwned"))
        self.box.config["mounts"] = [PROC, DEVPTS]
        self.box.process["terminal"] = True
        self.box.sh("echo RAN")


class Masks(Race):
    """CVE-2025-31133: a masked file, what covers it, and a read-only path, in the attacker's /dev
    and volume."""

    def reset(self) -> None:
        super().reset()
        self.one, self.other = self.volume / "null", self.volume / "evil"
        os.mknod(self.one, 0o20666, os.makedev(1, 3))
        self.other.symlink_to("/marker")
        (self.box.rootfs / "marker").write_text("MARKER")
        masked = self.box.rootfs / "masked"
        masked.mkdir(exist_ok=True)
        (masked / "secret").write_text("SECRET")
        self.box.config["mounts"] = [PROC, self.bind(self.volume, "/dev")]
        self.box.config["linux"]["maskedPaths"] = ["/masked/secret"]
        self.box.sh("cat /masked/secret; echo PWNED > /masked/secret; echo RAN")

    def check(self, ended: Ended) -> None:
        super().check(ended)
        assert "SECRET" not in ended.output
        assert "MARKER" not in ended.output
        assert (self.box.rootfs / "marker").read_text() == "MARKER"
        assert (self.box.rootfs / "masked/secret").read_text() == "SECRET"


class Masked(Race):
    """What is to be masked and what is to be read-only lies in the attacker's volume."""

    def reset(self) -> None:
        super().reset()
        self.one, self.other = self.volume / "m", self.volume / "m_evil"
        self.one.mkdir()
        for name in ("secret", "ptmx"):
            (self.one / name).write_text("of the volume")
        self.other.symlink_to(self.box.outside)
        self.box.config["mounts"] = [PROC, DEV, self.bind(self.volume, "/vol")]
        self.box.config["linux"]["maskedPaths"] = ["/vol/m/secret"]
        self.box.config["linux"]["readonlyPaths"] = ["/vol/m/ptmx"]
        self.box.sh("cat /proc/self/mountinfo /vol/m/secret; echo x > /vol/m/ptmx; echo RAN")


class Proc(Race):
    """CVE-2023-27561, CVE-2025-52881: the image's /proc for a folder of the volume, while sysctls
    are written and proc is mounted. They are written to a proc that no path leads to: over one that
    the container has, others could mount."""

    calls = (*CALLS, "write")

    def reset(self) -> None:
        super().reset()
        rootfs = self.box.rootfs
        self.one, self.other = rootfs / "proc", rootfs / "proc_evil"
        for path in (self.one, self.other):
            if path.is_symlink():
                path.unlink()
            shutil.rmtree(path, ignore_errors=True)
        self.one.mkdir()
        self.other.symlink_to("/vol/fake")
        self.fake = self.volume / "fake/sys/net/ipv4/ip_forward"
        self.fake.parent.mkdir(parents=True)
        self.fake.write_text("untouched")
        self.written: list[bool] = []
        self.forward = FORWARD.read_text()
        self.box.config["mounts"] = [self.bind(self.volume, "/vol"), PROC, DEV]
        self.box.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}

    def look(self, stop: Stop) -> None:
        """Whether the sysctl is written to a proc that is mounted nowhere."""
        super().look(stop)
        if stop.call != "write":
            return
        process = Path(f"/proc/{stop.pid}")
        table = (process / "mountinfo").read_text().splitlines()
        mounted = {line.split()[0] for line in table}
        for fd in (process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # another thread's, or it is being killed
                if os.readlink(fd).endswith("ip_forward"):
                    info = (process / "fdinfo" / fd.name).read_text()
                    (at,) = re.findall(r"mnt_id:\s*(\d+)", info)
                    self.written.append(at in mounted)

    def check(self, ended: Ended) -> None:
        super().check(ended)
        assert self.fake.read_text() == "untouched"
        assert self.written or ended.code, "it was written unseen"
        assert not any(self.written), "a path leads to where the sysctl was written"
        assert FORWARD.read_text() == self.forward


class Peer(Proc):
    """CVE-2025-52881: the image lies in a volume of another container, whose mounts are seen here,
    and one of them is put over the image's /proc."""

    def __init__(self, box: Box) -> None:
        super().__init__(box)
        self.mounted = False
        for words in (("--bind", box.rootfs, box.rootfs), ("--make-shared", box.rootfs)):
            subprocess.run(["mount", *words], check=True)
        words = ["unshare", "--mount", "--propagation", "unchanged", "sh"]
        self.peer = subprocess.Popen(words, stdin=PIPE, stdout=PIPE, text=True)
        self.tell("true")

    def tell(self, command: str) -> None:
        """The other container does this, and has done it."""
        assert self.peer.stdin
        assert self.peer.stdout
        self.peer.stdin.write(f"{command}; echo $?\n")
        self.peer.stdin.flush()
        assert self.peer.stdout.readline() == "0\n", command

    def reset(self) -> None:
        if self.mounted:
            self.swap()
        super().reset()
        self.box.sh("cat /proc/sys/net/ipv4/ip_forward; echo RAN")

    def swap(self) -> None:
        place = self.box.rootfs / "proc"
        bind = f"mount --bind {self.volume / 'fake'} {place}"
        self.tell(f"umount -l {place}" if self.mounted else bind)
        self.mounted = not self.mounted
        assert (place / "sys").exists() == self.mounted, "it is not seen here"

    def check(self, ended: Ended) -> None:
        super().check(ended)
        assert ended.output in ("", "1\nRAN\n")

    def end(self) -> None:
        """The other container is gone."""
        self.peer.communicate("exit\n")


RACES = {kind.__name__.lower(): kind for kind in (Mounts, Devices, Console, Masks, Masked, Proc)}


def run(race: Race, swap: Callable[[Stop], None] = lambda _: None) -> Ended:
    """The container's whole life."""
    box = race.box
    box.write()
    command = box.command("run", "--bundle", str(box.bundle), box.id)

    def decide(stop: Stop) -> None:
        race.look(stop)
        swap(stop)

    if not race.terminal:
        return Stopped(command, race.calls, decide, cwd=str(box.bundle)).run()
    master, peer = pty.openpty()
    try:
        streams = (peer, peer, peer)
        return Stopped(command, race.calls, decide, streams=streams, cwd=str(box.bundle)).run()
    finally:
        os.close(peer)
        os.close(master)


def traced(race: Race) -> Ended:
    """As all go that follow: the first one may leave a template for them."""
    for _ in range(2):
        race.reset()
        ended = run(race)
        assert (ended.code, ended.hung) == (0, False), ended.errors
        race.check(ended)
        time.sleep(TEMPLATES)
    return ended


def boundaries(race: Race, ended: Ended) -> list[int]:
    """Some of the stops until the container's program begins: what comes then is its own affair."""
    last = len(ended.stops) - 1
    begins = (stop.index for stop in ended.stops if is_program(stop, "/bin/sh"))  # box.sh
    before = ended.stops[: next(begins, last) + 1]
    found = {stop.index for stop in before if race.one.name in stop.path.split("/")}
    return sorted(found.union(sample([stop.index for stop in before], POINTS)))


def swapping(race: Race, at: int) -> Callable[[Stop], None]:
    """Exchanges the names at a stop, and back again at the next one if that is the race."""

    def decide(stop: Stop) -> None:
        if stop.index == at or (race.back and stop.index == at + 1):
            race.swap()

    return decide


def sweep(race: Race, runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every boundary that is chosen, both ways."""
    for python in (False, True)[: 1 if peers.known(runtime) else 2]:
        if python:
            monkeypatch.setenv("PYRUN_NO_FAST", "1")
        chosen = boundaries(race, traced(race))
        begin = time.monotonic()
        for at in chosen:
            race.reset()
            ended = run(race, swapping(race, at))
            race.box.delete()
            try:
                race.check(ended)
            except AssertionError as error:
                stop = ended.stops[at]
                raise AssertionError(f"swapped at {stop.index}, {stop.call} {stop.path}") from error
        taken = f"{time.monotonic() - begin:.0f} s"
        what = f"{type(race).__name__} {race.back=} {python=}"
        tell(f"{what}: {len(chosen)} boundaries, {taken}")


@pytest.mark.parametrize("back", [False, True], ids=["stays", "back"])
@pytest.mark.parametrize("name", RACES)
def test_swaps(
    box: Box, runtime: Path, name: str, back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    race = RACES[name](box)
    race.back = back
    sweep(race, runtime, monkeypatch)


@pytest.mark.parametrize("back", [False, True], ids=["stays", "back"])
def test_a_mount_of_a_peer(
    box: Box, runtime: Path, back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with leftovers.own_view():
        race = Peer(box)
        race.back = back
        try:
            sweep(race, runtime, monkeypatch)
        finally:
            race.end()
