# SPDX-License-Identifier: Apache-2.0
"""The verbs that are swept over: what each takes and makes, and how its calls are let fail."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from faults.kinds import Kind
from faults.stops import EFFECTS, IDENTITY, NEVER, PATHS, PLACES, Ended, Stop, Stopped
from life.runtimes import Container

CALLS = (*PATHS, *PLACES, *EFFECTS, *IDENTITY)
STATUSES = ("creating", "created", "running", "paused", "stopped")
# "runtime": the verb's own process is killed; "caller": the one that makes the call, which may be
# the executor or a hook.
FAULTS: tuple[int | str, ...] = (
    errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.EINTR, "runtime", "caller",
)  # fmt: skip
# Of a process that ends, or of another: its failure can't be had.
# close_range fails for wrong arguments alone, and C libraries then close every number there is;
# poll takes no memory for a few descriptors.
NEVER_FAIL = frozenset(
    {"kill", "wait4", "waitid", "pidfd_send_signal", "close_range", "poll", "ppoll"}
)
# What a signal may interrupt.
PROGRAM = "/payload"
SLOW = frozenset(
    {"openat2", "recvmsg", "sendmsg", "write", "flock", "fdatasync", "fsync", "connect"}
)


class Verb(NamedTuple):
    """`before`: what the container has to be; `after`: what it is if the verb succeeds ("" for
    gone)."""

    words: tuple[str, ...]
    before: str
    after: str


VERBS = {
    "create": Verb(("create", "--bundle", "BUNDLE", "ID"), "", "created"),
    "run": Verb(("run", "--detach", "--bundle", "BUNDLE", "ID"), "", "running"),
    "start": Verb(("start", "ID"), "created", "running"),
    "exec": Verb(("exec", "ID", "/payload", "print", "up"), "running", "running"),
    "kill": Verb(("kill", "ID", "KILL"), "running", "stopped"),
    "pause": Verb(("pause", "ID"), "running", "paused"),
    "resume": Verb(("resume", "ID"), "paused", "running"),
    "update": Verb(("update", "ID"), "running", "running"),
    "delete": Verb(("delete", "ID"), "stopped", ""),
    "force": Verb(("delete", "--force", "ID"), "running", ""),
}


def words(container: Container, kind: Kind, name: str) -> list[str]:
    """A verb's words, for a container of this kind."""
    names = {"BUNDLE": str(container.bundle.path), "ID": container.id}
    first, *rest = VERBS[name].words
    flags = [first, *(str(flag) for flag in kind.flags(container, name)), *rest]
    return [*kind.options, *(names.get(word, word) for word in flags)]


def prepare(container: Container, kind: Kind, status: str, *, created: bool = False) -> None:
    """A container in this status; "": none. `created`: it is there already."""
    if not status:
        return
    if not created:
        flags = kind.flags(container, "create")
        container.created("sleep 100", options=kind.options, flags=flags)
    if status != "created":
        assert container.start().code == 0
    if status == "stopped":
        assert container.kill().code == 0
        container.wait()
    elif status == "paused":
        assert container.runtime("pause", container.id).code == 0


def run(
    container: Container,
    kind: Kind,
    name: str,
    decide: Callable[[Stop], int | None] = lambda _: None,
) -> Ended:
    """The verb, with a way to let its calls fail."""
    return Stopped(container.runtime.command(*words(container, kind, name)), CALLS, decide).run()


def points(container: Container, ended: Ended) -> list[Stop]:
    """The stops from the first that has to do with this container, as long as they are ours."""
    names = (str(container.runtime.root), str(container.bundle.path))
    begun = next(stop.index for stop in ended.stops if stop.path.startswith(names))
    # What the user's program does then is its own affair.
    programs = {stop.pid: stop.index for stop in ended.stops if is_program(stop)}
    # An init that waits for `start` reads, or soon will: it has told that it is created.
    waits = {stop.pid: stop for stop in ended.stops}
    waiting = [stop for stop in waits.values() if stop.process and stop.call == "read"]
    return [
        stop
        for stop in ended.stops
        if begun <= stop.index <= programs.get(stop.pid, len(ended.stops)) and stop not in waiting
    ]


def is_program(stop: Stop, program: str = PROGRAM) -> bool:
    """Whether the caller becomes a program of the container."""
    return stop.call == "execve" and stop.path == program


def fits(stop: Stop, fault: int | str) -> bool:
    """Whether this can happen there."""
    if not isinstance(fault, int):
        return True
    return stop.call in SLOW if fault == errno.EINTR else stop.call not in NEVER_FAIL


def last_message(traced: Ended, *, runtime: bool, times: int) -> Callable[[Stop], int | None]:
    """No memory, so many times, for the last message that the runtime receives, or the executor."""

    def theirs(stop: Stop, first: int) -> bool:
        return stop.call == "recvmsg" and (stop.pid == first) == runtime

    left = sum(theirs(stop, traced.stops[0].pid) for stop in traced.stops)
    seen: list[int] = []

    def decide(stop: Stop) -> int | None:
        nonlocal left
        seen.append(stop.pid)
        if not theirs(stop, seen[0]):
            return None
        left -= 1
        return errno.ENOMEM if -times < left <= 0 else None

    return decide


class Failing:
    """What happens at the stop that was `at` there in another run: at the same call of the same
    process, or the next of its kind. `hit` is where it was; a program of the container is left
    alone."""

    def __init__(self, at: Stop, fault: int | str) -> None:
        self.at = at
        self.fault = fault
        self.first = 0
        self.programs: set[int] = set()
        self.hit: Stop | None = None

    def __call__(self, stop: Stop) -> int | None:
        """The decision at a stop."""
        self.first = self.first or stop.pid  # the verb's own process makes the first call
        ours = stop.pid not in self.programs
        if is_program(stop):
            self.programs.add(stop.pid)
        same = (stop.process, stop.call) == (self.at.process, self.at.call)
        if self.hit or not (ours and same and stop.nth >= self.at.nth):
            return None
        self.hit = stop
        if isinstance(self.fault, int):
            return self.fault if fits(stop, self.fault) else None
        victim = self.first if self.fault == "runtime" else stop.pid
        os.kill(victim, signal.SIGKILL)
        return NEVER if victim == stop.pid else None


def state_of(container: Container) -> dict[str, Any]:
    """What `state` says; nothing for no such container."""
    result = container.runtime("state", container.id)
    if result.code:
        assert "does not exist" in result.err, result
        return {}
    found: dict[str, Any] = json.loads(result.out)
    return found


def status_of(container: Container) -> str:
    """What `state` says of that; "" for no such container."""
    return str(state_of(container).get("status", ""))


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextlib.contextmanager
def reaping(pids: Callable[[], Collection[int]]) -> Iterator[None]:
    """As an engine's shim does: a container's pid namespace ends when every process in it is waited
    for, and those that lose their parent are ours."""
    over = threading.Event()

    def reap() -> None:
        while not over.wait(0.01):
            for pid in pids():
                with contextlib.suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def callers(ended: Ended) -> Callable[[], Collection[int]]:
    """Every process that was heard, for reaping()."""
    pids = {stop.pid for stop in ended.stops}
    return lambda: pids
