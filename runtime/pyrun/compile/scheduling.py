# SPDX-License-Identifier: Apache-2.0
"""process.scheduler and process.ioPriority; and the lists of process.execCPUAffinity, which are for
`exec` alone. Loaded for a config that has one of them."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile import number_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Problem, Steps

SCHEDULER, IO_PRIORITY = "/process/scheduler", "/process/ioPriority"

# linux/sched.h. Number 4 is kept for SCHED_ISO, which no kernel has.
POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
REAL_TIME = ("SCHED_FIFO", "SCHED_RR")
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
TIMES = ("runtime", "deadline", "period")  # nanoseconds
SHORTEST = 1024  # nanoseconds: what the kernel can account for, sched(7)

# linux/ioprio.h
CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
CLASS_SHIFT = 13
LEVELS = 8


def problems(config: Config) -> list[Problem]:
    """(pointer, message) of each broken rule between these fields: sched(7)."""
    process = config["process"]
    found = []
    if "scheduler" in process:
        found += _scheduler_problems(process["scheduler"], config)
    for name, cpus in process.get("execCPUAffinity", {}).items():
        if name in ("initial", "final") and cpus:
            found += _cpu_problems(f"/process/execCPUAffinity/{name}", cpus)
    return found


def _scheduler_problems(wanted: Config, config: Config) -> list[Problem]:
    policy, nice, priority = wanted["policy"], wanted.get("nice", 0), wanted.get("priority", 0)
    found = []
    if policy not in POLICIES:
        found.append((f"{SCHEDULER}/policy", f"{policy} is not in any Linux kernel"))
    if not -20 <= nice <= 19:
        found.append((f"{SCHEDULER}/nice", f"must be from -20 to 19, not {nice}"))
    if policy in REAL_TIME and not 1 <= priority <= 99:
        found.append((f"{SCHEDULER}/priority", f"must be from 1 to 99 for {policy}"))
    if policy not in REAL_TIME and priority:
        found.append((f"{SCHEDULER}/priority", "is for SCHED_FIFO and SCHED_RR alone"))
    if policy == "SCHED_DEADLINE":
        found += _deadline_problems(wanted, config)
    else:
        for name in TIMES:
            if wanted.get(name):
                found.append((f"{SCHEDULER}/{name}", "is for SCHED_DEADLINE alone"))
    return found


def _deadline_problems(wanted: Config, config: Config) -> list[Problem]:
    runtime, deadline, period = (wanted.get(name, 0) for name in TIMES)
    found = []
    if not SHORTEST <= runtime <= deadline <= (period or deadline):
        text = f"must have {SHORTEST} ns <= runtime <= deadline <= period (or no period)"
        found.append((SCHEDULER, text))
    if max(deadline, period) >> 63:
        found.append((SCHEDULER, "must have times below 2^63 ns"))
    forks = (config.get("hooks") or {}).get("startContainer")
    if forks and "SCHED_FLAG_RESET_ON_FORK" not in wanted.get("flags", ()):
        text = "SCHED_DEADLINE with startContainer hooks needs SCHED_FLAG_RESET_ON_FORK: fork(2)"
        found.append((f"{SCHEDULER}/flags", text))
    return found


def _cpu_problems(pointer: str, cpus: str) -> list[Problem]:
    try:
        if number_list.numbers(cpus, number_list.CPUS):
            return []
    except ValueError as error:
        return [(pointer, str(error))]
    return [(pointer, "names no CPU")]


def apply(config: Config, facts: Facts) -> Steps:
    """What is not given is 0, as config.md asks. (CPU affinity: there is nothing to do for the
    init.)"""
    process = config["process"]
    wanted = process.get("scheduler")
    if wanted:
        flags = sum({FLAGS[name] for name in wanted.get("flags") or ()})
        numbers = [wanted.get(name) or 0 for name in ("nice", "priority", *TIMES)]
        yield SCHEDULER, ops.sched_setattr(POLICIES[wanted["policy"]], flags, *numbers)
    wanted = process.get("ioPriority")
    if wanted:
        value = CLASSES[wanted["class"]] << CLASS_SHIFT | wanted["priority"]
        yield IO_PRIORITY, ops.ioprio_set(value)
