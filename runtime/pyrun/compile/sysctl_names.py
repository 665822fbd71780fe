# SPDX-License-Identifier: Apache-2.0
"""Which kernel parameter a sysctl key names, and which namespace keeps it from the host (R14)."""

from __future__ import annotations

from pyrun.compile.sysctl import path_of

IPC = (
    "auto_msgmni", "msg_next_id", "msgmax", "msgmnb", "msgmni", "sem", "sem_next_id", "shm_next_id",
    "shm_rmid_forced", "shmall", "shmmax", "shmmni",
)  # fmt: skip


def segments(key: str) -> tuple[str, ...] | None:
    """The names on the way from /proc/sys to the file that is written; None for a malformed key.

    An empty name, `.` or `..` could lead out of the allowed directories: with either separator it
    makes the key malformed.
    """
    if not all(key.replace("/", ".").split(".")):
        return None
    return tuple(path_of(key).split("/"))


def namespace(names: tuple[str, ...]) -> str | None:
    """The type of namespace that a parameter belongs to; None when it is the whole host's."""
    if len(names) < 2:
        return None
    if names[0] == "net":
        return "network"
    if names[0] == "user":
        return "user"
    if names[:2] == ("fs", "mqueue") and len(names) > 2:
        return "ipc"
    if names[0] == "kernel" and len(names) == 2:
        if names[1] in IPC:
            return "ipc"
        if names[1] == "domainname":
            return "uts"
    return None
