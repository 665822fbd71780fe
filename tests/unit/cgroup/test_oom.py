# SPDX-License-Identifier: Apache-2.0
"""Counting what the kernel killed: the part that needs no kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyrun.cgroup import oom
from pyrun.errors import Error


def test_v2_counts_from_now_on(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n")
    watch = oom.watch({"layout": "v2", "paths": {"": str(tmp_path)}})
    assert watch is not None
    assert watch.happened() == 0
    events.write_text("low 0\nmax 30\noom 4\noom_kill 5\noom_group_kill 0\n")
    assert (watch.happened(), watch.happened()) == (3, 0)
    os.close(watch.fd)


def test_nobody_counts(tmp_path: Path) -> None:
    """A caller without privileges may have no memory controller."""
    assert oom.watch({"layout": "v2", "paths": {"": str(tmp_path)}}) is None
    assert oom.watch({"layout": "v1", "paths": {"pids": str(tmp_path)}}) is None


def test_gone_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(Error, match="watch the memory of the container's cgroup: no such file"):
        oom.watch({"layout": "v1", "paths": {"memory": str(tmp_path)}})
