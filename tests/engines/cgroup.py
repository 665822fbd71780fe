# SPDX-License-Identifier: Apache-2.0
"""A cgroup in each hierarchy of the machine, which is the root of an engine's tree."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from life import hierarchies

TOP = hierarchies.TOP
LEAF = "init"  # v2: no processes beside cgroups that have controllers


class Cgroup:
    """Made when there is one; `enter` before exec, `remove` at the end."""

    def __init__(self, name: str, folder: Path) -> None:
        self.v1 = hierarchies.mounted()
        self.extra = _mount_more(folder) if self.v1 else []
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
        places = [TOP / folder for folder, _ in self.v1] + self.extra
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
        for folder, options in [*self.v1, *((path.name, path.name) for path in self.extra)]:
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
        for place in self.extra:
            subprocess.run(["umount", place], check=True)


def _mount_more(folder: Path) -> list[Path]:
    """Hierarchies that others may have: a controller that is in one, seen by us or not, is in every
    list of a process's cgroups, and engines want to find it. crun 1.8 wants hugetlb in v1 where
    others are. So they are there all the time."""
    places = []
    for row in Path("/proc/cgroups").read_text().splitlines()[1:]:
        name, hierarchy, _, _ = row.split()
        seen = any(name in names.split(",") for _, names in hierarchies.mounted())
        if seen or (hierarchy == "0" and name != "hugetlb"):
            continue
        place = folder / name
        place.mkdir()
        command = ["mount", "-t", "cgroup", "-o", name, "cgroup", place]
        if subprocess.run(command, capture_output=True).returncode == 0:
            places.append(place)
    return places


def _rmdir(path: Path) -> None:
    try:
        path.rmdir()
    except OSError:
        return  # busy: remove() tries again
