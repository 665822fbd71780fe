# SPDX-License-Identifier: Apache-2.0
"""What the cgroup mount is told of the host's hierarchies."""

from __future__ import annotations

from typing import Any

from pyrun import prepare


def test_a_cgroup_of_ones_own_is_below_the_mount_also_in_a_container() -> None:
    """Without a cgroup namespace, an outer container's mount shows a part of the hierarchy."""
    known = {
        "mounts": {
            "memory": ["/sys/fs/cgroup/memory", "/outer"],
            "pids": ["/sys/fs/cgroup/pids", "/"],
        },
        "own": {"memory": "/outer/a", "pids": "/b"},
    }
    record: dict[str, Any] = {"paths": {}, "rootless": True}
    assert prepare.hierarchies(known, record) == [
        ("memory", ["memory"], "/sys/fs/cgroup/memory/a"),
        ("pids", ["pids"], "/sys/fs/cgroup/pids/b"),
    ]
