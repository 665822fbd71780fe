# SPDX-License-Identifier: Apache-2.0
"""Where a container's cgroup is: the rules of cgroupsPath, cgroups that are there already, none."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from life import leftovers
from life.bundles import Bundle
from life.runtimes import Container
from needs import needs

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

TOP = Path("/sys/fs/cgroup")
UNIFIED = (TOP / "cgroup.controllers").exists()
HIERARCHY = TOP if UNIFIED else TOP / "pids"


def place(pid: int | str) -> str:
    """The cgroup of a process, in the v2 tree or the hierarchy of pids."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if names == ("" if UNIFIED else "pids"):
            return path
    raise AssertionError(f"process {pid} is in no cgroup")


@with_peers
def test_absolute(container: Container, bundle: Bundle) -> None:
    """Below the mount point, whatever the runtime's own is."""
    placed(container, bundle, "/{}/x")


def test_slashes(container: Container, bundle: Bundle) -> None:
    """How many there are makes no difference."""
    placed(container, bundle, "//{}//x/")


def placed(container: Container, bundle: Bundle, form: str) -> None:
    """With this cgroupsPath it is in x of ours."""
    bundle.linux["cgroupsPath"] = form.format(leftovers.PARENT)
    container.created("sleep 100")
    assert place(container.pid) == f"/{leftovers.PARENT}/x"
    assert container.delete("--force").code == 0
    assert not (HIERARCHY / leftovers.PARENT / "x").exists()


@with_peers
@differs(crun="as if it were absolute")
@pytest.mark.parametrize("asked", ["x", ""])
def test_relative(container: Container, bundle: Bundle, asked: str) -> None:
    """Below the runtime's own on v1, and beside it on v2; without one by the id."""
    bundle.linux["cgroupsPath"] = asked
    own = HIERARCHY / leftovers.PARENT / "runtime"
    own.mkdir(parents=True)
    try:
        enter = ["sh", "-c", f'echo $$ >{own}/cgroup.procs && exec "$@"', "sh"]
        container.created("sleep 100", prefix=enter)
        base = f"/{leftovers.PARENT}" + ("" if UNIFIED else "/runtime")
        assert place(container.pid) == f"{base}/{asked or container.id}"
        assert container.delete("--force").code == 0
    finally:
        for below in sorted(own.glob("**/"), reverse=True):
            below.rmdir()


@pytest.fixture
def made(container: Container) -> Iterator[Path]:
    """The container's cgroup in one hierarchy, there before it."""
    path = HIERARCHY / leftovers.PARENT / container.id
    path.mkdir(parents=True)
    yield path
    if path.exists():
        for below in sorted(path.glob("**/"), reverse=True):
            below.rmdir()


@with_peers
def test_an_empty_one_is_taken(container: Container, made: Path) -> None:
    assert container.ask("print x") == ["x"]
    assert not made.exists()


def test_empty_sub_cgroups_are_taken_too(container: Container, made: Path) -> None:
    (made / "sub/sub").mkdir(parents=True)
    assert container.ask("print x") == ["x"]
    assert not made.exists()


@needs("cgroup_v1_controllers")
@pytest.mark.pyrun_only("the message")
def test_devices_cannot_be_denied_to_sub_cgroups(container: Container) -> None:
    """The kernel's rule for v1."""
    path = TOP / "devices" / leftovers.PARENT / container.id / "sub"
    path.mkdir(parents=True)
    result = container.create("print x")
    assert result.code == 1
    assert "with others below it: remove them" in result.err
    assert not path.exists()


@pytest.mark.parametrize("sub", ["", "sub"])
@with_peers
@differs(runc="1.1 takes it, and warns", crun="1.8 takes it")
def test_processes_of_others_are_refused(container: Container, made: Path, sub: str) -> None:
    """And survive: a delete would kill them."""
    (made / sub).mkdir(exist_ok=True)
    other = subprocess.Popen(["sleep", "100"])
    try:
        (made / sub / "cgroup.procs").write_text(str(other.pid))
        result = container.create("print x")
        assert result.code == 1
        assert "container's cgroup is not empty: 1 process(es) found" in result.err
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.pyrun_only("the message: runc has another, and crun 1.8 stands still itself")
def test_a_frozen_one_is_refused(container: Container) -> None:
    place = TOP if UNIFIED else TOP / "freezer"
    path = place / leftovers.PARENT / container.id
    path.mkdir(parents=True)
    file, on, off = (
        ("cgroup.freeze", "1", "0") if UNIFIED else ("freezer.state", "FROZEN", "THAWED")
    )
    try:
        (path / file).write_text(on)
        result = container.create("print x")
        assert result.code == 1
        assert "container's cgroup is frozen" in result.err
    finally:
        (path / file).write_text(off)
        path.rmdir()


@pytest.mark.pyrun_only("runc has no such manager, and crun sets no limits with it in silence")
def test_disabled(container: Container, bundle: Bundle) -> None:
    """The container stays in the runtime's own cgroup; limits can't be set."""
    bundle.say("sleep 100")
    container.created(options=["--cgroup-manager", "disabled"])
    assert place(container.pid) == place("self")
    assert container.start().code == 0
    assert container.status() == "running"
    assert container.delete("--force").code == 0
    bundle.linux["resources"]["pids"] = {"limit": 5}
    result = container.create("print x", options=["--cgroup-manager", "disabled"])
    assert result.code == 1
    assert "cannot set limits without cgroups" in result.err
    assert "/linux/resources/pids/limit" in result.err


@needs("crun")
def test_disabled_as_crun(container: Container) -> None:
    """A device list, which every config has, is no obstacle."""
    container.bundle.say("print x")
    container.bundle.save()
    words = ["run", "--bundle", str(container.bundle.path), container.id]
    result = container.runtime(*words, options=["--cgroup-manager", "disabled"])
    assert (result.code, result.answers()) == (0, ["x"])
