# SPDX-License-Identifier: Apache-2.0
"""The cgroup hierarchies as CRIU wants to find them in one folder, its "yard".

Else it would mount each itself, and to mount cgroup2 once more without its options (nsdelegate,
memory_recursiveprot) takes them from the whole host: they are the file system's, and the last mount
in the first cgroup namespace decides.
"""

from __future__ import annotations

import contextlib
import os

from pyrun import removal
from pyrun.cgroup import cgroupfs
from pyrun.cgroup.facts import facts
from pyrun.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyrun.state import Container

NAME = "hierarchies"  # in the container's folder


def hierarchies(mounts: dict[str, list[str]], own: str) -> dict[str, str]:
    """{name in the yard: mount point} for every line of proc_pid_cgroup(5); {} if one of them is
    not mounted whole. `mounts` is that of cgroup.facts."""
    found = {}
    for line in filter(None, own.split("\n")):
        names = line.split(":")[1]
        point, root = mounts.get(names.partition(",")[0]) or ("", "")
        if root != "/":
            return {}
        found[names.removeprefix("name=") or "unified"] = point
    return found


@contextlib.contextmanager
def made(container: Container, *, links: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """(the folder's path, {path in it: mount point}) while it is there: links to the hierarchies,
    or directories where they are to be mounted. ("", {}) where CRIU has to mount what it needs.
    Raises Error."""
    found = hierarchies(facts()["mounts"], cgroupfs.read("/proc/self/cgroup"))
    if not found:
        yield "", {}
        return
    path = f"{container.path}/{NAME}"
    try:
        with contextlib.suppress(FileNotFoundError):  # of one that was killed
            removal.remove(container, NAME)
        os.mkdir(NAME, 0o700, dir_fd=container.fd)
        for name, point in found.items():
            if links:
                os.symlink(point, f"{NAME}/{name}", dir_fd=container.fd)
            else:
                os.mkdir(f"{NAME}/{name}", 0o700, dir_fd=container.fd)
    except OSError as error:
        raise from_os(error, f"make {path}") from None
    try:
        yield path, {f"{path}/{name}": point for name, point in found.items()}
    finally:
        with contextlib.suppress(FileNotFoundError):
            removal.remove(container, NAME)
