# SPDX-License-Identifier: Apache-2.0
"""What a template has of the container's cgroup: where it is, and what is written there, as
cgroup/v1.py and v2.py do it."""

from __future__ import annotations

import os

from pyrun.cgroup import cgroupfs, devices, resources
from pyrun.template_shape import UnfitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.prepare import Prepared
    from pyrun.types import Config


def limits(other: Prepared, real: dict[str, str]) -> tuple[list[tuple[str, str]], bytes, bytes]:
    """(the writes, the controllers of a v2 directory, its device filter); of v1 the rules for
    devices are writes, before all others. `real`: where the cgroup is, of which `other` has marks.
    Raises UnfitError, Error, OSError."""
    wanted: Config = (other.config.get("linux") or {}).get("resources") or {}
    rules = devices.policy(wanted.get("devices") or [])
    paths = other.cgroup["paths"]
    if other.cgroup["layout"] == "v2":
        from pyrun.cgroup import bpf, v2

        places = v2.directories(real[""])
        # With fewer than there are it is no example for another.
        if not places.keys() >= v2.directories(other.cgroup["mount"]).keys():
            raise UnfitError("its cgroup has not all controllers")
        writes = writes_of(resources.v2(wanted), dict.fromkeys(places, paths[""]), places)
        controllers = cgroupfs.read(f"{real['']}/cgroup.controllers").encode()
        return writes, controllers, b"" if devices.allows_all(rules) else bpf.program(rules)
    if "devices" not in paths:
        raise UnfitError("no devices controller")
    lines = [(f"{paths['devices']}/{file}", line) for _, file, line in devices.lines(rules)]
    return lines + writes_of(resources.v1(wanted), paths, real), b"", b""


def writes_of(
    found: list[resources.Write], paths: dict[str, str], real: dict[str, str]
) -> list[tuple[str, str]]:
    """(file, value) for each limit; where the files of each controller are by their marks, and
    where they are now."""
    writes = []
    for _, controller, choices, optional in found:
        place = real.get(controller, "")
        there = [choice for choice in choices if place and os.path.exists(f"{place}/{choice[0]}")]
        # What comes before the first could be there the next time: bfq's files come with a module.
        if there and there[0] != choices[0]:
            raise UnfitError(f"no {choices[0][0]}")
        if there and there[0][0] == "cgroup.type":
            raise UnfitError("what the cgroup above is may be another the next time")
        if there:
            writes.append((f"{paths[controller]}/{there[0][0]}", there[0][1]))
        elif not optional:
            raise UnfitError(f"no {controller} controller")
    return writes
