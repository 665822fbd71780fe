# SPDX-License-Identifier: Apache-2.0
"""A container that lives, as a process has to know it that is to join: which of its namespaces are
not ours, and what it may do there. Read from its init, and true of nobody else."""

from __future__ import annotations

import errno
import os

from pyrun import init
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config

# The file in /proc/PID/ns of each type of linux.namespaces.
FILES = {
    "user": "user",
    "mount": "mnt",
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "cgroup": "cgroup",
    "time": "time",
}


class Living:
    """The init of a container: its pid, and the pidfd by which it is joined."""

    def __init__(self, container: Container, *, paused_too: bool) -> None:
        """Raises Error for a container that no process can join now."""
        self.pid: int = container.state.get("init_process_pid", 0)
        # First: whatever is read by its pid from here on is the init's, if this one lives then.
        self.pidfd = init.open_init(container)
        status = init.status(container)
        self.paused = status == init.PAUSED
        if self.pidfd < 0 or status == init.STOPPED:
            raise Error("cannot exec in a stopped container")
        if status == init.CREATING:
            raise Error("cannot exec in a container that is being created")
        if self.paused and not paused_too:
            raise Error("cannot exec in a paused container (use --ignore-paused to override)")
        try:
            self.namespaces = self._namespaces()
            self.denies_setgroups = self._setgroups() == "deny"
        except OSError as error:
            self.check()
            hint = "it takes CAP_SYS_PTRACE to look at a container of another user"
            hint = hint if error.errno in (errno.EACCES, errno.EPERM) else ""
            raise from_os(error, f"read {error.filename}", hint=hint) from None
        self.check()

    def check(self) -> None:
        """Raise Error if the init has ended: then its pid may be somebody else's."""
        if init.wait_end(self.pidfd, 0):
            raise Error("cannot exec in a stopped container")

    def _namespaces(self) -> list[Config]:
        """As in linux.namespaces, joined ones: those in which it is and we are not."""
        found = []
        for kind, file in FILES.items():
            path = f"/proc/{self.pid}/ns/{file}"
            try:
                ours = os.readlink(f"/proc/self/ns/{file}")
            except FileNotFoundError:
                continue  # a kernel without this type
            if os.readlink(path) != ours:
                found.append({"type": kind, "path": path})
        return found

    def _setgroups(self) -> str:
        """user_namespaces(7): "allow" or "deny"."""
        return init.read_text(f"/proc/{self.pid}/setgroups").strip()
