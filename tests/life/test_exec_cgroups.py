# SPDX-License-Identifier: Apache-2.0
"""exec --cgroup: a process in a cgroup below the container's, with the hierarchies of this machine
(test_exec_unified.py has cgroup v2 anywhere)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from life import leftovers
from life.exec_steps import NOT_STARTED
from life.runtimes import Container
from needs import needs

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only
pytestmark = [pytest.mark.again, needs("cgroup_v1_controllers")]


def inside(pid: int) -> dict[str, str]:
    """The cgroup of a process in each hierarchy, by the names of its controllers; v2's is ""."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {names: path for _, names, path in (line.split(":", 2) for line in lines)}


def places(container: Container) -> dict[str, Path]:
    """The container's cgroups as folders."""
    mounts = {mount.name: mount for mount in leftovers.hierarchies()}
    folders = {
        names: mounts[names.removeprefix("name=") or "unified"] / path.lstrip("/")
        for names, path in inside(container.pid).items()
        if names.removeprefix("name=") in mounts or not names
    }
    return {names: folder for names, folder in folders.items() if container.id in str(folder)}


@pytest.fixture
def divided(running: Container) -> Container:
    """A container with a cgroup `sub` below its own in each hierarchy."""
    folders = list(places(running).values())
    assert len(folders) > 5
    for folder in folders:
        (folder / "sub").mkdir()
        if (folder / "cpuset.cpus").exists():
            for name in ("cpuset.cpus", "cpuset.mems"):
                (folder / "sub" / name).write_text((folder / name).read_text())
    return running


@with_peers
@pytest.mark.parametrize("text", ["sub", "/sub"])
def test_in_all_of_them(divided: Container, detached: Callable[..., int], text: str) -> None:
    pid = detached("sleep 1000", flags=["--cgroup", text])
    for names in places(divided):
        assert inside(pid)[names].endswith(f"/{divided.id}/sub"), names


@pyrun_only("runc wants it there as well")
def test_the_unified_tree_of_a_hybrid_machine_may_lack_it(
    divided: Container, detached: Callable[..., int]
) -> None:
    (places(divided)[""] / "sub").rmdir()
    pid = detached("sleep 1000", flags=["--cgroup", "sub"])
    for names in places(divided):
        assert inside(pid)[names].endswith(f"/{divided.id}/sub" if names else f"/{divided.id}")


@with_peers
@differs(crun="1.8 knows a path alone")
def test_in_those_that_are_named(divided: Container, detached: Callable[..., int]) -> None:
    flags = ["--cgroup", "memory,pids:sub", "--cgroup=freezer:/sub"]
    pid = detached("sleep 1000", flags=flags)
    for names in places(divided):
        below = names in {"memory", "pids", "freezer"}
        assert inside(pid)[names].endswith(f"/{divided.id}/sub" if below else f"/{divided.id}")


@with_peers
def test_the_top_of_it(divided: Container, detached: Callable[..., int]) -> None:
    pid = detached("sleep 1000", flags=["--cgroup", "/"])
    assert inside(pid) == inside(divided.pid)


@with_peers
@pytest.mark.parametrize("text", ["..", "sub/../..", "/../x", "memory:../..", "nowhere"])
@differs(crun="1.8 ends with 1, or puts it there")
def test_refused(divided: Container, text: str) -> None:
    """GHSA-5g49-rx9x-qfc6: no name leads out of the container's cgroup."""
    result = divided.exec("id", flags=["--cgroup", text])
    assert (result.code, result.out) == (NOT_STARTED, "")


@pyrun_only("the text")
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["nowhere"], "there is no cgroup "),
        (["nosuch:sub"], "the container has no cgroup of nosuch"),
        ([":sub"], "the name of a controller is missing"),
        (["memory,:sub"], "the name of a controller is missing"),
        (["memory:sub", "pids,memory:/"], "memory: given twice"),
        (["sub", "sub"], "given twice"),
        (["../x"], 'begins with "."'),
        (["./sub"], 'begins with "."'),
    ],
)
def test_what_is_wrong(divided: Container, flags: list[str], words: str) -> None:
    listed = [word for flag in flags for word in ("--cgroup", flag)]
    result = divided.exec("id", flags=listed)
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert result.err.startswith("pyrun: --cgroup")
    assert words in result.err


@pyrun_only("the text")
def test_without_a_cgroup(container: Container) -> None:
    options = ["--cgroup-manager", "disabled"]
    del container.bundle.linux["resources"], container.bundle.linux["cgroupsPath"]
    container.created("sleep 1000", options=options)
    result = container.exec("id", flags=["--cgroup", "sub"])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "the container has no cgroup" in result.err
    before = inside(container.pid)
    assert container.exec_ask("id") == ["0 0"]
    assert inside(container.pid) == before
