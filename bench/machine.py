# SPDX-License-Identifier: Apache-2.0
"""The facts without which a figure says nothing: where and on what it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def facts() -> dict[str, str]:
    """Kernel, processor, memory, cgroup layout, load and the system's name, in words."""
    return {
        "kernel": f"{os.uname().sysname} {os.uname().release}",
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores",
        "memory": _field("/proc/meminfo", "MemTotal"),
        "system": _field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "cgroups": _cgroups(),
        "python": platform.python_version(),
        "source": _commit(),
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def _commit() -> str:
    """Of this tree, "-dirty" where it is changed; "unknown" without git."""
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _field(path: str, name: str, separator: str = ":") -> str:
    try:
        text = Path(path).read_text()
    except OSError:
        return "unknown"
    for line in text.splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _cgroups() -> str:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return "v2"
    hierarchies = len(list(root.iterdir())) if root.exists() else 0
    return f"{'hybrid' if (root / 'unified').exists() else 'v1'}, {hierarchies} hierarchies"
