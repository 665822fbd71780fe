# SPDX-License-Identifier: Apache-2.0
"""Where a process that joins a living container goes: its cgroup, or a sub-cgroup of that."""

from __future__ import annotations

import errno
import os

from pyrun.cgroup import cgroupfs, procs
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

FLAG = "--cgroup"


class Entry:
    """The directories to enter, one a hierarchy; none for a container without a cgroup."""

    def __init__(self, record: dict[str, Any], asked: Sequence[str]) -> None:
        """`asked` is as on the command line, [CONTROLLER[,CONTROLLER]:]PATH each. Raises Error."""
        self.record = record
        self.unified = record["layout"] == "v2"
        self.asked = bool(asked)
        below = _parse(asked)
        if self.unified and set(below) - {""}:
            raise Error(f"{FLAG}: cgroup v2 has one hierarchy for all controllers: give PATH alone")
        if asked and not record["paths"]:
            raise Error(f"{FLAG}: the container has no cgroup")
        unknown = set(below) - set(record["paths"]) - {""}
        if unknown:
            raise Error(f"{FLAG}: the container has no cgroup of {' '.join(sorted(unknown))}")
        self.directories = self._places(below)

    def _places(self, below: dict[str, str]) -> list[str]:
        names: dict[str, list[str]] = {}
        for name, path in self.record["paths"].items():
            names.setdefault(path, []).append(name)
        return [self._place(path, names[path], below) for path in names]

    def _place(self, path: str, names: list[str], below: dict[str, str]) -> str:
        """In the hierarchy of these controllers."""
        # v2 beside v1, or name=systemd beside v2: no controllers, and seldom sub-cgroups.
        beside = (names == [""]) != self.unified
        inner = {below[name] for name in names if name in below} or {below.get("", "")}
        if len(inner) > 1:
            raise Error(f"{FLAG}: {' and '.join(names)} share a hierarchy: {' or '.join(inner)}?")
        if self.unified and not beside and self.record.get("subgroup"):
            path = f"{path}/{self.record['subgroup']}"
        asked = inner.pop()
        if not asked:
            return path
        if cgroupfs.exists(f"{path}/{asked}"):
            return f"{path}/{asked}"
        if beside:
            return path
        raise Error(f"{FLAG}: there is no cgroup {path}/{asked}")

    def open(self) -> int:
        """A directory fd for clone3(CLONE_INTO_CGROUP) on v2, which the caller closes; else -1."""
        if not self.unified or not self.directories:
            return -1
        path = self.directories[0]
        try:
            return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os(error, f"open the container's cgroup {path}") from None

    def move(self, pid: int, init_pid: int, born: bool = False) -> None:
        """Put a process there that is elsewhere; `born`: it is where open() says. Raises Error."""
        for path in self.directories[1:] if born else self.directories:
            try:
                procs.move(path, pid)
            except OSError as error:
                self._otherwise(path, pid, init_pid, error)

    def _otherwise(self, path: str, pid: int, init_pid: int, error: OSError) -> None:
        if error.errno == errno.EBUSY and not self.asked:
            # It passes controllers on, and so can't have processes: the init has moved below.
            path = of_init(self.record, init_pid)
            try:
                procs.move(path, pid)
                return
            except OSError as other:
                error = other
        if error.errno in cgroupfs.FORBIDDEN and self.record["manager"] == "systemd":
            # Only for a user who is in another part of the tree than the container.
            from pyrun.cgroup import systemd

            systemd.attach(self.record, path, pid)
            return
        hint = ""
        if error.errno in cgroupfs.FORBIDDEN:
            hint = "the caller may not move a process from its own cgroup to that"
        elif error.errno == errno.EBUSY:
            hint = "it passes controllers on to cgroups below, so no process may be in it"
        raise from_os(error, f"write {pid} to {path}/cgroup.procs", hint=hint) from None


def _parse(asked: Sequence[str]) -> dict[str, str]:
    """{controller, or "" for all others: path below the container's cgroup}. Raises Error."""
    found: dict[str, str] = {}
    for text in asked:
        names, colon, path = text.rpartition(":")
        parts = [part for part in path.split("/") if part]
        # ".." leads out of the container's cgroup (GHSA-5g49-rx9x-qfc6)
        if any(part.startswith(".") or "\n" in part for part in parts):
            raise Error(f'{FLAG} {text}: a part of the path begins with "." or has a line break')
        for name in names.split(",") if colon else [""]:
            if colon and not name:
                raise Error(f"{FLAG} {text}: the name of a controller is missing before :")
            if name in found:
                raise Error(f"{FLAG} {text}: {name or 'all controllers'}: given twice")
            found[name] = "/".join(parts)
    return found


def of_init(record: dict[str, Any], pid: int) -> str:
    """The directory in the v2 tree that the container's init is in, at the container's cgroup or
    below. Raises Error."""
    from pyrun.cgroup.facts import facts, in_each  # only then
    from pyrun.cgroup.plan import below_mount

    try:
        path = in_each(cgroupfs.read(f"/proc/{pid}/cgroup")).get("", "/")
    except OSError as error:
        raise from_os(error, f"read /proc/{pid}/cgroup") from None
    mount, root = facts()["mounts"][""]
    found: str = mount + below_mount(root, path)
    top: str = record["paths"][""]
    if found != top and not found.startswith(f"{top}/"):
        raise Error(f"the container's init is in {found}, which is not below its cgroup {top}")
    return found
