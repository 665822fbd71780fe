# SPDX-License-Identifier: Apache-2.0
"""The kernel's wait, out of the way: on v1, the first move of a process for a while waits for an
RCU grace period (percpu_down_write of cgroup_threadgroup_rwsem), about 10 ms; those soon after it
do not.

A create has to move its init. Moving ourselves to the cgroup that we are in makes the kernel wait
while our modules are still being loaded: 12 of 38 ms.
"""

from __future__ import annotations

import os
import sys
from _thread import start_new_thread

ROOT = "/sys/fs/cgroup"


def begin() -> None:
    """Start the wait in a thread, where there is one to come: as root, on v1 or hybrid."""
    if os.geteuid() == 0 and not os.path.exists(f"{ROOT}/cgroup.procs"):
        # Without memory for its first frame it fails before there is anything to catch that, and
        # Python would print it. A builtin takes what is told, and needs no frame.
        sys.unraisablehook = bool
        try:
            start_new_thread(stay, ("/proc/self/cgroup", ROOT, os.getpid()))
        except RuntimeError:  # no memory for one, or no room in the cgroup: then create waits
            return


def stay(own: str, root: str, pid: int) -> None:
    """Move this process, `pid`, to where it is. Whatever is not as expected: leave it alone; create
    will wait, and say what is wrong."""
    try:
        place = own_cgroup(_read(own), root)
        # A hierarchy may be mounted from another place than our paths start at.
        if place and str(pid) in _read(place).split():
            fd = os.open(place, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"0")
            finally:
                os.close(fd)
    except (OSError, ValueError, MemoryError):
        return


def own_cgroup(text: str, root: str) -> str:
    """cgroup.procs of our cgroup in some v1 hierarchy, from the text of /proc/self/cgroup; "" for
    none: cgroups(7)."""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and "=" not in names and ".." not in path:
            return f"{root}/{names}{path.rstrip('/')}/cgroup.procs"
    return ""


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while part := os.read(fd, 1 << 16):
            text += part
    finally:
        os.close(fd)
    return text.decode()
