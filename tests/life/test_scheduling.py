# SPDX-License-Identifier: Apache-2.0
"""process.scheduler, ioPriority, linux.memoryPolicy and personality, seen from inside."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from life.bundles import Bundle, Config
from life.runtimes import Container
from needs import excuse

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


def allow_real_time(container: Container) -> None:
    """With cgroup v1 a cgroup may have no real-time processes until it gets a share of its parent's
    time; only the uppermost one has any."""
    if Path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists():
        container.bundle.linux["cgroupsPath"] = f"/{container.id}"
        container.bundle.linux["resources"]["cpu"] = {"realtimeRuntime": 1000}


@pyrun_only("newer than the peers")
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"policy": "SCHED_OTHER", "nice": -7}, "0 0 -7 0"),
        ({"policy": "SCHED_BATCH", "nice": 7}, "3 0 7 0"),
        ({"policy": "SCHED_IDLE"}, f"5 0 {os.nice(0)} 0"),  # which it keeps
        ({"policy": "SCHED_FIFO", "priority": 12}, "1 0 0 12"),
        ({"policy": "SCHED_RR", "priority": 99}, "2 0 0 99"),
        (
            {"policy": "SCHED_FIFO", "priority": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"]},
            "1 1 0 3",
        ),
    ],
)
def test_scheduler(container: Container, bundle: Bundle, wanted: Config, expected: str) -> None:
    if "priority" in wanted:
        allow_real_time(container)
    bundle.process["scheduler"] = wanted
    assert container.ask("scheduler")[0].split()[:4] == expected.split()


@pyrun_only("newer than the peers")
def test_deadline(container: Container, bundle: Bundle) -> None:
    bundle.process["scheduler"] = {
        "policy": "SCHED_DEADLINE",
        "runtime": 1_000_000,
        "deadline": 50_000_000,
        "period": 100_000_000,
        "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"],
    }
    assert container.ask("scheduler")[0] == "6 3 0 0 1000000 50000000 100000000"


@pyrun_only("the text")
def test_scheduler_without_the_right(container: Container, bundle: Bundle) -> None:
    """In a user namespace nobody has CAP_SYS_NICE over the host's CPUs."""
    bundle.map_ids()
    bundle.process["scheduler"] = {"policy": "SCHED_FIFO", "priority": 1}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert "process.scheduler: sched_setattr: operation not permitted: " in result.err
    for word in ("CAP_SYS_NICE", "RLIMIT_RTPRIO", "cpuset"):
        assert word in result.err


@pyrun_only("newer than the peers")
@pytest.mark.parametrize(
    ("kind", "level", "expected"),
    [("RT", 2, 1 << 13 | 2), ("BE", 6, 2 << 13 | 6), ("IDLE", 0, 3 << 13)],
)
def test_io_priority(
    container: Container, bundle: Bundle, kind: str, level: int, expected: int
) -> None:
    bundle.process["ioPriority"] = {"class": f"IOPRIO_CLASS_{kind}", "priority": level}
    assert container.ask("ioprio")[0] == str(expected)


@pyrun_only("the text")
def test_io_priority_without_the_right(container: Container, bundle: Bundle) -> None:
    bundle.map_ids()
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_RT", "priority": 0}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert "process.ioPriority: ioprio_set: operation not permitted: " in result.err
    assert "CAP_SYS_NICE" in result.err


@with_peers
@differs(runc="1.1 passes it over")
def test_personality(container: Container, bundle: Bundle) -> None:
    if platform.machine() != "x86_64":
        excuse("no name for its 32-bit self is known here")
    assert container.ask("machine")[0] == "x86_64"
    bundle.linux["personality"] = {"domain": "LINUX32"}
    assert container.ask("machine")[0] == "i686"
    bundle.linux["personality"] = {"domain": "LINUX"}
    assert container.ask("machine")[0] == "x86_64"


@pyrun_only("newer than the peers")
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"mode": "MPOL_BIND", "nodes": "0"}, "2 0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "32771 0"),
        ({"mode": "MPOL_LOCAL"}, "4 -"),
    ],
)
def test_memory_policy(container: Container, bundle: Bundle, policy: Config, expected: str) -> None:
    bundle.linux["memoryPolicy"] = policy
    found = container.ask("mempolicy")[0]
    if found == "error: ENOSYS":
        excuse("a kernel without CONFIG_NUMA")
    assert found == expected


@pyrun_only("the text")
def test_memory_node_that_is_not_there(container: Container, bundle: Bundle) -> None:
    if not Path("/sys/devices/system/node/has_memory").exists():
        excuse("a kernel without CONFIG_NUMA")
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0,1000"}
    result = container.run("print x")
    assert (result.code, result.out) == (1, "")
    assert "/linux/memoryPolicy/nodes: no such memory node on this host: 1000: " in result.err


@with_peers
@differs(runc="1.1 leaves it to kernels before 6.2", crun="1.8 leaves it to kernels before 6.2")
def test_cpus_are_the_cpusets_not_the_callers(container: Container) -> None:
    """A daemon that is kept on few CPUs gives its containers all of them."""
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        excuse("one CPU")
    result = container.run(
        "status Cpus_allowed", preexec_fn=lambda: os.sched_setaffinity(0, {min(cpus)})
    )
    mask = int(result.answers()[0].replace(",", ""), 16)
    assert {cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1} >= cpus


def test_exec_affinity_is_not_the_inits(container: Container, bundle: Bundle) -> None:
    """process.execCPUAffinity is for exec alone (config.md)."""
    before = container.ask("status Cpus_allowed")
    cpu = str(min(os.sched_getaffinity(0)))
    bundle.process["execCPUAffinity"] = {"initial": cpu, "final": cpu}
    assert container.ask("status Cpus_allowed") == before
