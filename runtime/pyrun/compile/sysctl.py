# SPDX-License-Identifier: Apache-2.0
"""linux.sysctl. Which names a container may set is for checks.py to say."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile.slots import CONTEXT, PROC

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps


def path_of(key: str) -> str:
    """The file below /proc/sys. As sysctl(8): whichever of "." and "/" comes first separates, and
    the other one stands for it inside a name (net.ipv4.conf.eth0/1.forwarding)."""
    slash, dot = key.find("/"), key.find(".")
    if slash >= 0 and (dot < 0 or slash < dot):
        return key
    return "/".join(part.replace("/", ".") for part in key.split("."))


def write(config: Config, facts: Facts) -> Steps:
    """Through a procfs of our own: what is mounted at /proc is the container's (CVE-2025-52881)."""
    settings = (config.get("linux") or {}).get("sysctl") or {}
    if not settings:
        return
    pointer = "/linux/sysctl"
    yield pointer, ops.fsopen("proc", CONTEXT)
    yield pointer, ops.fsmount(CONTEXT, 0, PROC)
    for key, value in settings.items():
        where = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        yield where, ops.write_proc(PROC, f"sys/{path_of(key)}", value)
    yield pointer, ops.close_slot(PROC)
