# SPDX-License-Identifier: Apache-2.0
"""What a container's cgroup is planned from: the hierarchies, and who the caller is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize(
    ("word", "privileged", "nested", "may"),
    [
        ("auto", True, False, False),
        ("auto", False, False, True),
        ("auto", True, True, True),  # root of a user namespace: rootless podman's runtime
        ("false", True, True, False),
        ("true", True, False, True),
    ],
)
def test_who_may_go_without_a_cgroup(
    word: str, privileged: bool, nested: bool, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyrun.state.in_user_namespace", lambda: nested)
    facts: Any = {"privileged": privileged}
    assert prepare.may_lack_cgroups({"rootless": word}, facts) is may


@pytest.mark.parametrize("manager", ["cgroupfs", "disabled"])
@pytest.mark.parametrize("asked", [True, False])
def test_a_v1_hierarchy_beside_v2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: bool, manager: str
) -> None:
    """Only for who asks for it; without a cgroup of its own the container is in the runtime's."""
    (tmp_path / "cgroup.clone_children").touch()
    known = {
        "layout": "v2",
        "mounts": {"": ["/cg", "/"]},
        "own": {},
        "beside": [str(tmp_path), "/"],
    }
    monkeypatch.setattr(prepare, "cgroup_facts", lambda: known)
    config: Any = {"mounts": [{"destination": "/cg", "type": "cgroup"}]}
    if asked:
        config["annotations"] = {"run.oci.systemd.force_cgroup_v1": "/cg"}
    facts: Any = {"privileged": True}
    opts: Any = {"id": "box", "cgroup_manager": manager}
    record = prepare.plan_cgroup(config, opts, facts)
    place = f"{tmp_path}/box" if manager == "cgroupfs" else str(tmp_path)
    entry = (tmp_path.name, ["none", "name=systemd"], place)
    assert facts["cgroup_hierarchies"] == ([entry] if asked else [])
    assert ("name=systemd" in record["paths"]) is (asked and manager == "cgroupfs")
