# SPDX-License-Identifier: Apache-2.0
"""The cgroup driver on this machine's own v1 hierarchies (and the v2 tree beside them)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from life.cgroup_steps import (
    LIMITS,
    PARENT,
    eventually,
    gone,
    plan,
    remove_parents,
    run_in,
    sleeper,
    start,
)
from needs import excuse, needs
from pyrun.cgroup import driver, facts, procs
from pyrun.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("root")

# Eight processes, each of which is forever replaced by its child.
FLEE = """
import os, time
for _ in range(3):
    os.fork()
while True:
    try:
        if os.fork():
            os._exit(0)
    except OSError:
        time.sleep(0.001)
"""


@pytest.fixture
def record() -> Iterator[dict[str, Any]]:
    """A planned cgroup on this machine's v1 hierarchies, and nothing left of it afterwards."""
    if driver.facts()["layout"] not in ("v1", "hybrid"):
        excuse("its controllers are not in cgroup v1")
    record = plan()
    planned = {**record, "paths": dict(record["paths"])}
    yield record
    driver.destroy(planned)
    remove_parents(planned)


@pytest.mark.parametrize("controller", ["memory", "cpu", "cpuset", "pids", "devices"])
def test_v1_limits_read_back(record: dict[str, Any], controller: str) -> None:
    if controller not in record["paths"]:
        excuse(f"no v1 hierarchy of {controller}")
    known = {name: LIMITS[name] for name in LIMITS if name in record["paths"]}
    driver.create(record, known)
    expected = {
        "memory": {
            "memory.limit_in_bytes": str(64 << 20),
            "memory.memsw.limit_in_bytes": str(64 << 20),
            "memory.soft_limit_in_bytes": str(32 << 20),
        },
        "cpu": {"cpu.shares": "512", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"},
        "cpuset": {"cpuset.cpus": "0", "cpuset.mems": "0"},
        "pids": {"pids.max": "20"},
        "devices": {
            "devices.list": "c *:* m\nb *:* m\nc 1:3 rwm\nc 1:7 rwm\nc 1:5 rwm\n"
            "c 5:0 rwm\nc 1:9 rwm\nc 1:8 rwm\nc 136:* rwm\nc 5:2 rwm\nc 10:200 rwm"
        },
    }
    for file, value in expected[controller].items():
        assert Path(record["paths"][controller], file).read_text().strip() == value


def test_v1_join_list_kill_destroy(record: dict[str, Any]) -> None:
    driver.check(record)
    driver.create(record, {})
    assert driver.open_into(record) == -1
    process = sleeper()
    driver.join(record, process.pid)
    assert driver.processes(record) == [process.pid]
    # In a container without a cgroup namespace, the container's own path comes before ours. A
    # hierarchy that is not mounted is not there to be joined.
    own = facts.parse("", Path(f"/proc/{process.pid}/cgroup").read_text())["own"]
    mounts = driver.facts()["mounts"]
    assert {name: own[name] for name in mounts} == {
        name: f"{root.rstrip('/')}{PARENT}/box" for name, (_, root) in mounts.items()
    }
    driver.kill(record, signal.SIGTERM)
    assert process.wait(10) == -signal.SIGTERM
    assert not driver.frozen(record)
    driver.destroy(record)
    assert gone(record)
    driver.destroy(record)


def test_v1_devices_are_denied(record: dict[str, Any]) -> None:
    driver.create(record, {"devices": [{"allow": False, "access": "rwm"}]})
    script = "head -c1 /dev/zero | wc -c; head -c1 /dev/kmsg 2>&1 >/dev/null"
    assert run_in(record, script).splitlines() == [
        "1",
        "head: cannot open '/dev/kmsg' for reading: Operation not permitted",
    ]


def test_v1_the_number_of_processes_is_limited(record: dict[str, Any]) -> None:
    driver.create(record, {"pids": {"limit": 1}})
    assert "fork" in run_in(record, "exec 2>&1; true | true; /bin/true")


def test_v1_oom_is_known(record: dict[str, Any]) -> None:
    driver.create(record, {"memory": {"limit": 16 << 20, "swap": 16 << 20}})
    assert not driver.oom_killed(record)
    run_in(record, f"exec {sys.executable} -ISc 'b\"x\" * (64 << 20)'")
    assert driver.oom_killed(record)


@pytest.mark.parametrize("unified", [True, False])
def test_v1_kill_reaches_processes_that_fork_and_flee(
    record: dict[str, Any], unified: bool
) -> None:
    if not unified:  # the v2 tree of a hybrid host has cgroup.kill: do without
        record["paths"].pop("", None)
    driver.create(record, {"pids": {"limit": 50}})
    process = start(f"exec {sys.executable} -ISc '{FLEE}'")
    driver.join(record, process.pid)
    assert process.stdin
    assert process.stdout
    process.stdout.close()
    process.stdin.write(b"go\n")
    process.stdin.close()
    assert eventually(lambda: len(driver.processes(record)) > 5)
    driver.kill(record, signal.SIGKILL)
    process.wait(10)
    assert eventually(lambda: driver.processes(record) == [])


def test_v1_a_frozen_container_can_be_destroyed(record: dict[str, Any]) -> None:
    driver.create(record, {})
    process = sleeper()
    driver.join(record, process.pid)
    driver.freeze(record)
    assert driver.frozen(record)
    driver.kill(record, signal.SIGUSR1)
    assert driver.frozen(record)  # as it was found
    driver.thaw(record)
    assert not driver.frozen(record)
    driver.freeze(record)
    driver.destroy(record)
    assert process.wait(10) in (-signal.SIGKILL, -signal.SIGUSR1)
    assert gone(record)


def test_v1_sub_cgroups_and_their_processes_go_too(record: dict[str, Any]) -> None:
    driver.create(record, {})
    process = sleeper()
    for path in procs.directories(record):
        if "cpuset" not in path:  # would have to be given CPUs first
            os.makedirs(f"{path}/one/two")
            Path(path, "one/two/cgroup.procs").write_text(str(process.pid))
    assert driver.processes(record) == [process.pid]
    driver.destroy(record)
    assert process.wait(10) == -signal.SIGKILL
    assert gone(record)


def test_v1_what_the_container_has_frozen_goes_too(record: dict[str, Any]) -> None:
    """Where its cgroup is writable, it can freeze a part of itself: SIGKILL waits for a thaw."""
    driver.create(record, {})
    process = sleeper()
    driver.join(record, process.pid)
    inner = Path(record["paths"]["freezer"], "one/two")
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text(str(process.pid))
    (inner / "freezer.state").write_text("FROZEN")
    driver.kill(record, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    driver.destroy(record)
    assert gone(record)


def test_v1_a_half_made_cgroup_goes_too(record: dict[str, Any]) -> None:
    half = procs.directories(record)[1:3]
    for path in half:
        os.makedirs(path)
    driver.destroy(record)
    assert gone(record)
    for path in half:
        assert os.path.isdir(os.path.dirname(path))  # only the leaf is the container's
    driver.destroy(record)


def test_v1_somebody_elses_processes_survive_a_refusal(record: dict[str, Any]) -> None:
    driver.create(record, {})
    process = sleeper()
    driver.join(record, process.pid)
    second = plan()
    with pytest.raises(Error, match="container's cgroup is not empty: 1 process"):
        driver.check(second)
    with pytest.raises(Error, match="container's cgroup is not empty: 1 process"):
        driver.create(second, {})
    driver.destroy(second)
    assert process.poll() is None
    driver.destroy(record)
    assert process.wait(10) == -signal.SIGKILL


def test_v1_the_kernels_refusal_names_field_file_and_reason(record: dict[str, Any]) -> None:
    with pytest.raises(Error) as caught:
        driver.create(record, {"cpu": {"cpus": "9999"}})
    assert caught.value.pointer == "/linux/resources/cpu/cpus"
    assert "cpuset.cpus" in str(caught.value)
    assert caught.value.hint


def test_v1_destroy_gives_up_and_says_who_is_left(
    record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.create(record, {})
    process = sleeper()
    driver.join(record, process.pid)
    monkeypatch.setattr(procs, "kill", lambda _record, _number: None)
    monkeypatch.setattr(driver, "PATIENCE", 0.05)
    with pytest.raises(Error, match=rf"device or resource busy: processes in it: {process.pid}"):
        driver.destroy(record)
    monkeypatch.undo()
    driver.destroy(record)
    process.wait(10)
