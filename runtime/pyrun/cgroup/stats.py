# SPDX-License-Identifier: Apache-2.0
"""What a container uses, read from its cgroup in the shape that `runc events` has for v1 and v2
alike: bytes, nanoseconds and counts; a number that is 0 is left out where runc does so.

The parsers, in stats_v1 and stats_v2, see nothing but texts of control files.
"""

from __future__ import annotations

import errno
import os

from pyrun.cgroup import cgroupfs, stats_v1, stats_v2
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ControlFiles:
    """The control files of one container's cgroup, in each of its hierarchies."""

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths

    def text(self, controller: str, name: str) -> str:
        """A file's text; "" where this kernel, hierarchy or cgroup has none. Raises OSError."""
        path = self._paths.get(controller)
        if path is None:
            return ""
        try:
            return cgroupfs.read(f"{path}/{name}")
        except OSError as error:
            # EOPNOTSUPP: pressure, on a kernel that was booted with psi=0.
            if error.errno in (*cgroupfs.GONE, errno.EOPNOTSUPP):
                return ""
            raise

    def names(self, controller: str) -> list[str]:
        """The files of this controller's hierarchy, in order. Raises OSError."""
        path = self._paths.get(controller)
        try:
            return sorted(os.listdir(path)) if path else []
        except FileNotFoundError:
            return []


def read(record: dict[str, Any]) -> dict[str, Any]:
    """The member `data` of one of runc's events of type stats. Raises Error, also where there is
    no cgroup."""
    require(record)
    files = ControlFiles(record["paths"])
    try:
        found = stats_v2.data(files) if record["layout"] == "v2" else stats_v1.data(files)
    except OSError as error:
        raise from_os(error, "read the statistics of the container's cgroup") from None
    # It may have gone while we read, and what is missing reads as 0.
    for path in set(record["paths"].values()):
        if not cgroupfs.exists(path):
            raise Error(f"the container's cgroup is gone: {path}")
    return found


def require(record: dict[str, Any]) -> None:
    """Raise Error for a container without a cgroup."""
    if not record["paths"]:
        raise Error(
            "the container has no cgroup, and so no statistics",
            hint="cgroups were disabled, or a caller without privileges had none delegated to it",
        )
