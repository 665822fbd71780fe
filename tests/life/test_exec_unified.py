# SPDX-License-Identifier: Apache-2.0
"""exec on cgroup v2: the process is born in the container's cgroup, wherever that is."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from life import hierarchies, leftovers
from life.bundles import Bundle, mount
from life.exec_steps import NOT_STARTED
from life.runtimes import Container, eventually
from needs import excuse, needs

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only
pytestmark = [pytest.mark.again, needs("root")]


@pytest.fixture(scope="module", autouse=True)
def unified(subreaper: None) -> None:
    """Only v2 is mounted, for these tests."""
    if not (hierarchies.TOP / "cgroup.procs").exists():
        hierarchies.show_v2()


@pytest.fixture(autouse=True)
def no_devices(bundle: Bundle) -> None:
    """crun 1.8 dies of the filter's size where memory can be locked by others."""
    del bundle.linux["resources"]


def place(pid: int) -> str:
    """The cgroup of a process in the unified tree."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


@with_peers
def test_in_the_cgroup_of_the_init(running: Container, detached: Callable[..., int]) -> None:
    assert place(detached("sleep 1000")) == place(running.pid)
    assert place(running.pid).endswith(f"/{running.id}")


@pyrun_only("the peers come in when the process is there already")
def test_born_there(running: Container) -> None:
    """Not one step of it is counted elsewhere: nobody has to be moved."""
    trace = running.bundle.path / "trace"
    prefix = ["strace", "-f", "-qq", "-e", "trace=clone3,openat", "-o", str(trace)]
    assert running.exec("id", prefix=prefix).code == 0
    text = trace.read_text()
    assert "CLONE_INTO_CGROUP" in text
    assert "cgroup.procs" not in text


@pyrun_only("the peers wait for ever")
def test_a_frozen_cgroup_above(container: Container, bundle: Bundle) -> None:
    """No process can begin there: also where the container is of a known shape."""
    above = hierarchies.TOP / leftovers.PARENT / f"above-{container.id}"
    above.mkdir(parents=True)
    bundle.linux["cgroupsPath"] = f"/{above.relative_to(hierarchies.TOP)}/box"
    for frozen in (True, False, True):
        (above / "cgroup.freeze").write_text(f"{int(frozen)}")
        result = container.create()
        assert (result.code, "is frozen: no process can begin" in result.err) == (frozen, frozen)
        assert (above / "box").exists() is not frozen
        assert container.delete("--force").code == 0
    above.rmdir()


@with_peers
def test_sub_cgroup(running: Container, detached: Callable[..., int]) -> None:
    top = hierarchies.TOP / place(running.pid).lstrip("/")
    (top / "a/b").mkdir(parents=True)
    assert place(detached("sleep 1000", flags=["--cgroup", "a/b"])) == f"{place(running.pid)}/a/b"
    assert place(detached("sleep 1000", flags=["--cgroup", "/"])) == place(running.pid)


@with_peers
@pytest.mark.parametrize("text", ["..", "a/../..", "nowhere", "memory:a"])
@differs(crun="1.8 ends with 1, or makes one")
def test_no_such_sub_cgroup(running: Container, text: str) -> None:
    (hierarchies.TOP / place(running.pid).lstrip("/") / "a").mkdir()
    result = running.exec("id", flags=["--cgroup", text])
    assert (result.code, result.out) == (NOT_STARTED, "")


@with_peers
def test_cgroup_namespace_is_the_containers(running: Container) -> None:
    cgroup, ns = running.exec_ask("cat /proc/self/cgroup", "ns")
    assert [line for line in cgroup.splitlines() if line.startswith("0::")] == ["0::/"]
    assert Path(f"/proc/{running.pid}/ns/cgroup").readlink().name in ns


@with_peers
@differs(crun="1.8 ends with 1")
def test_paused(running: Container) -> None:
    assert running.runtime("pause", running.id).code == 0
    result = running.exec("id")
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert running.runtime("resume", running.id).code == 0
    assert running.exec("id").code == 0


@pyrun_only("runc 1.1 can't be ended there, crun has no flag for it")
def test_a_paused_start_can_be_given_up(running: Container) -> None:
    runtime, null = running.runtime, subprocess.DEVNULL
    assert runtime("pause", running.id).code == 0
    words = ["exec", "--ignore-paused", running.id, "/payload", "hostname"]
    process = runtime.popen(*words, stdin=null, stdout=null, stderr=null)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert json.loads(runtime("ps", "-f", "json", running.id).out) == [running.pid]
    process = runtime.popen(*words, stdin=null, stdout=null, stderr=null)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    assert runtime("resume", running.id).code == 0
    assert process.wait(10) == 0


@with_peers
@pytest.mark.parametrize(
    "flags",
    [
        [],
        pytest.param(["--cgroup", "/"], marks=differs(crun="1.8 takes another")),
    ],
    ids=["", "by name"],
)
def test_a_container_that_divides_its_cgroup(
    container: Container, bundle: Bundle, detached: Callable[..., int], flags: list[str]
) -> None:
    """As a systemd in the container does: the init is below, and where controllers are passed on
    there may be no process (EBUSY). exec goes where the init is, unless told otherwise."""
    if "pids" not in (hierarchies.TOP / "cgroup.controllers").read_text().split():
        excuse("its pids controller is not in cgroup v2")
    bundle.config["mounts"].append(mount("/sys/fs/cgroup", "cgroup"))
    own = "/sys/fs/cgroup"
    container.started(
        f"mkdir {own}/init.scope", f"write {own}/init.scope/cgroup.procs 1",
        f"write {own}/cgroup.subtree_control +pids", "sleep 1000",
    )  # fmt: skip
    assert eventually(lambda: len(container.answers()) == 3)
    assert container.answers() == ["ok"] * 3
    if flags:
        result = container.exec("id", flags=flags)
        assert (result.code, result.out) == (NOT_STARTED, "")
        assert "device or resource busy" in result.err
    else:
        pid = detached("sleep 1000")
        assert place(pid) == place(container.pid)
        assert place(pid).endswith("/init.scope")
