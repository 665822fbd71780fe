# SPDX-License-Identifier: Apache-2.0
"""Records of cgroups that are trees of plain files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import devicefilter, driver
from unit.cgroup.trees import V1_FILES, V2_FILES, fill


@pytest.fixture
def v1(tmp_path: Path) -> dict[str, Any]:
    """The record of a v1 cgroup whose directories are there, empty."""
    mounts = {}
    for controller, names in V1_FILES.items():
        fill(tmp_path / controller / "box", names)
        mounts[controller] = [str(tmp_path / controller), "/"]
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3\n")
    (tmp_path / "cpuset/cpuset.mems").write_text("0\n")
    facts = {"layout": "v1", "mounts": mounts, "own": {}}
    return driver.plan({"linux": {"cgroupsPath": "/box"}}, "box", facts)


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The record of a v2 cgroup /a/box that is there, empty, with no controllers enabled yet."""
    for path in (tmp_path, tmp_path / "a", tmp_path / "a/box"):
        fill(path, V2_FILES)
        (path / "cgroup.controllers").write_text("")
        (path / "cgroup.type").write_text("domain\n")
        (path / "cgroup.freeze").write_text("0\n")
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    (tmp_path / "a/box/cgroup.controllers").write_text("pids\n")
    monkeypatch.setattr(devicefilter, "attach", lambda _path, _program: None)
    facts = {"layout": "v2", "mounts": {"": [str(tmp_path), "/"]}, "own": {}}
    return driver.plan({"linux": {"cgroupsPath": "/a/box"}}, "box", facts)
