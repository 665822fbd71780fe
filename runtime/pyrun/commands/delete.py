# SPDX-License-Identifier: Apache-2.0
"""delete: take a container away without a trace; with --force whatever state it is in."""

from __future__ import annotations

import os
import time

from pyrun import init, state, teardown
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Options

PATIENCE = 10.0  # seconds that a verb at work on the container gets to end


def run(opts: Options) -> int:
    """Idempotent: what a killed delete began, the next one finishes."""
    if opts["regex"]:
        from pyrun import pattern  # rare, and re takes 4 ms

        return pattern.each_match(opts, "delete", run)
    container = state.find(opts, opts["id"], salvage=opts["force"])
    if container is None:
        if opts["force"]:
            return 0
        raise state.no_such(opts["id"])
    if opts["force"] and not opts["init"]:
        _lock_by_force(container)
    elif not container.lock(wait=False):
        container.lock(wait=True)
    if container.gone():
        return 0 if opts["force"] else _refuse(opts["id"])
    (container.salvage if opts["force"] else container.read)()
    if opts["init"] and opts["init"] != container.state.get("init_process_pid"):
        return 0  # another of its name
    if not container.intent:
        # What a create that was killed at its very beginning has left: nothing but the name.
        container.remove()
        return 0 if opts["force"] else _refuse(opts["id"])
    status = init.status(container)
    if status not in (init.STOPPED, init.CREATED) and not opts["force"]:
        raise Error(f"cannot delete container {opts['id']} that is not stopped: {status}")
    if status != init.STOPPED or opts["force"]:
        teardown.kill(container)
    teardown.finish(container)
    return 0


def _refuse(container_id: str) -> int:
    raise state.no_such(container_id)


def _lock_by_force(container: Container) -> None:
    """Whoever holds the lock is making or starting it: with its init killed, that ends soon."""
    deadline = time.monotonic() + PATIENCE
    while not container.lock(wait=False):
        container.salvage()
        pidfd = init.open_init(container)
        if pidfd >= 0:
            init.signal(pidfd, 9)
            os.close(pidfd)
        if time.monotonic() > deadline:
            raise Error(
                f"container {container.id} is being worked on by another pyrun",
                hint="a hook may hang: end that pyrun, then try again",
            )
        time.sleep(0.02)
