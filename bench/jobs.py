# SPDX-License-Identifier: Apache-2.0
"""What is measured. A job does its work once with one contestant, and gives what each part took.

To measure something new, write a function like these and add it to JOBS.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import contestants
import process

Parts: TypeAlias = "dict[str, int]"
Job: TypeAlias = "Callable[[contestants.Runtime, process.Commands], Parts]"

# The order of the table.
ENGINE_RUN = "run, 30 mounts + seccomp"
LIFECYCLE = "create+start+delete"
VERBS = ("run", ENGINE_RUN, LIFECYCLE, "create", "start", "exec", "state", "kill", "delete")


def run(runtime: contestants.Runtime, commands: process.Commands) -> Parts:
    """`run` of true, in the foreground: nanoseconds."""
    return {"run": commands.time(runtime.run(contestants.BRIEF))}


def engine_run(runtime: contestants.Runtime, commands: process.Commands) -> Parts:
    """The same with what an engine puts into a config: nanoseconds. Nothing for who can't."""
    if runtime.as_engines_do is None:
        return {}
    return {ENGINE_RUN: commands.time(runtime.as_engines_do.run(contestants.BRIEF))}


def lifecycle(runtime: contestants.Runtime, commands: process.Commands) -> Parts:
    """create, start and delete of true, as an engine does it: nanoseconds of the three together.

    Between start and delete the engine waits for the container's end; so do we, and leave it out.
    """
    taken = commands.time(runtime.create(contestants.BRIEF))
    pid = runtime.pid()
    taken += commands.time(runtime.verb("start"))
    process.reap(pid)
    return {LIFECYCLE: taken + commands.time(runtime.verb("delete"))}


def verbs(runtime: contestants.Runtime, commands: process.Commands) -> Parts:
    """Each verb in the life of a container that sleeps until it is killed: nanoseconds. exec is
    that of true."""
    parts = {"create": commands.time(runtime.create(contestants.WAITING))}
    pid = runtime.pid()
    parts["start"] = commands.time(runtime.verb("start"))
    parts["exec"] = commands.time(runtime.exec(contestants.BRIEF))
    for verb in ("state", "kill"):
        parts[verb] = commands.time(runtime.verb(verb))
    process.reap(pid)
    parts["delete"] = commands.time(runtime.verb("delete"))
    return parts


def peaks(runtime: contestants.Runtime, commands: process.Commands) -> Parts:
    """Peak memory of the runtime in each verb, and memory of the init that waits: KiB."""
    parts = {"run": commands.memory(runtime.run(contestants.BRIEF))}
    parts["create"] = commands.memory(runtime.create(contestants.WAITING))
    pid = runtime.pid()
    parts |= waiting(pid)
    parts["start"] = commands.memory(runtime.verb("start"))
    parts["exec"] = commands.memory(runtime.exec(contestants.BRIEF))
    for verb in ("state", "kill"):
        parts[verb] = commands.memory(runtime.verb(verb))
    process.reap(pid)
    parts["delete"] = commands.memory(runtime.verb("delete"))
    return parts


def waiting(pid: int) -> Parts:
    """What the init between create and start holds: proc_pid_smaps(5), in KiB.

    Its peak is that of the program it is by now, not of whoever started it.
    """
    for _ in range(50):  # it goes to sleep a moment after create has returned
        if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "S":
            break
        time.sleep(0.001)
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        sizes[name] = int(rest.split()[0])
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return {
        "init private": sizes["Private_Clean"] + sizes["Private_Dirty"],
        "init shared": sizes["Shared_Clean"] + sizes["Shared_Dirty"],
        "init Pss": sizes["Pss"],
        "init peak": int(peak.split()[1]),
    }


JOBS: tuple[Job, ...] = (run, engine_run, lifecycle, verbs)
