# SPDX-License-Identifier: Apache-2.0
"""What a container is swept in: a stranger beside it, a console socket, and the host as it was."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from faults import private, verbs
from faults.kinds import CONSOLE, HOOK, WITNESS, Console, Kind, limited, place_of
from faults.stops import Ended, Stop
from life import leftovers
from life.runtimes import Container

# Of /proc/PID/status.
CONFINING = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Umask")
LARGE = 1 << 16  # bytes: of larger files size and time tell
TREES = ("/tmp", "/run", "/dev/shm")


def digest(top: Path) -> dict[str, tuple[object, ...]]:
    """Each path below with its type, mode, owners, and content; times left out."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(top):
        for name in (".", *folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            content: object = ""
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = status.st_size, status.st_mtime_ns
                if status.st_size < LARGE:
                    content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, content)
    return found


def paths(top: str) -> frozenset[str]:
    """All below, by name."""
    return frozenset(
        os.path.join(folder, name)
        for folder, folders, files in os.walk(top)
        for name in (*folders, *files)
    )


def kernel_objects() -> frozenset[str]:
    """What lives in the kernel without a process: shared memory, network devices, terminals, and
    the session keyrings of containers."""
    shm = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    devices = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    keys = Path("/proc/keys").read_text().splitlines() if Path("/proc/keys").exists() else []
    return frozenset(
        [f"shm {line.split()[1]}" for line in shm]
        + [f"netdev {line.split(':')[0].strip()}" for line in devices]
        + [f"pty {name}" for name in os.listdir("/dev/pts")]
        + [f"key {line.split()[-2]}" for line in keys if f" _ses.life-{os.getpid()}-" in line]
    )


def confinement(container: Container) -> dict[str, str]:
    """What the init of a container may, as the kernel has it; nothing without an init."""
    state = verbs.state_of(container)
    if state.get("status") not in ("created", "running"):
        return {}
    pid = state["pid"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in lines if line.startswith(CONFINING))
    for kind in sorted(os.listdir("/proc/self/ns")):
        own = os.readlink(f"/proc/self/ns/{kind}") != os.readlink(f"/proc/{pid}/ns/{kind}")
        found[kind] = "its own" if own else "the host's"
    return found


class Snapshot(NamedTuple):
    """The host without the container."""

    host: leftovers.Host
    trees: dict[str, frozenset[str]]
    bundle: dict[str, tuple[object, ...]]
    outside: dict[str, tuple[object, ...]]
    objects: frozenset[str]


class Ground:
    """A container of a kind, what was there before it, and a stranger beside it."""

    def __init__(self, container: Container, stranger: Container, kind: Kind) -> None:
        self.container = container
        self.stranger = stranger
        self.kind = kind
        self.place = place_of(container.bundle)
        self.console: Console | None = None
        self.neighbour = subprocess.Popen(["sleep", "10000"])
        self.before: Snapshot | None = None
        self.hooks_before = 0  # what they have left before the verb that is tried
        self.hook_was_hit = False
        self.keeps = False  # I9 may leave the container that it has made, for the next point
        self.kept = False
        self.confinement: dict[str, str] = {}
        self.hooks: frozenset[int] = frozenset()  # by which of a verb's processes they are run
        self.owed_from = 0  # how many records come before hooks: from there on poststop may run

    def drain(self) -> None:
        """Closes the terminals that have come."""
        if self.console:
            self.console.drain()

    def look(self) -> Snapshot:
        """As it is now."""
        self.drain()
        bundle = self.container.bundle.path
        own = {str(bundle / name) for name in ("pid", "output", "resources.json")}
        own.add(str(self.place / WITNESS))
        root = str(self.container.runtime.root)
        content = {path: value for path, value in digest(bundle).items() if path not in own}
        return Snapshot(
            leftovers.look([self.container.runtime.root]),
            {
                top: frozenset(p for p in paths(top) if not p.startswith((root, *own)))
                for top in TREES
            },
            content,
            digest(self.place / "outside"),
            kernel_objects(),
        )

    def prepare(self) -> None:
        """With all that the first of its containers leaves where it may: mount points, parents of
        cgroups, and templates, also that of a process which joins."""
        if self.kind.terminal:
            self.console = Console(self.place / CONSOLE)
        bundle = self.container.bundle
        limited(bundle)
        self.kind.change(bundle)
        self.stranger.started("sleep 10000")
        verbs.prepare(self.container, self.kind, "running")
        if not self.kind.terminal:  # there is no template of such a process
            command = verbs.words(self.container, self.kind, "exec")
            assert self.container.runtime(*command).code == 0
        assert self.container.delete("--force").code == 0
        self.forget_hooks()
        self.before = self.look()

    def ready(self, name: str) -> None:
        """All is as the verb takes it, for the next point."""
        if not self.kept:
            self.forget_hooks()
        before = verbs.VERBS[name].before
        verbs.prepare(self.container, self.kind, before, created=self.kept)
        self.kept = False
        self.hooks_before = len(self.hooks_that_ran())

    def learn(self, traced: Ended) -> None:
        """Of a verb without a fault: when its hooks were on record, and what holds its init."""
        calls = [stop.path for stop in traced.stops]
        begun = calls.index(HOOK) if HOOK in calls else 0
        self.owed_from = sum("state.json" in path for path in calls[:begun])
        self.confinement = confinement(self.container)
        self.hooks = frozenset(
            stop.process for stop in traced.stops if stop.call == "execve" and stop.path == HOOK
        )

    def known(self) -> set[int]:
        """Processes that are there whatever happens."""
        return {self.neighbour.pid, self.stranger.pid}

    def clear(self) -> None:
        """Ends what a fault has left."""
        self.kept = False
        leftovers.clear(self.known(), self.stranger.id)
        self.container.delete("--force")

    def hooks_that_ran(self) -> list[str]:
        """By what they have left."""
        path = self.place / WITNESS
        return path.read_text().split() if path.exists() else []

    def forget_hooks(self) -> None:
        """For the next point."""
        (self.place / WITNESS).unlink(missing_ok=True)
        self.hooks_before = 0

    def notice(self, ended: Ended, hit: Stop | None) -> None:
        """Whether the fault has met a hook: one that was begun and has left nothing, or its
        process before that."""
        if hit and hit.process in self.hooks:
            self.hook_was_hit = True
            return
        begun = sum(stop.path == HOOK for stop in ended.stops if stop.call == "execve")
        self.hook_was_hit = begun > len(self.hooks_that_ran()) - self.hooks_before

    def close(self) -> None:
        """Ends what the test has begun."""
        self.neighbour.kill()
        self.neighbour.wait()
        self.drain()
        if self.console:
            self.console.close()


@contextlib.contextmanager
def standing(
    kind: Kind, place: Path, make: Callable[[], Container], launcher: str = ""
) -> Iterator[Ground]:
    """A new container of a kind with what it stands among, in views of its own; `launcher`: of
    another pyrun than the installed one."""
    with private.apart(), leftovers.own_view():
        private.hide(place, keep_run=bool(kind.options))
        kind.view()
        container, stranger = make(), make()
        container.runtime.path = launcher or container.runtime.path
        found = Ground(container, stranger, kind)
        try:
            found.prepare()
            yield found
        finally:
            for each in (container, stranger):
                each.delete("--force")
            found.close()
