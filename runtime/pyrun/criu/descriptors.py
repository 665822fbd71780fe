# SPDX-License-Identifier: Apache-2.0
"""Descriptors of a container that lead to the host: its standard streams, as whoever created it
passed them on, and files that are on none of its mounts. CRIU can't make them again; at restore,
the standard streams of `pyrun restore` take the place of those of `pyrun create`.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from pyrun.cgroup import procs
from pyrun.criu import mount_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container


# Of terminals: devices.txt of the kernel's documentation. Not /dev/tty, which is anybody's own.
TERMINALS = {4, *range(136, 144), 188, 204, 229}
CONSOLE = os.makedev(5, 1)


class Found(NamedTuple):
    """`external`: what CRIU is to leave out; `streams`: what 0, 1 and 2 were, by CRIU's names, ""
    for what is the container's own or not open any more; `terminal`: whether there is one of the
    host's that is none of these."""

    external: list[str]
    streams: list[str]
    terminal: bool


def outside(pid: int, container: Container) -> Found:
    """Of all processes of a container whose init is `pid`."""
    streams = [tuple(pair) for pair in container.intent.get("stdio") or ()]
    mounts = {mount.number for mount in mount_table.of(pid)}
    # Of others there are some as well: those of memfds, sockets, pidfds, which are in no table.
    hosts = {mount.number for mount in mount_table.of("self")} - mounts
    external: list[str] = []
    names = ["", "", ""]
    terminal = False
    for process in {pid, *procs.processes(container.intent["cgroup"])}:
        for found, mount in _open_files(process):
            name = name_of(found, mount)
            is_file = not name.startswith(("pipe", "socket"))
            ours = [
                number
                for number, stream in enumerate(streams[:3])
                if stream == (found.st_dev, found.st_ino) and (mount in hosts or not is_file)
            ]
            for number in ours:
                names[number] = name
            if name.startswith("tty") and not ours:
                # CRIU has one way for the host's terminals, --shell-job, and another for these.
                terminal = terminal or mount in hosts
            elif is_file and mount in hosts and name not in external:
                external.append(name)
    return Found(external, names, terminal)


def _open_files(pid: int) -> list[tuple[os.stat_result, int]]:
    """(what it is, number of its mount) of each descriptor of a process."""
    found: list[tuple[os.stat_result, int]] = []
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found  # it has just ended
    for name in names:
        try:
            # Follows the link in the kernel: nothing is opened, and no path is looked up.
            status = os.stat(f"/proc/{pid}/fd/{name}")
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii", errors="replace") as file:
                words = file.read().split()
        except OSError:
            continue  # it has just been closed
        found.append((status, int(words[words.index("mnt_id:") + 1])))
    return found


def name_of(found: os.stat_result, mount: int) -> str:
    """CRIU's name for an open file that is on this mount."""
    if stat.S_ISFIFO(found.st_mode) and not _is_named(found):
        return f"pipe:[{found.st_ino}]"
    if stat.S_ISSOCK(found.st_mode):
        return f"socket:[{found.st_ino}]"
    if stat.S_ISCHR(found.st_mode) and _is_terminal(found.st_rdev):
        return f"tty[{found.st_rdev:x}:{found.st_dev:x}]"
    return f"file[{mount:x}:{found.st_ino:x}]"


def _is_terminal(device: int) -> bool:
    return os.major(device) in TERMINALS or device == CONSOLE


def _is_named(found: os.stat_result) -> bool:
    """A FIFO of a file system, and not of pipe(2): those are on one of their own."""
    read_end, write_end = os.pipe()
    own = os.fstat(read_end).st_dev
    os.close(read_end)
    os.close(write_end)
    return found.st_dev != own
