# SPDX-License-Identifier: Apache-2.0
"""A cgroup in each hierarchy of the machine, which is the root of an engine's tree."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

from life import hierarchies

TOP = hierarchies.TOP
SYS_FSOPEN, SYS_FSCONFIG, SYS_FSMOUNT = 430, 431, 432  # the same on every architecture
CLOEXEC, SET_FLAG, CMD_CREATE = 1, 0, 6  # linux/mount.h
LEAF = "init"  # v2: no processes beside cgroups that have controllers


class Cgroup:
    """Made when there is one; `enter` before exec, `remove` at the end."""

    def __init__(self, name: str) -> None:
        self.v1 = hierarchies.mounted()
        self.extra = _detached_hierarchies() if self.v1 else {}
        self.unified = TOP if (TOP / "cgroup.controllers").exists() else TOP / "unified"
        if not (self.unified / "cgroup.controllers").exists():
            self.unified = Path("/none")
        self.name = name
        for folder in self.folders():
            folder.mkdir()
            for setting in ("cpuset.cpus", "cpuset.mems"):  # v1: empty, and nothing may enter
                if (folder / setting).exists() and self.unified != TOP:
                    (folder / setting).write_text((folder.parent / setting).read_text())
        self._entries = [folder / "cgroup.procs" for folder in self.folders()]

    def folders(self) -> list[Path]:
        """One each hierarchy."""
        places = [TOP / folder for folder, _ in self.v1]
        places += [Path(f"/proc/{os.getpid()}/fd/{fd}") for fd in self.extra.values()]
        if self.unified != Path("/none"):
            places.append(self.unified)
        return [place / self.name for place in places]

    def mounts(self) -> str:
        """Lines of a shell that mount the same hierarchies at the same places, which their root's
        cgroup namespace must be that of this cgroup for."""
        if self.unified == TOP:
            leaf = TOP / LEAF
            return f"mount -t cgroup2 cgroup2 {TOP}; mkdir {leaf}; echo $$ > {leaf}/cgroup.procs"
        lines = [f"mount -t tmpfs -o mode=755 tmpfs {TOP}"]
        # First: runc takes the folder for none of cgroups when the youngest is of another kind.
        if self.unified != Path("/none"):
            lines.append(f"mkdir {self.unified}; mount -t cgroup2 cgroup2 {self.unified}")
        for folder, options in [*self.v1, *((name, name) for name in self.extra)]:
            what = f"none,{options}" if "=" in options else options
            lines.append(f"mkdir {TOP / folder}; mount -t cgroup -o {what} cgroup {TOP / folder}")
        return "\n".join(lines)

    def enter(self) -> None:
        """The calling process."""
        for entry in self._entries:
            leaf = entry.parent / LEAF / entry.name
            (leaf if leaf.exists() else entry).write_text("0")

    def below(self) -> list[str]:
        """What there is in it, relative to it."""
        found = set()
        for top in self.folders():
            for folder, _, _ in os.walk(top):
                found.add(str(Path(folder).relative_to(top)))
        return sorted(found - {".", LEAF})

    def remove(self) -> None:
        """All of it; processes that were killed may take a moment to be gone."""
        deadline = time.monotonic() + 10
        while left := [top for top in self.folders() if top.exists()]:
            for top in left:
                for folder, _, _ in os.walk(top, topdown=False):
                    _rmdir(Path(folder))
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.02)
        for fd in self.extra.values():
            os.close(fd)
        self.extra.clear()


def _detached_hierarchies() -> dict[str, int]:
    """{controller: a mount that is nowhere} of hierarchies that others may have. A controller that
    is in one, seen by us or not, is in every list of a process's cgroups, and engines want to find
    it; crun 1.8 wants hugetlb in v1 where others are. So they are there all the time. As nobody
    else sees these mounts, no other test counts with them."""
    found = {}
    for row in Path("/proc/cgroups").read_text().splitlines()[1:]:
        name, hierarchy, _, _ = row.split()
        seen = any(name in names.split(",") for _, names in hierarchies.mounted())
        if not seen and (hierarchy != "0" or name == "hugetlb"):
            fd = detached_mount(name)
            if fd >= 0:
                found[name] = fd
    return found


def detached_mount(controller: str) -> int:
    """fsopen(2), fsconfig(2), fsmount(2): a descriptor, -1 if the controller can't be had now."""
    call = ctypes.CDLL(None).syscall
    context = call(SYS_FSOPEN, b"cgroup", CLOEXEC)
    if context < 0:
        return -1
    try:
        if call(SYS_FSCONFIG, context, SET_FLAG, controller.encode(), None, 0):
            return -1
        if call(SYS_FSCONFIG, context, CMD_CREATE, None, None, 0):
            return -1
        return int(call(SYS_FSMOUNT, context, CLOEXEC, 0))
    finally:
        os.close(context)


def _rmdir(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return  # busy: remove() tries again
