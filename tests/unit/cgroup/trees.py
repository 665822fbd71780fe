# SPDX-License-Identifier: Apache-2.0
"""Cgroups as trees of plain files, which record what is written to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

V1_FILES = {
    "memory": ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"],
    "pids": ["pids.max"],
    "devices": ["devices.allow", "devices.deny"],
    "cpuset": ["cpuset.cpus", "cpuset.mems"],
}
V2_FILES = ["cgroup.subtree_control", "memory.max", "memory.swap.max", "pids.max", "cgroup.kill"]
V2_FILES += ["cgroup.events"]


def fill(directory: Path, names: list[str], text: str = "") -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in ["cgroup.procs", *names]:
        (directory / name).write_text(text)


def text(record: dict[str, Any], controller: str, name: str) -> str:
    return (Path(record["paths"][controller]) / name).read_text()
