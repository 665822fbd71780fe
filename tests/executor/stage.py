# SPDX-License-Identifier: Apache-2.0
"""Runs hand-made plans in the executor that is installed, in namespaces that anybody may make."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pyrun import idmaps, launch, plan
from pyrun.launch import Child
from pyrun.linux import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from pyrun.types import Op

FLAGS = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
END = 127  # exit code of an executor that has nothing more to do, or nobody to do it for
PATIENCE = 5.0

Answer = Callable[[int, int], int | None]


class Outcome(NamedTuple):
    """How a plan ended: what was reported of a failure (None: nothing), and the wait status."""

    failed: tuple[int, int, int] | None
    status: int
    points: list[int]


@contextmanager
def spawned(flags: int = FLAGS) -> Iterator[Child]:
    """An executor that waits for its plan; killed at the end, whatever happened."""
    child = launch.spawn("pyrun:test", flags, -1, 0, os.geteuid() == 0)
    try:
        if flags & CLONE_NEWUSER:
            one = {"containerID": 0, "size": 1}
            maps = {
                "uidMappings": [{**one, "hostID": os.geteuid()}],
                "gidMappings": [{**one, "hostID": os.getegid()}],
            }
            idmaps.write_maps(child.pid, {"linux": maps}, privileged=False)
        yield child
    finally:
        for fd in (child.socket, child.pidfd):
            if fd >= 0:
                os.close(fd)
        for pid in (child.pid, *child.stages):
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                continue


def end(child: Child) -> int:
    """The wait status of the executor, which must end soon. It is gone then."""
    for _ in range(int(PATIENCE * 100)):
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.01)
    raise AssertionError("the executor goes on")


def run(
    operations: list[Op],
    donated: list[int] | None = None,
    flags: int = FLAGS,
    answer: Answer | None = None,
    data: bytes | None = None,
) -> Outcome:
    """A whole plan (or `data` in its place), each message answered."""
    points: list[int] = []
    fds = donated or []
    with spawned(flags) as child:
        if data is None:
            launch.send_plan(child, [("", op) for op in operations], fds)
        else:
            sealed = launch.seal("plan", data)
            launch._send(child, launch.PLAN, [sealed])
            os.close(sealed)
        while True:
            kind, first, second, third, fd = launch._receive(child)
            if kind == launch.CHILD:
                launch._become(child, first)
            elif kind == launch.SYNC:
                points.append(first)
            else:
                break
            given = answer(first, fd) if answer else None
            launch._send(child, launch.GO, [] if given is None else [given])
        failed = (first, second, third) if kind == launch.FAILED else None
        launch.reap_stages(child)
        return Outcome(failed, end(child), points)


def encoded(operations: list[Op], donated: int = 0) -> bytes:
    return plan.encode(operations, donated)
