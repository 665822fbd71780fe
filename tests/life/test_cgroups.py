# SPDX-License-Identifier: Apache-2.0
"""linux.resources with the cgroupfs driver: limits as the host has them, and as a program meets
them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from life import leftovers
from life.bundles import Bundle
from life.runtimes import Container, eventually
from needs import excuse, needs

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
on_v1 = needs("cgroup_v1_controllers")

V1 = Path("/sys/fs/cgroup")


def folder(container: Container, controller: str) -> Path:
    """The container's cgroup in a v1 hierarchy."""
    return V1 / controller / leftovers.PARENT / container.id


def value(container: Container, controller: str, name: str) -> str:
    """A file of it."""
    return (folder(container, controller) / name).read_text().strip()


@on_v1
@with_peers
def test_limits_on_the_host(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"].update(
        memory={"limit": 64 << 20, "reservation": 32 << 20},
        cpu={"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"},
        pids={"limit": 30},
    )
    container.created("sleep 100")
    assert value(container, "memory", "memory.limit_in_bytes") == str(64 << 20)
    assert value(container, "memory", "memory.soft_limit_in_bytes") == str(32 << 20)
    assert value(container, "cpu", "cpu.shares") == "512"
    assert value(container, "cpu", "cpu.cfs_quota_us") == "50000"
    assert value(container, "cpuset", "cpuset.cpus") == "0"
    assert value(container, "pids", "pids.max") == "30"


@on_v1
@with_peers
def test_init_is_in_each_hierarchy(container: Container) -> None:
    container.created("sleep 100")
    lines = Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()
    inside = {c for line in lines for c in line.split(":")[1].split(",") if container.id in line}
    assert {"memory", "pids", "cpu", "devices", "freezer"} <= inside


