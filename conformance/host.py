# SPDX-License-Identifier: Apache-2.0
"""What this machine can do, as far as checks depend on it: each ability by a word, with the reason
where it is lacking."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from conformance import leftovers


def _exists(path: str, otherwise: str) -> str:
    return "" if Path(path).exists() else otherwise


def _userns() -> str:
    done = subprocess.run(["unshare", "--user", "true"], capture_output=True, text=True)
    return "" if done.returncode == 0 else "no user namespaces here"


def _apparmor() -> str:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    on = enabled.exists() and enabled.read_text().startswith("Y")
    return "" if on else "the host has no AppArmor"


def _resctrl() -> str:
    mounted = " - resctrl " in Path("/proc/self/mountinfo").read_text()
    return "" if mounted else "the host has no resctrl mounted"


def _no_resctrl() -> str:
    return "" if _resctrl() else "the host has resctrl mounted"


ABILITIES: dict[str, Callable[[], str]] = {
    "root": lambda: "" if os.geteuid() == 0 else "it needs root",
    "userns": _userns,
    "timens": lambda: _exists("/proc/self/ns/time", "the kernel has no time namespaces"),
    "seccomp": lambda: _exists("/proc/sys/kernel/seccomp", "the kernel has no seccomp"),
    "numa": lambda: _exists("/sys/devices/system/node/node0", "the kernel has no NUMA"),
    "apparmor": _apparmor,
    "selinux": lambda: _exists("/sys/fs/selinux/enforce", "the host has no SELinux"),
    "resctrl": _resctrl,
    "no-resctrl": _no_resctrl,
    "ip": lambda: "" if shutil.which("ip") else "ip(8) is not installed",
    "v2": lambda: "" if unified_controllers() else "no controller is in a cgroup v2 tree here",
    "v1": lambda: "" if set(leftovers.hierarchies()) - {""} else "the host has no cgroup v1",
    "no-v1": lambda: "" if pure_v2() else "the host has cgroup v1 hierarchies",
}


@functools.cache
def lacks(ability: str) -> str:
    """Why the host can't, "" where it can. `controller:NAME` asks for one of cgroup v1 or v2."""
    kind, _, name = ability.partition(":")
    if kind == "controller":
        found = name in leftovers.hierarchies() or name in unified_controllers()
        return "" if found else f"the host has no cgroup controller {name}"
    return ABILITIES[ability]()


def unified_controllers() -> list[str]:
    """The controllers of the cgroup v2 tree, [] without one."""
    place = leftovers.hierarchies().get("")
    return (place / "cgroup.controllers").read_text().split() if place else []


def pure_v2() -> bool:
    """Whether /sys/fs/cgroup is v2 and nothing is v1."""
    found = leftovers.hierarchies()
    return found.get("") == Path("/sys/fs/cgroup")


def cgroup(pid: int, controller: str) -> tuple[str, Path]:
    """The cgroup of a process for a controller: "v1" or "v2", and its folder. Raises LookupError
    where the host has no such controller."""
    mounted = leftovers.hierarchies()
    version = "v1" if controller in mounted else "v2"
    if version == "v2" and controller and controller not in unified_controllers():
        raise LookupError(f"the host has no cgroup controller {controller}")
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if version == "v1" and controller in names.split(","):
            return version, mounted[controller] / path.lstrip("/")
        if version == "v2" and not names:
            return version, mounted[""] / path.lstrip("/")
    raise LookupError(f"process {pid} is in no cgroup for {controller}")
