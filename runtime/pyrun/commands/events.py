# SPDX-License-Identifier: Apache-2.0
"""events: what a container uses, and when it runs out of memory, as JSON lines in runc's form."""

from __future__ import annotations

import json
import os
import select
import time

from pyrun import duration, init, log, state
from pyrun.cgroup import oom, stats
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Prints until the container's init has ended; with --stats one line."""
    interval = duration.seconds(opts["interval"], "--interval")
    container = state.require(opts, opts["id"])
    pidfd = init.open_init(container)
    if pidfd < 0:
        raise Error(f"container with id {container.id} is not running")
    stats.require(container.intent["cgroup"])
    if opts["stats"]:
        _print_stats(container)
    else:
        _follow(container, pidfd, interval)
    return 0


def _follow(container: Container, pidfd: int, interval: float) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    watch = oom.watch(container.intent["cgroup"])
    if watch:
        poll.register(watch.fd, watch.mask)
    else:
        log.warning("no memory controller: no event tells that the container ran out of memory")
    due = time.monotonic() + interval
    while True:
        ready = [fd for fd, _ in poll.poll(max(0, due - time.monotonic()) * 1000)]
        # Before the end: it may be what has ended the container.
        for _ in range(watch.happened() if watch else 0):
            _print({"type": "oom", "id": container.id})
        if pidfd in ready:
            return
        if time.monotonic() >= due:
            _try_stats(container, pidfd)
            due = max(due + interval, time.monotonic())


def _try_stats(container: Container, pidfd: int) -> None:
    """One failure is no end, as with runc."""
    try:
        _print_stats(container)
    except Error as error:
        if not init.wait_end(pidfd, 0):
            log.error(str(error))


def _print_stats(container: Container) -> None:
    data = stats.read(container.intent["cgroup"])
    _print({"type": "stats", "id": container.id, "data": data})


def _print(event: dict[str, object]) -> None:
    os.write(1, f"{json.dumps(event, separators=(',', ':'))}\n".encode())
