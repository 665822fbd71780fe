# SPDX-License-Identifier: Apache-2.0
"""The names and places of units, one row a rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrun.cgroup.plan import plan
from pyrun.cgroup.units import expand, names
from pyrun.errors import Error

V2 = {"layout": "v2", "mounts": {"": ["/cg", "/"]}, "own": {"": "/system.slice/engine.service"}}
USER = "/user.slice/user-7.slice/user@7.service"


def planned(asked: str, facts: dict[str, Any] = V2, user: bool = False) -> dict[str, Any]:
    facts = {**facts, "user_manager": user}
    return plan({"linux": {"cgroupsPath": asked}}, "box", facts, "systemd")


@pytest.mark.parametrize(
    ("asked", "parent", "unit"),
    [
        ("", "system.slice", "pyrun-box.scope"),
        ("machine.slice:libpod:c1", "machine.slice", "libpod-c1.scope"),
        ("kubelet-pods.slice:cri-containerd:c1", "kubelet-pods.slice", "cri-containerd-c1.scope"),
        (":docker:c1", "system.slice", "docker-c1.scope"),
        ("system.slice::c1", "system.slice", "c1.scope"),
        ("-.slice:pyrun:c1", "-.slice", "pyrun-c1.scope"),
        ("a.slice:ignored:a-b.slice", "a.slice", "a-b.slice"),
    ],
)
def test_names(asked: str, parent: str, unit: str) -> None:
    assert names(asked, "box", user=False) == (parent, unit)


def test_a_user_has_a_slice_of_his_own() -> None:
    assert names("", "box", user=True) == ("user.slice", "pyrun-box.scope")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("-.slice", ""),
        ("system.slice", "/system.slice"),
        ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
    ],
)
def test_expand(name: str, place: str) -> None:
    assert expand(name) == place


@pytest.mark.parametrize("asked", ["/a/b", "a", "a.slice:b", "a.slice:b:c:d", "a.slice:b:"])
def test_another_form_is_refused(asked: str) -> None:
    with pytest.raises(Error, match='format "slice:prefix:name" for systemd cgroups') as caught:
        planned(asked)
    assert caught.value.pointer == "/linux/cgroupsPath"


@pytest.mark.parametrize(
    "asked",
    [
        "system:p:n",
        ".slice:p:n",
        "a--b.slice:p:n",
        "-a.slice:p:n",
        "a/b.slice:p:n",
        "a.slice:p:n/../m",
        "a.slice:p:n m",
        "a.slice:p:-.slice",
        f"a.slice:p:{'n' * 250}",
        f"{'a' * 250}.slice:p:n",
    ],
)
def test_a_name_that_is_none(asked: str) -> None:
    with pytest.raises(Error) as caught:
        planned(asked)
    assert caught.value.pointer == "/linux/cgroupsPath"


@pytest.mark.parametrize(
    ("mount_root", "own", "path"),
    [
        ("/", f"{USER}/app.slice/run.service", f"/cg{USER}/a.slice/p-n.scope"),
        (USER, f"{USER}/app.slice", "/cg/a.slice/p-n.scope"),
    ],
)
def test_below_the_users_manager(mount_root: str, own: str, path: str) -> None:
    facts = {"layout": "v2", "mounts": {"": ["/cg", mount_root]}, "own": {"": own}}
    assert planned("a.slice:p:n", facts, user=True)["paths"] == {"": path}


def test_elsewhere_the_users_manager_is_where_systemd_has_it() -> None:
    path = planned("a.slice:p:n", user=True)["paths"][""]
    assert path.startswith("/cg/user.slice/user-")
    assert path.endswith(".service/a.slice/p-n.scope")


def test_the_record() -> None:
    record = planned("a-b.slice:p:n")
    assert record["paths"] == {"": "/cg/a.slice/a-b.slice/p-n.scope"}
    assert (record["unit"], record["slice"]) == ("p-n.scope", "a-b.slice")
    assert json.loads(json.dumps(record)) == record


def test_the_same_place_in_every_hierarchy() -> None:
    mounts = {"name=systemd": ["/cg/systemd", "/"], "memory": ["/cg/memory", "/"], "": ["/u", "/"]}
    record = planned("a.slice:p:n", {"layout": "hybrid", "mounts": mounts, "own": {}})
    assert record["paths"] == {
        "name=systemd": "/cg/systemd/a.slice/p-n.scope",
        "memory": "/cg/memory/a.slice/p-n.scope",
        "": "/u/a.slice/p-n.scope",
    }
    assert record["mount"] == ""


def test_on_v1_the_users_manager_is_found_where_systemd_has_its_units() -> None:
    mounts = {"memory": ["/cg/memory", "/"], "name=systemd": ["/cg/systemd", "/"]}
    own = {"memory": "/user.slice", "name=systemd": f"{USER}/app.slice/run.service"}
    record = planned("a.slice:p:n", {"layout": "v1", "mounts": mounts, "own": own}, user=True)
    assert record["paths"]["memory"] == f"/cg/memory{USER}/a.slice/p-n.scope"


@pytest.mark.parametrize(
    ("layout", "mounts"), [("v1", {"memory": ["/cg/memory", "/"]}), ("none", {})]
)
def test_without_a_hierarchy_of_systemd(layout: str, mounts: dict[str, Any]) -> None:
    with pytest.raises(Error, match="finds no cgroups of systemd"):
        planned("", {"layout": layout, "mounts": mounts, "own": {}})


def test_beside_v2_systemd_has_no_units() -> None:
    """The container has the same place there even so."""
    mounts = {"": ["/cg", "/"], "name=systemd": ["/cg/systemd", "/"]}
    own = {"": f"{USER}/app.slice/run.service", "name=systemd": "/"}
    record = planned("a.slice:p:n", {"layout": "v2", "mounts": mounts, "own": own}, user=True)
    assert record["paths"] == {
        "": f"/cg{USER}/a.slice/p-n.scope",
        "name=systemd": f"/cg/systemd{USER}/a.slice/p-n.scope",
    }
