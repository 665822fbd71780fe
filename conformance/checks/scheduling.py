# SPDX-License-Identifier: Apache-2.0
"""How the process is scheduled and which machine it sees: process.scheduler and ioPriority,
linux.memoryPolicy and personality."""

from __future__ import annotations

import platform
from typing import Any

from conformance.case import Case
from conformance.checks.resources import allow_real_time
from conformance.plugin import check, each

# scheduler, and POLICY FLAGS NICE PRIORITY RUNTIME DEADLINE PERIOD of sched_getattr(2)
DEADLINE = {"policy": "SCHED_DEADLINE", "runtime": 2000000, "deadline": 5000000, "period": 7000000}
SCHEDULERS: dict[str, tuple[dict[str, Any], dict[int, str]]] = {
    "": ({"policy": "SCHED_BATCH", "nice": 4}, {0: "3", 2: "4"}),
    ".policy": ({"policy": "SCHED_BATCH"}, {0: "3"}),
    ".nice": ({"policy": "SCHED_OTHER", "nice": 7}, {0: "0", 2: "7"}),
    ".priority": ({"policy": "SCHED_RR", "priority": 3}, {0: "2", 3: "3"}),
    ".flags": ({"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}, {1: "1"}),
    ".runtime": (DEADLINE, {0: "6", 4: "2000000"}),
    ".deadline": (DEADLINE, {0: "6", 5: "5000000"}),
    ".period": (DEADLINE, {0: "6", 6: "7000000"}),
}


@each({f"config.process.scheduler{name}": row for name, row in SCHEDULERS.items()}, may_refuse=True)
def check_scheduler(case: Case, row: tuple[dict[str, Any], dict[int, str]]) -> None:
    """As sched_getattr(2) has it."""
    scheduler, wanted = row
    if scheduler["policy"] == "SCHED_RR":
        allow_real_time(case)
        case.box.config["linux"]["resources"]["cpu"] = {"realtimeRuntime": 1000}
    case.box.bundle.process["scheduler"] = scheduler
    seen = case.box.ask("scheduler")[0].split()
    names = ("policy", "flags", "nice", "priority", "runtime", "deadline", "period")
    for index, value in wanted.items():
        case.expect(f"{names[index]} of the process", value, seen[index])


IO = {"": ("IOPRIO_CLASS_BE", 6, 2 << 13 | 6), ".class": ("IOPRIO_CLASS_IDLE", 0, 3 << 13),
      ".priority": ("IOPRIO_CLASS_BE", 2, 2 << 13 | 2)}  # fmt: skip


@each({f"config.process.ioPriority{name}": row for name, row in IO.items()}, may_refuse=True)
def check_io_priority(case: Case, row: tuple[str, int, int]) -> None:
    """As ioprio_get(2) has it: class in the upper bits, level in the lower ones."""
    kind, priority, wanted = row
    case.box.bundle.process["ioPriority"] = {"class": kind, "priority": priority}
    case.expect("I/O priority of the process", [str(wanted)], case.box.ask("ioprio"))


STATIC = 1 << 15  # MPOL_F_STATIC_NODES
POLICIES: dict[str, tuple[dict[str, Any], str]] = {
    "": ({"mode": "MPOL_BIND", "nodes": "0"}, "2 0"),
    ".mode": ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "3 0"),
    ".nodes": ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "1 0"),
    ".flags": (
        {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        f"{2 | STATIC} 0",
    ),
}


@each({f"config-linux.memoryPolicy{name}": row for name, row in POLICIES.items()},
      needs=("numa",), may_refuse=True)  # fmt: skip
def check_memory_policy(case: Case, row: tuple[dict[str, Any], str]) -> None:
    """As get_mempolicy(2) has it: mode with flags, and nodes."""
    case.box.config["linux"]["memoryPolicy"] = row[0]
    case.expect("the policy of the process", [row[1]], case.box.ask("mempolicy"))


@each({"config-linux.personality": "LINUX32", "config-linux.personality.domain": "LINUX32"},
      may_refuse=True)  # fmt: skip
def check_personality(case: Case, row: str) -> None:
    """What uname(2) says the machine is."""
    machine = platform.machine()
    if machine not in ("x86_64", "aarch64"):
        case.skip(f"what LINUX32 is on {machine} is not known here")
    case.expect("the machine without it", [machine], case.new().ask("machine"))
    case.box.config["linux"]["personality"] = {"domain": row}
    wanted = {"x86_64": "i686", "aarch64": "armv8l"}[machine]
    case.expect("the machine", [wanted], case.box.ask("machine"))


@check("config-linux.personality.flags")
def check_personality_flags(case: Case) -> None:
    """None is supported by the specification."""
    case.box.config["linux"]["personality"] = {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}
    case.refused(case.box, "a flag of personality", at="start")
