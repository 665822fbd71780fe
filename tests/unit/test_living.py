# SPDX-License-Identifier: Apache-2.0
"""What exec finds out about a container that runs."""

from __future__ import annotations

import os

import pytest

from pyrun.living import Living


def test_a_kernel_without_a_type_of_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Built without CONFIG_TIME_NS, it has no such file for any process: there is none to join."""

    def readlink(path: str) -> str:
        if path.endswith("/time"):
            raise FileNotFoundError(2, "No such file or directory", path)
        whose = "init" if path.startswith("/proc/5/") and path.endswith("/mnt") else "all"
        return f"{path.rpartition('/')[2]}:[{whose}]"

    living = object.__new__(Living)
    living.pid = 5
    monkeypatch.setattr(os, "readlink", readlink)
    assert living._namespaces() == [{"type": "mount", "path": "/proc/5/ns/mnt"}]
