# SPDX-License-Identifier: Apache-2.0
"""Rules between the members of scheduler, execCPUAffinity and memoryPolicy."""

from __future__ import annotations

import pytest

from pyrun import schema_check
from pyrun.compile import checks
from unit import configs
from unit.configs import isolated, with_


def process_with(**members: object) -> dict[str, object]:
    return with_("process", {**configs.minimal()["process"], **members})


def scheduler(policy: str, **members: object) -> dict[str, object]:
    return process_with(scheduler={"policy": policy, **members})


def affinity(**members: object) -> dict[str, object]:
    return process_with(execCPUAffinity=members)


def memory(mode: str, nodes: str = "", *flags: str) -> dict[str, object]:
    return isolated(memoryPolicy={"mode": mode, "nodes": nodes, "flags": [*flags]})


REFUSED: list[tuple[dict[str, object], str, str]] = [
    # sched(7): what belongs to which policy
    (scheduler("SCHED_ISO"), "/process/scheduler/policy", "SCHED_ISO is not in any Linux kernel"),
    (scheduler("SCHED_OTHER", nice=20), "/process/scheduler/nice", "from -20 to 19, not 20"),
    (scheduler("SCHED_BATCH", nice=-21), "/process/scheduler/nice", "from -20 to 19, not -21"),
    (scheduler("SCHED_FIFO"), "/process/scheduler/priority", "from 1 to 99 for SCHED_FIFO"),
    (scheduler("SCHED_RR", priority=100), "/process/scheduler/priority", "1 to 99 for SCHED_RR"),
    (scheduler("SCHED_OTHER", priority=1), "/process/scheduler/priority", "and SCHED_RR alone"),
    (scheduler("SCHED_IDLE", runtime=1), "/process/scheduler/runtime", "SCHED_DEADLINE alone"),
    (scheduler("SCHED_FIFO", priority=1, period=1), "/process/scheduler/period", "alone"),
    (scheduler("SCHED_OTHER", deadline=1), "/process/scheduler/deadline", "alone"),
    (scheduler("SCHED_DEADLINE"), "/process/scheduler", "1024 ns <= runtime"),
    (scheduler("SCHED_DEADLINE", runtime=5000, deadline=4000), "/process/scheduler", "<= deadline"),
    (
        scheduler("SCHED_DEADLINE", runtime=2000, deadline=3000, period=2999),
        "/process/scheduler",
        "<= period",
    ),
    (
        scheduler("SCHED_DEADLINE", runtime=2000, deadline=1 << 63),
        "/process/scheduler",
        "below 2^63",
    ),
    (
        with_(
            "hooks",
            {"startContainer": [{"path": "/h"}]},
            scheduler("SCHED_DEADLINE", runtime=2000, deadline=2000),
        ),
        "/process/scheduler/flags",
        "needs SCHED_FLAG_RESET_ON_FORK",
    ),
    (affinity(initial="3-1"), "/process/execCPUAffinity/initial", "must not go down, as 3-1"),
    (affinity(final="1-2-3"), "/process/execCPUAffinity/final", "must be a list such as 0-3,7"),
    (affinity(final="1 2"), "/process/execCPUAffinity/final", "must be a list such as 0-3,7"),
    (affinity(final="-1"), "/process/execCPUAffinity/final", "must be a list such as 0-3,7"),
    (affinity(final="8192"), "/process/execCPUAffinity/final", "numbers below 8192, not 8192"),
    (affinity(initial=" , "), "/process/execCPUAffinity/initial", "names no CPU"),
    # set_mempolicy(2): which modes take nodes, and which flags
    (memory("MPOL_DEFAULT", "0"), "/linux/memoryPolicy/nodes", "not be given for MPOL_DEFAULT"),
    (memory("MPOL_LOCAL", "0"), "/linux/memoryPolicy/nodes", "not be given for MPOL_LOCAL"),
    *(
        (memory(mode), "/linux/memoryPolicy/nodes", f"must name a node for {mode}")
        for mode in (
            "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED_MANY",
        )
    ),
    (memory("MPOL_BIND", "x"), "/linux/memoryPolicy/nodes", "must be a list such as 0-3,7"),
    (memory("MPOL_BIND", "1024"), "/linux/memoryPolicy/nodes", "numbers below 1024"),
    (
        memory("MPOL_INTERLEAVE", "0", "MPOL_F_NUMA_BALANCING"),
        "/linux/memoryPolicy/flags",
        "is for MPOL_BIND",
    ),
    (
        memory("MPOL_PREFERRED", "", "MPOL_F_STATIC_NODES"),
        "/linux/memoryPolicy/flags",
        "needs nodes",
    ),
    (
        memory("MPOL_BIND", "0", "MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"),
        "/linux/memoryPolicy/flags",
        "exclude each other",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("config", "pointer", "message"), REFUSED, ids=[f"{p}-{m[:30]}" for _, p, m in REFUSED]
)
def test_refused(config: dict[str, object], pointer: str, message: str) -> None:
    # The rules must do it: a shape that the schema refuses never reaches them.
    assert schema_check.check(config) == []
    found = [text for place, text in checks.problems(config) if place == pointer]
    assert any(message in text for text in found), checks.problems(config)


@pytest.mark.parametrize(
    "config",
    [
        scheduler("SCHED_OTHER", nice=-20),
        scheduler("SCHED_IDLE"),
        scheduler("SCHED_RR", priority=99, flags=["SCHED_FLAG_RESET_ON_FORK"]),
        scheduler("SCHED_DEADLINE", runtime=1024, deadline=1024),
        scheduler("SCHED_DEADLINE", runtime=1024, deadline=2048, period=4096),
        affinity(),
        affinity(initial="", final="0-3, 7,"),
        memory("MPOL_PREFERRED"),
        memory("MPOL_DEFAULT"),
        memory("MPOL_BIND", "0-3,7", "MPOL_F_NUMA_BALANCING", "MPOL_F_STATIC_NODES"),
    ],
)
def test_allowed(config: dict[str, object]) -> None:
    assert schema_check.check(config) == []
    assert checks.problems(config) == []
