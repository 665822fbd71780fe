# SPDX-License-Identifier: Apache-2.0
"""A container's cgroup from its record: make it with its limits, and take it away without a trace.

The record (`plan`) is stored before `create` makes anything, so that `destroy` can always undo it,
whoever died in between:

    facts -> plan -> check -> (store the record) -> create -> open_into / join -> … -> destroy

`check` stands before the record is stored because of what `destroy` does: it kills whatever lives
in the record's directories. They must be known to be nobody else's by then.
"""

from __future__ import annotations

import errno
import os
import time

from pyrun.cgroup import cgroupfs, devices, permission, procs, resources
from pyrun.cgroup.facts import facts
from pyrun.cgroup.plan import plan
from pyrun.cgroup.procs import (
    freeze,
    frozen,
    join,
    kill,
    oom_killed,
    open_into,
    processes,
    thaw,
)
from pyrun.errors import Error, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "check",
    "create",
    "delegate",
    "destroy",
    "facts",
    "freeze",
    "frozen",
    "join",
    "kill",
    "oom_killed",
    "open_into",
    "plan",
    "processes",
    "thaw",
    "update",
)

PATIENCE = 6.0  # seconds that `destroy` tries; the kernel may need long to reap a process


def check(record: dict[str, Any]) -> None:
    """Raise Error if the cgroup exists and is in use or frozen. Makes nothing.

    Call it before the record is stored; `create` looks again.
    """
    if record["manager"] == "systemd":
        from pyrun.cgroup import systemd

        systemd.check()
    for path in procs.directories(record):
        if cgroupfs.exists(path):
            cgroupfs.refuse_used(path, permission.pointer(record))


def create(record: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Make the cgroup of `record` and set all limits, before any process is in it.

    `wanted` is config.json's linux.resources ({} when absent). `record` is changed in place where
    things turn out otherwise: a rootless caller without permission, limits and cgroupsPath ends
    with manager "none" (or, on v1, without some controllers); a cgroup that is in use is dropped
    from it, so that a `destroy` in clean-up cannot touch what is not ours. Store it again when it
    changed. Raises Error; `destroy` undoes a partial success.
    """
    rules = devices.policy(wanted.get("devices") or [])
    if not record["paths"]:
        permission.refuse_limits(record, [write[0] for write in resources.v2(wanted)])
        return
    before = os.umask(0o022)  # the programs inside, and the host's monitors, may read them
    try:
        # One of the two is needed, and the v2 module alone draws in the device filter.
        if record["layout"] == "v2":
            from pyrun.cgroup import v2

            v2.create(record, wanted, rules)
        else:
            from pyrun.cgroup import v1

            v1.create(record, wanted, rules)
    finally:
        os.umask(before)
    if not record["paths"]:
        record["manager"] = "none"


def update(record: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Change the limits of a living container to `wanted`, a linux.resources: what it does not name
    keeps its value. Its devices, where it has some, replace the whole policy.

    Raises Error; nothing has changed then.
    """
    from pyrun.cgroup import update as change

    change.apply(record, wanted)


def delegate(record: dict[str, Any], uid: int) -> None:
    """Give a v2 cgroup to `uid` (a host uid): the directory and the files a delegatee may write.

    For a container with a cgroup namespace of its own and a writable cgroup mount; nothing happens
    on v1, where delegation is not secure (config-linux.md, "Cgroup ownership"). Raises Error.
    """
    if record["layout"] == "v2" and record["paths"]:
        from pyrun.cgroup import v2

        path = record["paths"][""]
        if record.get("subgroup"):
            path = f"{path}/{record['subgroup']}"
        v2.delegate(path, uid)
        if record.get("delegated"):
            v2.delegate(f"{path}/{record['delegated']}", uid)


def destroy(record: dict[str, Any]) -> None:
    """Kill what is left in the cgroup and remove it with its sub-cgroups, in every hierarchy.

    Only the container's own directory and those below it go: the ones above may be shared, and an
    engine that made them removes them. Tries for 6 seconds, killing again each round; then raises
    Error, and the record must be kept for another attempt. Idempotent: what is gone is fine.
    """
    if record["manager"] == "systemd":
        from pyrun.cgroup import systemd

        procs.kill(record, procs.SIGKILL)  # before systemd asks them to end, and waits
        systemd.stop(record)
    pending = procs.directories(record)
    deadline, pause = 0.0, 0.001
    while True:
        pending = [path for path in pending if not _remove(path)]
        if not pending:
            return
        now = time.monotonic()
        if not deadline:
            deadline = now + PATIENCE
        elif now > deadline:
            raise _still_there(pending)
        procs.kill(record, procs.SIGKILL)
        for path in pending:
            _remove_below(path)
        time.sleep(pause)
        pause = min(pause * 2, 0.2)


def _remove(path: str) -> bool:
    """rmdir; True when the cgroup is gone, False when it is (still) in use."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        if cgroupfs.exists(path):
            raise from_os(error, f"remove the cgroup {path}") from None
    return True


def _remove_below(path: str) -> None:
    for child in cgroupfs.children(path):
        if not _remove(child):
            _remove_below(child)
            _remove(child)


def _still_there(pending: list[str]) -> Error:
    pids = cgroupfs.tree_pids(pending)
    shown = " ".join(map(str, pids[:10])) or "none that can be seen from here"
    return Error(
        f"remove the cgroup {pending[0]}: device or resource busy: processes in it: {shown}",
        hint="one may be in an uninterruptible wait of the kernel (state D in ps); try again later",
    )
