# SPDX-License-Identifier: Apache-2.0
"""CPU time, I/O and memory: process.scheduler, ioPriority, execCPUAffinity, linux.memoryPolicy and
personality."""

from __future__ import annotations

import pytest

from pyrun.compile import number_list
from pyrun.compile import process as rules
from pyrun.errors import Error
from unit.compile.rules import Config, process, told

SCHEDULERS: list[tuple[Config, str]] = [
    ({"policy": "SCHED_OTHER", "nice": -5}, "SCHED_OTHER, 0, -5, 0, 0, 0, 0"),
    ({"policy": "SCHED_BATCH"}, "SCHED_BATCH, 0, 0, 0, 0, 0, 0"),
    ({"policy": "SCHED_IDLE", "flags": []}, "SCHED_IDLE, 0, 0, 0, 0, 0, 0"),
    ({"policy": "SCHED_FIFO", "priority": 50}, "SCHED_FIFO, 0, 0, 50, 0, 0, 0"),
    (
        {"policy": "SCHED_RR", "priority": 1, "flags": ["SCHED_FLAG_RESET_ON_FORK"] * 2},
        "SCHED_RR, SCHED_FLAG_RESET_ON_FORK, 0, 1, 0, 0, 0",
    ),
    (
        {
            "policy": "SCHED_DEADLINE",
            "runtime": 10,
            "deadline": 20,
            "period": 30,
            "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"],
        },
        "SCHED_DEADLINE, SCHED_FLAG_RECLAIM|SCHED_FLAG_DL_OVERRUN, 0, 0, 10, 20, 30",
    ),
]


@pytest.mark.parametrize(("wanted", "operands"), SCHEDULERS)
def test_scheduler(wanted: Config, operands: str) -> None:
    assert told(rules.scheduling, process(scheduler=wanted)) == [
        f"process.scheduler: sched_setattr({operands})"
    ]


@pytest.mark.parametrize("kind", ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"])
def test_io_priority(kind: str) -> None:
    config = process(ioPriority={"class": kind, "priority": 3})
    assert told(rules.scheduling, config) == [f"process.ioPriority: ioprio_set({kind}|3)"]


def test_nothing_asked_for() -> None:
    config = process(execCPUAffinity={"initial": "0", "final": "1"})  # for exec alone
    assert told(rules.scheduling, config) == []
    assert told(rules.memory_policy, config) == []
    assert told(rules.personality, config) == []


def test_affinity_is_the_cpusets() -> None:
    assert told(rules.affinity, process()) == ["-: reset_affinity()"]


@pytest.mark.parametrize("domain", ["LINUX", "LINUX32"])
def test_personality(domain: str) -> None:
    config = {"linux": {"personality": {"domain": domain, "flags": []}}}
    assert told(rules.personality, config) == [f"linux.personality: personality({domain})"]


POLICIES: list[tuple[Config, str]] = [
    ({"mode": "MPOL_DEFAULT"}, "MPOL_DEFAULT, []"),
    ({"mode": "MPOL_LOCAL", "nodes": ""}, "MPOL_LOCAL, []"),
    ({"mode": "MPOL_PREFERRED", "nodes": "1"}, "MPOL_PREFERRED, [1]"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0,2-3"}, "MPOL_INTERLEAVE, [0, 2, 3]"),
    (
        {"mode": "MPOL_BIND", "nodes": "3", "flags": ["MPOL_F_NUMA_BALANCING"]},
        "MPOL_BIND|MPOL_F_NUMA_BALANCING, [3]",
    ),
    (
        {"mode": "MPOL_PREFERRED_MANY", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        "MPOL_PREFERRED_MANY|MPOL_F_STATIC_NODES, [0]",
    ),
    (  # counted within the cpuset's: any number has a meaning
        {
            "mode": "MPOL_WEIGHTED_INTERLEAVE",
            "nodes": "0,64",
            "flags": ["MPOL_F_RELATIVE_NODES"],
        },
        "MPOL_WEIGHTED_INTERLEAVE|MPOL_F_RELATIVE_NODES, [0, 64]",
    ),
]


@pytest.mark.parametrize(("policy", "operands"), POLICIES)
def test_memory_policy(policy: Config, operands: str) -> None:
    found = told(rules.memory_policy, {"linux": {"memoryPolicy": policy}})
    assert found == [f"linux.memoryPolicy: set_mempolicy({operands})"]


def test_a_node_that_the_host_lacks() -> None:
    config = {"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "3-5"}}}
    with pytest.raises(Error, match="no such memory node on this host: 4, 5: it has 0-3$") as e:
        told(rules.memory_policy, config)
    assert e.value.pointer == "/linux/memoryPolicy/nodes"
    told(rules.memory_policy, config, memory_nodes="")  # without NUMA the kernel says so


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("0", [0]),
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("7,0-1,1-2", [0, 1, 2, 7]),
        (" 1 - 2 ,, 5,", [1, 2, 5]),
        ("15", [15]),
    ],
)
def test_number_list(text: str, expected: list[int]) -> None:
    assert number_list.numbers(text, 16) == expected


@pytest.mark.parametrize("text", ["16", "0-16", "a", "-", "1-", "-1", "2-1", "1 2", "9" * 5000])
def test_no_number_list(text: str) -> None:
    with pytest.raises(ValueError, match="^must"):
        number_list.numbers(text, 16)
