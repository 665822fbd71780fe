# SPDX-License-Identifier: Apache-2.0
"""What the kernel keeps of containers that are gone: cgroups that were removed and live on for what
was charged to them, dentries, slabs. It is one kernel's for all that runs on the machine."""

from __future__ import annotations

import os
import time
from pathlib import Path

from life import leftovers

DROP = Path("/proc/sys/vm/drop_caches")
PAGES_AND_SLABS = "3\n"


def dying_cgroups() -> int:
    """Removed, but not gone. v2 tells (cgroup.stat); in v1 /proc/cgroups counts more of them than
    there are folders."""
    return sum(map(_dying, leftovers.hierarchies()))


def _dying(place: Path) -> int:
    try:
        stat = (place / "cgroup.stat").read_text().split()
    except FileNotFoundError:
        names = set(place.name.split(","))
        counts = [
            int(count)
            for name, _, count, _ in map(str.split, Path("/proc/cgroups").read_text().splitlines())
            if name in names
        ]
        return counts[0] - sum(1 for _ in os.walk(place)) if counts else 0
    return int(stat[stat.index("nr_dying_descendants") + 1])


def kept() -> dict[str, int]:
    """How much of what, once the kernel was asked to let go of all that is not in use. Numbers, and
    slabs and memory in kB."""
    DROP.write_text(PAGES_AND_SLABS)
    dentries = Path("/proc/sys/fs/dentry-state").read_text().split()
    meminfo = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {name: int(value.split()[0]) for name, value in meminfo.items()}
    return {
        "dying cgroups": dying_cgroups(),
        "dentries": int(dentries[0]),
        "kB of slabs": kilobytes["Slab"],
        "kB of memory in use": kilobytes["MemTotal"] - kilobytes["MemAvailable"],
    }


def growth(before: dict[str, int], seconds: float) -> dict[str, int]:
    """How much more it keeps than before, once the cgroups had this time to go: the kernel frees
    them later, by and by."""
    deadline = time.monotonic() + seconds
    while (now := kept())["dying cgroups"] > before["dying cgroups"]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return {what: amount - before[what] for what, amount in now.items()}
