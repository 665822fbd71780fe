# SPDX-License-Identifier: Apache-2.0
"""What a caller without permission for cgroups may go without, and what is an error then."""

from __future__ import annotations

from pyrun.cgroup import cgroupfs
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REFUSED = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"


def pointer(record: dict[str, Any]) -> str:
    """The config field that named the cgroup, or "" when its place is our own choice."""
    return "/linux/cgroupsPath" if record["asked"] else ""


def go_without(record: dict[str, Any], error: OSError, limits: list[str]) -> None:
    """Return when failing to make a cgroup with `error` may pass in silence, else raise Error.

    `limits` holds the pointers of the limits that need this cgroup.
    """
    if not ((record["rootless"] or record.get("user")) and _forbidden(error)):
        hint = "--cgroup-manager disabled does without one" if _forbidden(error) else ""
        raise from_os(error, f"make the cgroup: mkdir {error.filename}", pointer(record), hint)
    # A scope is what cgroupsPath asks for, and the user's manager has made that.
    asked = record["asked"] and record["manager"] != "systemd"
    if asked or limits:
        where = pointer(record) if asked else limits[0]
        raise from_os(error, f"{REFUSED}: mkdir {error.filename}", where)


def excuses_devices(record: dict[str, Any], error: OSError) -> bool:
    """Whether device rules may fail with `error`: the caller cannot make device nodes anyway."""
    return _forbidden(error) and (record["rootless"] or in_user_namespace())


def _forbidden(error: OSError) -> bool:
    return error.errno in cgroupfs.FORBIDDEN


def in_user_namespace() -> bool:
    """Whether this process is in a user namespace other than the host's."""
    try:
        return cgroupfs.read("/proc/self/uid_map").split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def refuse_limits(record: dict[str, Any], limits: list[str]) -> None:
    """Raise Error for limits on a container that has no cgroup."""
    if limits:
        text = REFUSED if record["rootless"] else "cannot set limits without cgroups"
        hint = "drop the limit" + (
            ", or --cgroup-manager disabled" if record["manager"] == "disabled" else ""
        )
        raise Error(text, limits[0], hint)
