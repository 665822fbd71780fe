# SPDX-License-Identifier: Apache-2.0
"""How to touch a file or directory of a cgroup hierarchy: plain reads and writes, never a creation.

A control file is written by one write(2) a value, and is never opened with O_CREAT or O_TRUNC: a
name that the kernel does not offer must be ENOENT, not a new file in whatever is mounted there.
"""

from __future__ import annotations

import errno
import os

from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# "This user may not": what an unprivileged caller gets where no cgroup was delegated to it.
FORBIDDEN = (errno.EPERM, errno.EACCES, errno.EROFS)
GONE = (errno.ENOENT, errno.ENODEV)  # ENODEV: the cgroup was removed while its file was open


def read(path: str) -> str:
    """The whole text of a control file. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).decode("utf-8", "surrogateescape")


def write(path: str, *values: str) -> None:
    """Write each value to one control file, in order, one write(2) each. Raises OSError."""
    fd = os.open(path, os.O_WRONLY)
    try:
        for value in values:
            os.write(fd, value.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


def make(path: str) -> bool:
    """Make a cgroup and its missing ancestors; True when this call made it. Raises OSError.

    Another runtime may remove an empty parent between our two mkdir calls, hence the second round.
    """
    for last in (False, False, True):
        try:
            os.mkdir(path, 0o755)
            return True
        except FileExistsError:
            return False
        except FileNotFoundError:
            if last:
                raise
        make(os.path.dirname(path))
    return False


def exists(path: str) -> bool:
    """Whether there is something at this path."""
    try:
        os.lstat(path)
    except OSError:
        return False
    return True


def children(path: str) -> list[str]:
    """The sub-cgroups directly below `path`; none when it is gone.

    A directory of cgroupfs has a link count of 2 plus its sub-directories, so the usual leaf is
    recognised without reading its dozens of files. Other counts (1 on some file systems) say
    nothing.
    """
    try:
        if os.stat(path).st_nlink == 2:
            return []
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if error.errno in GONE:
            return []
        raise from_os(error, f"read the sub-cgroups of {path}") from None


def member_pids(path: str) -> list[int]:
    """The processes of one cgroup alone, as this pid namespace numbers them.

    A process of a pid namespace that cannot be seen from here is listed as 0. It is left out:
    kill(0) would signal our own process group.
    """
    try:
        text = read(f"{path}/cgroup.procs")
    except OSError as error:
        # EOPNOTSUPP: a threaded cgroup; its processes are listed by the domain above it.
        if error.errno in GONE or error.errno == errno.EOPNOTSUPP:
            return []
        raise from_os(error, f"read {path}/cgroup.procs") from None
    return [pid for pid in map(int, text.split()) if pid > 0]


def tree_pids(roots: Iterable[str]) -> list[int]:
    """The processes of these cgroups and everything below them, each once, in ascending order."""
    found: set[int] = set()
    pending = list(roots)
    while pending:
        path = pending.pop()
        found.update(member_pids(path))
        pending.extend(children(path))
    return sorted(found)


def is_frozen(path: str) -> bool:
    """Whether the processes of a cgroup are stopped by either freezer, or on their way there."""
    for file, running in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        try:
            return read(f"{path}/{file}").strip() != running
        except OSError:
            pass  # not this hierarchy's file
    return False


def refuse_used(path: str, pointer: str, own: int = 0) -> None:
    """Raise Error when an existing cgroup cannot become a container's: it is in use, or frozen.

    `pointer` is the config field that named it, or ""; `own`: a process that may be there, the
    container's. Taking such a cgroup would let an operation
    on this container act on somebody else's processes (config-linux.md, "Control groups").
    """
    pids = [pid for pid in tree_pids([path]) if pid != own]
    if pids:
        raise Error(
            f"container's cgroup is not empty: {len(pids)} process(es) found in {path}",
            pointer,
            "give each container a cgroup of its own",
        )
    if is_frozen(path):
        raise Error(
            f"container's cgroup is frozen: {path}",
            pointer,
            "thaw it, or give the container a cgroup of its own",
        )
