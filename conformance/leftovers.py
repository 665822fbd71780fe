# SPDX-License-Identifier: Apache-2.0
"""What runs beside a check and must be gone after it: the process that runs checks has a mount
table of its own, adopts whatever a runtime leaves, and ends it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

RUNNER = "CONFORMANCE_RUNNER"  # in the environment: the pid of the process that was started
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)


def parent() -> str:
    """The cgroup of every cgroup of this process, in each hierarchy."""
    return f"conformance-{os.environ.get(RUNNER, '0')}-{os.getpid()}"


def adopt() -> None:
    """From now on orphans are children of this process: prctl(2) PR_SET_CHILD_SUBREAPER."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def own_mounts() -> None:
    """From now on this process has a mount namespace of its own, whose mounts nobody else sees.
    Raises OSError."""
    if _libc.unshare(CLONE_NEWNS) or _libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "a mount namespace of one's own")


def hierarchies() -> dict[str, Path]:
    """The mount point of each cgroup hierarchy, by controller of v1 ("" for v2)."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2":
            found[""] = Path(fields.split()[4])
        elif kind == "cgroup":
            for word in options.split(","):
                found.setdefault(word, Path(fields.split()[4]))
    return found


def places() -> set[Path]:
    """The folder of our cgroups in each hierarchy."""
    found = {place / parent() for place in hierarchies().values()}
    return {place for place in found if place.is_dir()}


def cgroups() -> list[Path]:
    """Every cgroup below ours, the inner ones first."""
    return [
        Path(folder)
        for place in places()
        for folder, _, _ in os.walk(place, topdown=False)
        if Path(folder) != place
    ]


def children() -> list[int]:
    """The children of this process, adopted ones too; those that have ended are waited for."""
    text = "".join((task / "children").read_text() for task in Path("/proc/self/task").iterdir())
    found = []
    for word in text.split():
        with contextlib.suppress(OSError):
            if os.waitpid(int(word), os.WNOHANG)[0] == 0:
                found.append(int(word))
    return found


def mounts() -> set[str]:
    """The mount points that this process sees, with what is mounted there."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return {" ".join(line.split()[3:]) for line in lines}


def _members(cgroup: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from map(int, (cgroup / "cgroup.procs").read_text().split())


def clear(before: set[int]) -> None:
    """Ends children but those of before, and removes cgroups and mounts below temporary folders."""
    for _ in range(40):
        left, groups = set(children()) - before, cgroups()
        if not left and not groups:
            break
        for group in groups:
            with contextlib.suppress(OSError):
                (group / "freezer.state").write_text("THAWED")
            left |= set(_members(group))
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()
        time.sleep(0.01)


def unmount_below(folder: Path) -> None:
    """Detaches what is mounted there, the latest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in reversed(lines):
        place = line.split()[4]
        if place.startswith(f"{folder}/"):
            _libc.umount2(place.encode(), 2)  # MNT_DETACH


def remove_places() -> None:
    """What this run has made in each hierarchy, in whichever process, when no check will come."""
    for _ in range(50):
        left = [
            folder
            for place in set(hierarchies().values())
            for folder in place.glob(f"conformance-{os.getpid()}-*")
        ]
        for folder in left:
            with contextlib.suppress(OSError):
                folder.rmdir()
        if not left:
            return
        time.sleep(0.02)
