# SPDX-License-Identifier: Apache-2.0
"""Changing limits: what is completed from the kernel, the way back, and device policies."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import cgroupfs, devices, driver, resources, update
from pyrun.errors import Error

M = 1 << 20


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """The files of a v2 cgroup."""
    for name, text in {
        "cgroup.controllers": "cpu memory pids",
        "cpu.max": "30000 60000",
        "memory.max": str(64 * M),
        "memory.swap.max": "0",
        "memory.current": "4096",
        "pids.max": "30",
    }.items():
        (tmp_path / name).write_text(f"{text}\n")
    return tmp_path


def record(path: Path) -> dict[str, Any]:
    return {"manager": "cgroupfs", "layout": "v2", "paths": {"": str(path)}, "rootless": False}


@pytest.mark.parametrize(
    ("wanted", "completed"),
    [
        ({"cpu": {"quota": 5000}}, {"cpu": {"quota": 5000, "period": 60000}}),
        ({"cpu": {"period": 5000}}, {"cpu": {"quota": 30000, "period": 5000}}),
        ({"cpu": {"quota": -1, "period": 7}}, {"cpu": {"quota": -1, "period": 7}}),
        ({"cpu": {"shares": 5}}, {"cpu": {"shares": 5}}),
        ({"memory": {"swap": 9}}, {"memory": {"swap": 9, "limit": 64 * M}}),
        ({"memory": {"limit": 9}}, {"memory": {"limit": 9}}),
        ({}, {}),
    ],
)
def test_completed_on_v2(v2: Path, wanted: dict[str, Any], completed: dict[str, Any]) -> None:
    found = update.complete(wanted, dict.fromkeys(("cpu", "memory"), str(v2)), unified=True)
    assert found == completed


CPU, MEMORY = "/linux/resources/cpu", "/linux/resources/memory"


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        ({"cpu": {"period": 5000}}, [f"{CPU}/period"]),
        ({"cpu": {"quota": 5000}}, [f"{CPU}/quota"]),
        ({"cpu": {"quota": 5000, "period": 7000}}, [f"{CPU}/quota"]),
        ({"memory": {"swap": 80 * M}}, [f"{MEMORY}/swap"]),
        ({"memory": {"limit": -1}}, [f"{MEMORY}/limit", f"{MEMORY}/limit"]),
        ({"memory": {"limit": M, "swap": M}}, [f"{MEMORY}/swap", f"{MEMORY}/limit"]),
    ],
)
def test_what_was_asked_for_is_written(v2: Path, wanted: dict[str, Any], fields: list[str]) -> None:
    """And a failure names it, not what it was completed with."""
    completed = update.complete(wanted, dict.fromkeys(("cpu", "memory"), str(v2)), unified=True)
    found = update.those_of(wanted, resources.v2(completed))
    assert [write[0] for write in found] == fields


@pytest.mark.parametrize("shown", ["max", "9223372036854771712"])
def test_no_limit_is_completed_as_such(tmp_path: Path, shown: str) -> None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        (tmp_path / name).write_text(f"{shown}\n")
    for unified in (True, False):
        if shown != "max" or unified:
            found = update.complete({"memory": {"swap": 9}}, {"memory": str(tmp_path)}, unified)
            assert found["memory"] == {"swap": 9, "limit": -1}


def test_on_v1_quota_and_period_are_apart() -> None:
    assert update.complete({"cpu": {"quota": 5}}, {"cpu": "/nowhere"}, unified=False) == {
        "cpu": {"quota": 5}
    }


def test_what_was_set_is_set_back(v2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cgroupfs.write

    def write(path: str, *values: str) -> None:
        if path.endswith("pids.max") and values == ("7",):
            raise OSError(errno.EIO, "x", path)
        (v2 / path.rpartition("/")[2]).write_text("")  # as the kernel's files: no rest stays
        real(path, *values)

    monkeypatch.setattr(cgroupfs, "write", write)
    wanted = {"cpu": {"quota": 5000}, "memory": {"limit": M, "swap": 3 * M}, "pids": {"limit": 7}}
    with pytest.raises(Error, match=r"pids\.max: input/output error") as caught:
        driver.update(record(v2), wanted)
    assert caught.value.pointer == "/linux/resources/pids/limit"
    texts = {name: (v2 / name).read_text() for name in ("cpu.max", "memory.max", "memory.swap.max")}
    assert texts == {"cpu.max": "30000 60000", "memory.max": str(64 * M), "memory.swap.max": "0"}
    wanted["pids"]["limit"] = 8
    driver.update(record(v2), wanted)
    assert (v2 / "memory.swap.max").read_text() == str(2 * M)
    assert (v2 / "pids.max").read_text() == "8"


def test_a_way_back_that_fails_is_told(v2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(path: str, *values: str) -> None:
        if values not in (("5000 60000",), ("max",)):
            raise OSError(errno.EIO, "x", path)

    monkeypatch.setattr(cgroupfs, "write", write)
    with pytest.raises(Error, match=r"write 7 to .*: input/output error") as caught:
        driver.update(record(v2), {"cpu": {"quota": 5000}, "pids": {"limit": 7}})
    assert caught.value.hint.startswith("then, to undo the rest: write 30000 60000 to ")


def test_a_missing_controller(v2: Path) -> None:
    with pytest.raises(Error, match="the cpuset controller is not available"):
        driver.update(record(v2), {"cpu": {"cpus": "0"}})


NULL, GPU = ("c", 1, 3), ("c", 195, devices.ANY)
RW = devices.READ | devices.WRITE


def test_policy_of_a_list() -> None:
    text = "c *:* m\nb *:* m\nc 1:3 rwm\nc 195:* rw\n"
    default, exceptions = devices.parse(text)
    assert not default
    assert exceptions[NULL] == (devices.ALL, "")
    assert exceptions[GPU] == (RW, "")
    assert devices.parse("a *:* rwm\n") == (True, {})


@pytest.mark.parametrize("first", [[], [{"allow": True, "access": "rwm", "type": "c", "major": 4}]])
def test_a_list_is_what_was_written(first: list[dict[str, Any]]) -> None:
    wanted = devices.policy(first)
    written = [line for _, file, line in devices.lines(wanted) if file == "devices.allow"]
    assert devices.changes(devices.parse("\n".join(written)), wanted) == []


def test_changes_allow_before_they_deny() -> None:
    before: devices.Policy = (False, {NULL: (RW, ""), GPU: (RW, "")})
    after: devices.Policy = (False, {NULL: (devices.ALL, "/x"), ("b", 8, 0): (devices.READ, "/y")})
    assert devices.changes(before, after) == [
        ("/x", "devices.allow", "c 1:3 m"),
        ("/y", "devices.allow", "b 8:0 r"),
        ("", "devices.deny", "c 195:* rw"),
    ]
    after[1][GPU] = (devices.READ, "")
    assert devices.changes(before, after)[-1] == ("", "devices.deny", "c 195:* w")


def test_another_default_is_written_whole() -> None:
    everything: devices.Policy = (True, {})
    few: devices.Policy = (False, {NULL: (RW, "/x")})
    assert devices.changes(few, everything) == [(devices.BASE, "devices.allow", "a")]
    assert devices.changes(everything, few) == devices.lines(few)
