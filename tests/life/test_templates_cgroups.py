# SPDX-License-Identifier: Apache-2.0
"""Templates and the cgroups around a container: what is not as it was is for Python to look at."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest

from life import hierarchies, leftovers
from life.bundles import mount
from life.runtimes import Container
from life.templates import PAUSE, Maker
from needs import needs

pytestmark = [
    needs("root", "strace"),
    pytest.mark.pyrun_only("no peer has templates"),
    pytest.mark.one_way("templates are the launcher's"),
    pytest.mark.usefixtures("each_view"),
]


@pytest.fixture
def maker(container: Container) -> Maker:
    return Maker(container)


def test_a_cgroup_above_that_is_not_ready(maker: Maker) -> None:
    """On v2 it passes no controllers on, on v1 it is in one hierarchy alone: Python sees to it."""
    linux = maker.container.bundle.linux
    maker.prime()
    above = Path(linux["cgroupsPath"]).with_name("above")
    hierarchies.directory(f"{above}").mkdir()
    linux["cgroupsPath"] = f"{above}/{maker.container.id}"
    result, python = maker.make()
    made = hierarchies.directory(linux["cgroupsPath"])
    if hierarchies.is_unified():
        offered = (hierarchies.TOP / "cgroup.controllers").read_text()
        assert (result, python) == ((0, "", ""), bool(offered.strip()))
        assert (made / "cgroup.controllers").read_text() == offered
    else:
        assert (result, python) == ((0, "", ""), True)
    assert str(maker.container.pid) in (made / "cgroup.procs").read_text().split()
    maker.delete()
    for place in leftovers.hierarchies():
        with contextlib.suppress(FileNotFoundError):
            (place / f"{above}"[1:]).rmdir()


def test_a_cgroup_that_is_given_away(maker: Maker) -> None:
    """To a user who may divide it (config-linux.md, "Cgroup ownership"): each time, on v2."""
    bundle = maker.container.bundle
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "rw", source="cgroup"))
    place = hierarchies.directory(bundle.linux["cgroupsPath"])
    for number in range(2):
        time.sleep(PAUSE)
        result, python = maker.make()
        assert (result, python) == ((0, "", ""), hierarchies.is_unified() or number == 0)
        assert (place / "cgroup.procs").stat().st_uid == (1000 if hierarchies.is_unified() else 0)
        maker.delete()


def test_a_caller_elsewhere(maker: Maker) -> None:
    """Where a part of a hierarchy is mounted, as in a container without a cgroup namespace, a
    relative cgroupsPath goes by where the caller is below."""
    del maker.container.bundle.linux["cgroupsPath"]
    top = hierarchies.TOP / ("." if hierarchies.is_unified() else "pids")
    part = top / leftovers.PARENT / f"part-{maker.container.id}"
    (part / "x/y").mkdir(parents=True)
    home = own_place(top)
    with leftovers.own_view():
        subprocess.run(["mount", "--bind", part, top], check=True)
        try:
            (top / "cgroup.procs").write_text("0")
            time.sleep(PAUSE)
            assert maker.make() == ((0, "", ""), True)
            maker.delete()
            (top / "x/y/cgroup.procs").write_text("0")
            assert maker.make() == ((0, "", ""), True)
            made = own_place(top, maker.container.pid)
            assert made.endswith(
                f"/x/{'' if hierarchies.is_unified() else 'y/'}{maker.container.id}"
            )
            maker.delete()
        finally:
            subprocess.run(["umount", top], check=True)
            (top / home.lstrip("/") / "cgroup.procs").write_text("0")
    for path in sorted(
        part.glob("**/"), reverse=True
    ):  # with what the tests have of their own there
        path.rmdir()


def own_place(top: Path, pid: int | str = "self") -> str:
    """The cgroup of a process in the hierarchy that is mounted at `top`, or was."""
    name = "" if hierarchies.is_unified() else top.name
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line.split(":", 2)[2] for line in lines if line.split(":")[1] == name)
