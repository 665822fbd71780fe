# SPDX-License-Identifier: Apache-2.0
"""Waiting for the kernel to run out of a container's memory: an eventfd on memory.oom_control
(cgroup-v1/memory.rst, 10) or memory.events, which poll(2) tells of (cgroup-v2.rst)."""

from __future__ import annotations

import os
import select

from pyrun.cgroup import cgroupfs
from pyrun.cgroup.stats_text import table
from pyrun.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Watch:
    """From now on. `fd` and `mask` are for poll(2); then ask how often it happened()."""

    def __init__(self, record: dict[str, Any]) -> None:
        """Of a container with the memory controller: see watch()."""
        self._legacy = record["paths"].get("memory")
        if self._legacy:
            self.mask = select.POLLIN
            self.fd = _eventfd(self._legacy)
            return
        self.mask = select.POLLPRI
        self.fd = os.open(f"{record['paths']['']}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        self._seen = 0
        self.happened()

    def happened(self) -> int:
        """How many times since the last call: on v1 moments without memory, on v2 processes that
        were killed. Never waits."""
        if self._legacy:
            try:
                times = os.eventfd_read(self.fd)
            except BlockingIOError:
                return 0
            # The end of the cgroup is told by the same means.
            return times if cgroupfs.exists(f"{self._legacy}/cgroup.event_control") else 0
        try:
            text = os.pread(self.fd, 4096, 0).decode()
        except OSError as error:
            if error.errno in cgroupfs.GONE:
                return 0
            raise
        before, self._seen = self._seen, table(text).get("oom_kill", 0)
        return self._seen - before


def watch(record: dict[str, Any]) -> Watch | None:
    """None where nothing counts the container's memory. Raises Error."""
    try:
        return Watch(record) if _counted(record["paths"]) else None
    except OSError as error:
        raise from_os(error, "watch the memory of the container's cgroup") from None


def _counted(paths: dict[str, str]) -> bool:
    return "memory" in paths or cgroupfs.exists(f"{paths.get('')}/memory.events")


def _eventfd(path: str) -> int:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = os.open(f"{path}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            cgroupfs.write(f"{path}/cgroup.event_control", f"{fd} {control}")
        finally:
            os.close(control)  # the kernel has its own reference
    except OSError:
        os.close(fd)
        raise
    return fd
