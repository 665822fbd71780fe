# SPDX-License-Identifier: Apache-2.0
"""The path rules, one row a rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pyrun.cgroup.plan import plan
from pyrun.errors import Error

V1 = {
    "layout": "hybrid",
    "mounts": {"memory": ["/cg/memory", "/"], "pids": ["/cg/pids", "/"], "": ["/cg/uni", "/"]},
    "own": {"memory": "/me/mem", "pids": "/", "": "/me"},
}
V2 = {"layout": "v2", "mounts": {"": ["/cg", "/"]}, "own": {"memory": "/x", "": "/user/session"}}
NONE: dict[str, Any] = {"layout": "none", "mounts": {}, "own": {}}


def paths(facts: dict[str, Any], asked: str | None) -> Any:
    return plan({"linux": {"cgroupsPath": asked}}, "box", facts)["paths"]


@pytest.mark.parametrize(
    ("asked", "memory", "pids", "unified"),
    [
        ("/a/b", "/cg/memory/a/b", "/cg/pids/a/b", "/cg/uni/a/b"),
        ("//a//b/", "/cg/memory/a/b", "/cg/pids/a/b", "/cg/uni/a/b"),
        ("a/b", "/cg/memory/me/mem/a/b", "/cg/pids/a/b", "/cg/uni/me/a/b"),
        ("", "/cg/memory/me/mem/box", "/cg/pids/box", "/cg/uni/me/box"),
        (None, "/cg/memory/me/mem/box", "/cg/pids/box", "/cg/uni/me/box"),
    ],
)
def test_v1(asked: str | None, memory: str, pids: str, unified: str) -> None:
    assert paths(V1, asked) == {"memory": memory, "pids": pids, "": unified}


@pytest.mark.parametrize(
    ("asked", "path"),
    [("/a/b", "/cg/a/b"), ("a", "/cg/user/a"), ("", "/cg/user/box"), (None, "/cg/user/box")],
)
def test_v2_is_beside_the_runtimes_own_cgroup(asked: str | None, path: str) -> None:
    assert paths(V2, asked) == {"": path}


@pytest.mark.parametrize(
    ("asked", "unified", "beside"),
    [
        ("/a/b", "/cg/a/b", "/cg/systemd/a/b"),
        ("a", "/cg/user/a", "/cg/systemd/s/a"),
        (None, "/cg/user/box", "/cg/systemd/s/box"),
    ],
)
def test_a_v1_hierarchy_beside_v2(asked: str | None, unified: str, beside: str) -> None:
    """The record names it after v2; below the runtime's own cgroup, as on v1."""
    mounts = {**V2["mounts"], "name=systemd": ["/cg/systemd", "/"]}
    facts = {**V2, "mounts": mounts, "own": {**V2["own"], "name=systemd": "/s"}}
    record = plan({"linux": {"cgroupsPath": asked}}, "box", facts)
    assert list(record["paths"].items()) == [("", unified), ("name=systemd", beside)]
    without = plan({"linux": {"cgroupsPath": asked}}, "box", V2)
    assert json.dumps(without) == json.dumps({**record, "paths": {"": unified}})


@pytest.mark.parametrize(
    ("own", "path"), [("/", "/cg/box"), ("/one", "/cg/box"), ("/../out", "/cg/box")]
)
def test_v2_never_leaves_the_mount(own: str, path: str) -> None:
    assert paths({**V2, "own": {"": own}}, None) == {"": path}


def test_a_mount_of_a_part_of_the_hierarchy() -> None:
    facts = {"layout": "v1", "mounts": {"pids": ["/cg/pids", "/docker/x"]}}
    assert paths({**facts, "own": {"pids": "/docker/x/y"}}, None) == {"pids": "/cg/pids/y/box"}
    assert paths({**facts, "own": {"pids": "/docker/xy"}}, None) == {"pids": "/cg/pids/box"}


@pytest.mark.parametrize("asked", ["../a", "/a/../../b", "/a/./b", "a/.hidden", "/", "//", "a\nb"])
@pytest.mark.parametrize("facts", [V1, V2, NONE])
def test_a_path_that_could_lead_elsewhere_is_refused(asked: str, facts: dict[str, Any]) -> None:
    with pytest.raises(Error) as caught:
        paths(facts, asked)
    assert caught.value.pointer == "/linux/cgroupsPath"


def test_an_id_with_a_leading_dot_is_a_name() -> None:
    assert plan({}, ".box", V2)["paths"] == {"": "/cg/user/.box"}


def test_the_form_of_systemd_needs_its_driver() -> None:
    with pytest.raises(Error, match=r"slice:prefix:name.*--systemd-cgroup"):
        paths(V1, "system.slice:pyrun:box")


def test_disabled_plans_nothing() -> None:
    record = plan({"linux": {"cgroupsPath": "/a"}}, "box", V2, "disabled")
    assert (record["manager"], record["paths"]) == ("disabled", {})


def test_without_any_hierarchy() -> None:
    assert plan({}, "box", NONE, rootless=True)["manager"] == "none"
    for config, rootless in (({}, False), ({"linux": {"cgroupsPath": "/a"}}, True)):
        with pytest.raises(Error, match="no cgroup hierarchy is mounted"):
            plan(config, "box", NONE, rootless=rootless)


def test_the_record_is_json_and_v2_knows_its_mount() -> None:
    record = plan({}, "box", V2)
    assert json.loads(json.dumps(record)) == record
    assert record["mount"] == "/cg"
