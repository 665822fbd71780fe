# SPDX-License-Identifier: Apache-2.0
"""Where a process goes that joins a container: folders stand for cgroups."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pyrun.cgroup import entry, procs
from pyrun.cgroup.entry import Entry
from pyrun.errors import Error


def legacy(folder: Path, **paths: str) -> dict[str, Any]:
    """A record of v1 hierarchies."""
    found = {name: str(folder / path) for name, path in paths.items()}
    for path in found.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    return {"layout": "v1", "manager": "cgroupfs", "paths": found}


def unified(folder: Path, **more: Any) -> dict[str, Any]:
    (folder / "box/sub/inner").mkdir(parents=True)
    paths = {"": str(folder / "box")}
    return {"layout": "v2", "manager": "cgroupfs", "paths": paths, "mount": str(folder), **more}


def test_every_hierarchy_once(tmp_path: Path) -> None:
    record = legacy(tmp_path, cpu="cpu/box", cpuacct="cpu/box", memory="memory/box")
    assert Entry(record, ()).directories == [f"{tmp_path}/cpu/box", f"{tmp_path}/memory/box"]
    assert Entry(record, ()).open() == -1


def test_below_some_of_them(tmp_path: Path) -> None:
    record = legacy(tmp_path, cpu="cpu/box", cpuacct="cpu/box", memory="memory/box")
    (tmp_path / "cpu/box/sub").mkdir()
    found = Entry(record, ["cpu:/sub/"]).directories
    assert found == [f"{tmp_path}/cpu/box/sub", f"{tmp_path}/memory/box"]
    assert Entry(record, ["cpu,cpuacct:sub"]).directories == found
    with pytest.raises(Error, match="cpu and cpuacct share a hierarchy"):
        Entry(record, ["cpu:sub", "cpuacct:other"])
    with pytest.raises(Error, match=f"there is no cgroup {tmp_path}/memory/box/sub"):
        Entry(record, ["sub"])


def test_a_path_for_all_but_one(tmp_path: Path) -> None:
    record = legacy(tmp_path, pids="pids/box", memory="memory/box")
    (tmp_path / "pids/box/a").mkdir()
    (tmp_path / "memory/box/b").mkdir()
    found = Entry(record, ["a", "memory:b"]).directories
    assert found == [f"{tmp_path}/pids/box/a", f"{tmp_path}/memory/box/b"]


@pytest.mark.parametrize("text", ["..", "a/../..", "../x", ".hidden", "a\nb", ":a", ",x:a", "x,:a"])
def test_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Error, match="--cgroup"):
        Entry(unified(tmp_path), [text])


def test_unified(tmp_path: Path) -> None:
    record = unified(tmp_path)
    assert Entry(record, ()).directories == [f"{tmp_path}/box"]
    found = Entry(record, ["sub/inner"])
    assert found.directories == [f"{tmp_path}/box/sub/inner"]
    fd = found.open()
    assert os.path.samestat(os.fstat(fd), os.stat(f"{tmp_path}/box/sub/inner"))
    assert not os.get_inheritable(fd)
    os.close(fd)
    with pytest.raises(Error, match="one hierarchy for all controllers"):
        Entry(record, ["memory:sub"])
    with pytest.raises(Error, match="given twice"):
        Entry(record, ["sub", "sub"])


def test_a_cgroup_of_the_containers_within_that_of_its_unit(tmp_path: Path) -> None:
    record = unified(tmp_path, subgroup="sub")
    assert Entry(record, ()).directories == [f"{tmp_path}/box/sub"]
    assert Entry(record, ["inner"]).directories == [f"{tmp_path}/box/sub/inner"]


def test_without_a_cgroup() -> None:
    record: dict[str, Any] = {"layout": "v2", "manager": "none", "paths": {}}
    assert Entry(record, ()).directories == []
    assert Entry(record, ()).open() == -1
    with pytest.raises(Error, match="the container has no cgroup"):
        Entry(record, ["sub"])


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """errno by path: what the kernel says to a process that is moved there."""
    found: dict[str, int] = {}

    def move(path: str, pid: int) -> None:
        if number := found.get(path):
            raise OSError(number, os.strerror(number))
        Path(path, "moved").write_text(str(pid))

    monkeypatch.setattr(procs, "move", move)
    return found


def test_to_where_the_init_is(
    tmp_path: Path, refusals: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where controllers are passed on there may be no process."""
    refusals[f"{tmp_path}/box"] = errno.EBUSY
    monkeypatch.setattr(entry, "of_init", lambda _record, _pid: f"{tmp_path}/box/sub")
    Entry(unified(tmp_path), ()).move(12, 1)
    assert (tmp_path / "box/sub/moved").read_text() == "12"


def test_not_where_it_was_not_asked_for(tmp_path: Path, refusals: dict[str, int]) -> None:
    refusals[f"{tmp_path}/box"] = errno.EBUSY
    with pytest.raises(Error, match="device or resource busy: it passes controllers on"):
        Entry(unified(tmp_path), ["/"]).move(12, 1)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_by_systemd(
    tmp_path: Path, refusals: dict[str, int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A user may not move a process from one part of the tree to another: his systemd may."""
    from pyrun.cgroup import systemd

    asked = []
    monkeypatch.setattr(systemd, "attach", lambda _, path, pid: asked.append((path, pid)))
    refusals[f"{tmp_path}/box"] = number
    Entry(unified(tmp_path, manager="systemd"), ()).move(12, 1)
    assert asked == [(f"{tmp_path}/box", 12)]
    with pytest.raises(Error, match="may not move a process from its own cgroup"):
        Entry({**unified(tmp_path / "x"), "paths": {"": f"{tmp_path}/box"}}, ()).move(12, 1)


def test_a_v1_hierarchy_beside_v2(tmp_path: Path) -> None:
    """Born in the one, moved into the other, where sub-cgroups need not be."""
    record = unified(tmp_path, subgroup="sub")
    place = tmp_path / "systemd/box"
    place.mkdir(parents=True)
    record["paths"]["name=systemd"] = str(place)
    (place / "cgroup.procs").touch()
    found = Entry(record, ["inner"])
    assert found.directories == [f"{tmp_path}/box/sub/inner", str(place)]
    fd = found.open()
    assert os.path.samestat(os.fstat(fd), os.stat(f"{tmp_path}/box/sub/inner"))
    os.close(fd)
    found.move(77, 1, born=True)
    assert (place / "cgroup.procs").read_text() == "77"
    (place / "inner").mkdir()
    assert Entry(record, ["inner"]).directories[1] == f"{place}/inner"
    with pytest.raises(Error, match="one hierarchy for all controllers"):
        Entry(record, ["name=systemd:inner"])
