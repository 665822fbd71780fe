# SPDX-License-Identifier: Apache-2.0
"""Where the containers of the tests of the systemd cgroup driver are, and what systemd says of
them: units life-ID.scope in SLICE, on each layout of cgroups. The fixture in_our_slice puts them
there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from life import leftovers
from life.runtimes import Container

BY_SYSTEMD = ["--systemd-cgroup"]
SLICE = "pyrunlife.slice"
TOP = Path("/sys/fs/cgroup")
HOME = TOP if (TOP / "cgroup.procs").exists() else TOP / "systemd"  # where systemd has its units


def systemctl(*words: str) -> str:
    """What it prints."""
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=90)
    return done.stdout


def units() -> str:
    """Those of these tests that systemd knows of, slices apart."""
    return systemctl("list-units", "--all", "--plain", "--no-legend", "life-*", "outer-*")


def unit(container: Container) -> str:
    """Its unit."""
    return f"life-{container.id}.scope"


def shown(container: Container, *names: str) -> dict[str, str]:
    """Properties of its unit."""
    text = systemctl("show", unit(container), f"--property={','.join(names)}")
    return dict(line.split("=", 1) for line in text.splitlines())


def folder(container: Container, hierarchy: Path = HOME) -> Path:
    """Its cgroup in a hierarchy."""
    return hierarchy / SLICE / unit(container)


def home_of(pid: int | str) -> str:
    """The cgroup of a process, where systemd has it."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    name = "" if HOME == TOP else "name=systemd"  # the numbers are the host's
    return next(path for _, of, path in (line.split(":", 2) for line in lines) if of == name)


def inside(container: Container) -> str:
    """The cgroup of its init."""
    return home_of(container.pid)


def left() -> str:
    """Units, and cgroups of them, that are there once all containers are deleted."""
    scopes = [
        name
        for place in leftovers.hierarchies()
        for name, _, _ in os.walk(place / SLICE)
        if name.endswith(".scope")
    ]
    return units() + "\n".join(scopes)