@with_peers
def test_pids_limit(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["pids"] = {"limit": 12}
    assert int(container.ask("forks 50")[0]) == 11


@with_peers
def test_memory_limit(container: Container, bundle: Bundle) -> None:
    """What asks for more is killed, and the exit code says so."""
    bundle.linux["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
    assert container.run("hog 16").answers() == ["ok"]
    assert container.run("hog 64").code == 128 + signal.SIGKILL


def charged(container: Container) -> int:
    """The most bytes that the container's cgroup has had so far."""
    if (V1 / "cgroup.controllers").exists():
        return int((V1 / leftovers.PARENT / container.id / "memory.peak").read_text())
    return int(value(container, "memory", "memory.max_usage_in_bytes"))


@with_peers
@differs(runc="1.1 is in the cgroup itself while it creates")
def test_nothing_of_the_runtime_is_charged(container: Container, bundle: Bundle) -> None:
    """No page of the interpreter, which takes a dozen MiB; the init waits in some hundred KiB."""
    bundle.linux["resources"]["memory"] = {"limit": 64 << 20}
    container.created("print x")
    assert 0 < charged(container) < 1 << 20


@with_peers
@differs(runc="1.1 is in the cgroup itself while it creates")
def test_small_memory_limit(container: Container, bundle: Bundle) -> None:
    """A program that needs little starts, runs and ends with a MiB."""
    bundle.linux["resources"]["memory"] = {"limit": 1 << 20, "swap": 1 << 20}
    assert container.run("exit 0").code == 0
    assert container.run("print small").answers() == ["small"]


@pytest.mark.pyrun_only("the message")
@pytest.mark.parametrize("kib", [4, 16, 32])
def test_memory_limit_too_small_to_begin_with(
    container: Container, bundle: Bundle, kib: int
) -> None:
    """Whichever system call it is that fails for it."""
    bundle.linux["resources"]["memory"] = {"limit": kib << 10, "swap": kib << 10}
    result = container.create("print x")
    assert result.code == 1
    assert result.err.startswith(
        "pyrun: config.json /linux/resources/memory/limit: container init was OOM-killed "
        "(memory limit too low?)"
    )


# Where the next mapping is put, the kernel has no page table yet: a page of memory, charged to the
# cgroup of whose access there is the first.
SPAWN = """
import mmap, os, sys
from pyrun import errors, launch
cgroup = os.open(sys.argv[1], os.O_PATH | os.O_DIRECTORY)
below = [mmap.mmap(-1, 64 << 10, flags=mmap.MAP_PRIVATE, prot=0) for _ in range(64)]
try:
    launch.spawn("x", 0, cgroup, 0, False)
except errors.Error as error:
    print(error)
"""


@needs("root", "cgroup_v2")
@pytest.mark.pyrun_only("what makes its process")
def test_memory_limit_is_full_when_the_process_is_made() -> None:
    """It shares the runtime's memory until execve(2), and the kernel ends nothing that does, but
    would let it try again for ever."""
    place = V1 / "full"
    place.mkdir()
    try:
        (place / "memory.max").write_text("4096")
        command = [sys.executable, "-c", SPAWN, str(place)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == "" or done.stdout.endswith(": there is no memory left\n")
        assert eventually(lambda: "populated 0" in (place / "cgroup.events").read_text())
    finally:
        eventually(lambda: not (place / "cgroup.procs").read_text())
        place.rmdir()


@with_peers
def test_cpu_quota(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["cpu"] = {"quota": 30000, "period": 100000}
    slow = "PYRUN_SLOW" in os.environ  # emulated processors miss ticks, at which the kernel looks
    used = []
    for _ in range(5):  # others may want the processors too: it gets less then, and never more
        used.append(int(container.ask("burn 2000")[0]) / 2000)
        if 0.3 * 0.8 < used[-1] < 0.3 * 1.2:
            return
        assert slow or used[-1] < 0.3
    assert min(used) < (0.6 if slow else 0.3)
    excuse(f"is too busy: {used} of a processor was left")


@with_peers
def test_devices(container: Container, bundle: Bundle) -> None:
    """Denied but for those of every container, and for what is allowed."""
    bundle.process["capabilities"] = {
        kind: ["CAP_MKNOD"] for kind in ("bounding", "effective", "permitted")
    }
    bundle.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 240, "minor": 7, "access": "r"},
    ]
    bundle.linux["devices"] = [
        {"path": f"/dev/local{minor}", "type": "c", "major": 240, "minor": minor}
        for minor in (7, 8)
    ]
    assert container.ask(
        "read /dev/zero",
        "read /dev/local7",
        "read /dev/local8",
        "write /dev/local7 x",
        "mknod /dev/local9 240 9",
    ) == ["ok", "error: ENXIO", "error: EPERM", "error: EPERM", "ok"]


@with_peers
def test_cgroup_namespace_is_rooted_in_the_container(container: Container) -> None:
    for line in container.ask("cat /proc/self/cgroup")[0].splitlines():
        controllers, path = line.split(":")[1:]
        if controllers not in {"", "misc", "rdma"}:
            assert path == "/", line


def test_without_a_path(container: Container, bundle: Bundle) -> None:
    """A cgroup by the id."""
    del bundle.linux["cgroupsPath"]
    container.created("sleep 100")
    lines = Path(f"/proc/{container.pid}/cgroup").read_text()
    assert container.id in lines
    assert container.delete("--force").code == 0
    for place in leftovers.hierarchies():
        assert not list(place.glob(f"**/{container.id}"))


@with_peers
def test_cgroup_is_gone_after_delete(container: Container) -> None:
    container.started("spawn 4", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    assert leftovers.cgroups()
    assert container.delete("--force").code == 0
    assert not leftovers.cgroups()


@on_v1
def test_sub_cgroups_are_removed(container: Container) -> None:
    """What a container, or systemd in it, has made below its own."""
    container.started("sleep 100")
    (folder(container, "memory") / "inner/most").mkdir(parents=True)
    (folder(container, "pids") / "inner").mkdir()
    assert container.delete("--force").code == 0


@on_v1
def test_frozen_container_can_be_taken_away(container: Container) -> None:
    container.started("sleep 100")
    state = folder(container, "freezer") / "freezer.state"
    state.write_text("FROZEN")
    assert container.status() == "paused"
    assert container.delete().code == 1
    assert container.delete("--force").code == 0


@differs(crun="1.8 leaves it frozen")
@on_v1
def test_kill_of_a_frozen_container(container: Container) -> None:
    container.started("sleep 100")
    (folder(container, "freezer") / "freezer.state").write_text("FROZEN")
    assert container.kill("KILL").code == 0
    assert container.wait() == -signal.SIGKILL


@pytest.mark.pyrun_only("the message")
def test_limit_that_the_kernel_refuses(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["cpu"] = {"cpus": "4000"}
    result = container.create("print x")
    assert result.code == 1
    assert "cpus" in result.err
