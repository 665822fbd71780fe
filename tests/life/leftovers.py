# SPDX-License-Identifier: Apache-2.0
"""What a container may leave on the host: mounts, cgroups, processes, state, descriptors. The test
process is the subreaper, so every process that a runtime leaves is a child of it in the end."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from engines.cgroup import detached_mount

CGROUPS = Path("/sys/fs/cgroup")
PARENT = f"pyrun-life-{os.getpid()}"  # of every cgroup here, in each hierarchy
PR_SET_CHILD_SUBREAPER = 36
CLONE_FS, CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x200, 0x20000, 0x4000, 0x40000, 2
PATIENCE = 3.0  # seconds for what ends by itself
SHARED = ("/run/pyrun", "/run/runc", "/run/crun")  # used without --root: never by us


class Host(NamedTuple):
    """What can be left, as sets of lines."""

    mounts: frozenset[str]
    cgroups: frozenset[str]
    processes: frozenset[str]
    state: frozenset[str]
    descriptors: frozenset[str]

    def surplus(self, before: Host) -> list[str]:
        """What there is more than before, or, of mounts, less."""
        found = [
            f"{kind}: {line}"
            for kind, now, old in zip(self._fields, self, before, strict=True)
            for line in sorted(now - old)
        ]
        # Whoever removes the directory below a mount takes the mount from all namespaces: it was
        # somebody else's affair.
        lost = [line for line in before.mounts - self.mounts if Path(line.split()[4]).exists()]
        return found + [f"unmounted: {line}" for line in sorted(lost)]


def become_subreaper(yes: bool) -> None:
    """prctl(2) PR_SET_CHILD_SUBREAPER."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


@contextlib.contextmanager
def own_view() -> Iterator[None]:
    """Meanwhile the process has a mount namespace of its own: what else goes on on this machine is
    not to be seen, and what a test that failed has mounted goes with it."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "a mount namespace of one's own")
    for place in hierarchies():
        if not place.is_relative_to(CGROUPS):
            libc.umount2(bytes(place), MNT_DETACH)  # another run's, and gone when that is over
    cwd = os.getcwd()
    try:
        yield
    finally:
        libc.unshare(CLONE_FS)  # setns refuses who shares that with a thread, as pytest's watchdog
        result = libc.setns(home, CLONE_NEWNS)
        os.close(home)
        assert result == 0
        os.chdir(cwd)


@functools.cache
def keep_hugetlb_apart() -> int:
    """From the first test with crun on, hugetlb is in v1: between two files it would go back to v2,
    where cgroups of other tests keep it. A mount that is nowhere; the end of all tests is its."""
    if os.geteuid() == 0 and (CGROUPS / "unified/cgroup.controllers").exists():
        return detached_mount("hugetlb")
    return -1


def hugetlb_for_crun() -> None:
    """crun 1.8 wants no controller in the v2 tree of a hybrid host: there, hugetlb gets a v1
    hierarchy as the others have, in this view. It may have one that only another run's shows. The
    v2 tree may keep it for a moment: until the last cgroup that had it is freed."""
    keep_hugetlb_apart()
    hybrid = (CGROUPS / "unified/cgroup.controllers").exists()
    place = CGROUPS / "hugetlb"
    if hybrid and "hugetlb" in Path("/proc/cgroups").read_text() and not place.is_mount():
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", str(place)]
        deadline = time.monotonic() + 10
        while subprocess.run(command, capture_output=True).returncode:
            if time.monotonic() > deadline:
                subprocess.run(command, check=True)
            time.sleep(0.2)


def hierarchies() -> list[Path]:
    """The mount points of cgroup hierarchies."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split()[4]) for line in lines if line.split(" - ")[1].startswith("cgroup")]


def cgroups() -> frozenset[str]:
    """Every cgroup of these tests: none is there between tests."""
    return frozenset(path for place in hierarchies() for path in _below(f"{place}/{PARENT}"))


def _below(folder: str) -> Iterator[str]:
    """All cgroups in one, those in them last. The links of the folder tell of cgroups in it: a
    hundred files each would have to be looked through for them."""
    with contextlib.suppress(OSError):  # gone meanwhile
        if os.stat(folder).st_nlink > 2:
            for entry in os.scandir(folder):
                if entry.is_dir(follow_symlinks=False):
                    yield entry.path
                    yield from _below(entry.path)


def children() -> list[int]:
    """Ours, with those that we have adopted."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def reap() -> None:
    """Zombies are ours to wait for, as they are a shim's: not left by anybody."""
    for pid in children():
        with contextlib.suppress(OSError):
            os.waitpid(pid, os.WNOHANG)


def _name(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return f"{pid} {words}"
    except OSError:
        return f"{pid}"


def look(roots: list[Path]) -> Host:
    """The host as it is; `roots` are the folders where runtimes keep state."""
    reap()
    return Host(
        frozenset(Path("/proc/self/mountinfo").read_text().splitlines()),
        cgroups(),
        frozenset(_name(pid) for pid in children()),
        frozenset(
            str(path)
            for root in [*roots, *map(Path, SHARED)]
            if root.is_dir()
            for path in root.iterdir()
            if not path.name.startswith(".")  # caches
        ),
        descriptors(),
    )


def descriptors() -> frozenset[str]:
    """Ours, with what each leads to."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    return frozenset(line for line in found if "/proc/" not in line)


def wait_until_clean(before: Host, roots: list[Path]) -> list[str]:
    """What is left once everything had its time to end."""
    deadline = time.monotonic() + PATIENCE
    while (found := look(roots).surplus(before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def clear(pids: Collection[int] = (), name: str = "/") -> None:
    """Ends what is left, so that it is one test's failure and not that of all that follow; `pids`,
    and cgroups with this name, stay."""
    for _ in range(20):
        left = set(children()).difference(pids)
        folders = sorted((path for path in cgroups() if Path(path).name != name), reverse=True)
        if not left and not folders:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for folder in folders:
            with contextlib.suppress(OSError):
                Path(folder, "freezer.state").write_text("THAWED")
            for pid in _members(folder):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        for folder in folders:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        time.sleep(0.05)
        reap()


def _members(folder: str) -> list[int]:
    try:
        return [int(word) for word in Path(folder, "cgroup.procs").read_text().split()]
    except OSError:
        return []


def remove_parents() -> None:
    """Our cgroup in each hierarchy, when the tests are over."""
    for place in hierarchies():
        with contextlib.suppress(OSError):
            os.rmdir(place / PARENT)


def is_reaped(pid: int) -> bool:
    """Whether a process is gone; as our child, by this at the latest."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not Path(f"/proc/{pid}").exists()
