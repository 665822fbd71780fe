# SPDX-License-Identifier: Apache-2.0
"""Mounts as the kernel lists them (proc_pid_mountinfo(5)), and what tells whether two show the same
thing: the device of the file system and the place in it. Names in a rootfs play no part in that."""

from __future__ import annotations

import os
from typing import NamedTuple

from pyrun.cgroup.facts import unescape
from pyrun.errors import from_os


class Mount(NamedTuple):
    """One line."""

    number: int
    parent: int
    device: str  # "major:minor" of the file system
    root: str  # the place in it
    point: str  # where it is mounted, as its namespace sees it
    options: tuple[str, ...]
    kind: str  # of the file system
    data: tuple[str, ...]  # its options

    @property
    def identity(self) -> tuple[str, str]:
        """What it shows."""
        return self.device, self.root


def parse(text: str) -> list[Mount]:
    """The lines of a mountinfo."""
    found = []
    for line in filter(None, text.split("\n")):  # splitlines() knows more ends than the kernel
        head, _, tail = line.partition(" - ")
        number, parent, device, root, point, options, *_ = head.split(" ")
        kind, _, data = (tail.split(" ") + ["", ""])[:3]
        found.append(
            Mount(
                int(number),
                int(parent),
                device,
                unescape(root),
                unescape(point),
                tuple(options.split(",")),
                kind,
                tuple(data.split(",")),
            )
        )
    return found


def of(pid: int | str) -> list[Mount]:
    """The mounts that a process sees ("self": ours). Raises Error."""
    path = f"/proc/{pid}/mountinfo"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return parse(file.read())
    except OSError as error:
        raise from_os(error, f"read {path}") from None


def identity(path: str, ours: list[Mount]) -> tuple[str, str] | None:
    """What a path of the host shows when it is bound; None if it is not there."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            words = file.read().split()
        real = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    number = int(words[words.index("mnt_id:") + 1])
    for mount in ours:
        if mount.number == number:
            return mount.device, join(mount.root, below(real, mount.point) or "")
    return None


def below(path: str, top: str) -> str | None:
    """`path` relative to `top`: "" for itself, None if it is elsewhere."""
    top = top.rstrip("/")
    if path == top or (not top and path == "/"):
        return ""
    return path[len(top) + 1 :] if path.startswith(f"{top}/") else None


def join(top: str, name: str) -> str:
    """The place `name` below `top`."""
    return f"{top.rstrip('/')}/{name}".rstrip("/") or "/"
