# SPDX-License-Identifier: Apache-2.0
"""What --trace writes: a trace in Chrome's format, which Perfetto and chrome://tracing open. Times
are microseconds of CLOCK_MONOTONIC; each process is a track. Loaded when all is over."""

from __future__ import annotations

import os

from pyrun import __version__, describe, jsonscan
from pyrun.linux import CLONE_NEWTIME
from pyrun.tracing import WORD, clock_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.state import Container
    from pyrun.tracing import Plan, Slice
    from pyrun.types import Step

    Event = dict[str, Any]
    Started = tuple[Container, int, int, str] | None  # of `start`: what _rest() takes

# Operations in which the executor waits for somebody, and so do we for it: no work of either.
LATE = 1_000_000  # microseconds by which the executor's last time may come after ours
WAITS = ("sync", "sync_send", "sync_receive", "wait_start")


def keep(plan: Plan) -> None:
    """Put a plan in words behind its times, in the file that stays in the state folder."""
    os.pwrite(plan.fd, jsonscan.dumps(_words(plan)).encode(), WORD * (len(plan.steps) + 1))


def _words(plan: Plan) -> list[list[str]]:
    """The field, the name and the line of each operation."""
    return [
        [describe.field(pointer), op[0], describe.line(op, plan.donated)]
        for pointer, op in plan.steps
    ]


def text(
    verb: str, span: tuple[int, int], slices: list[Slice], plans: list[Plan], started: Started
) -> str:
    """The file's content."""
    own = os.getpid()
    events = [_track(own, f"pyrun {verb}"), _slice(own, verb, "verb", span, {})]
    events += [_slice(own, what, kind, (start, stop), {}) for what, kind, start, stop in slices]
    done: list[Event] = []
    for plan in plans:
        times = _own_clock(_times(plan.fd, len(plan.steps)), _entry_of_time(plan.steps), plan.clock)
        done += _executed(plan.pid, _words(plan), times, 0, plan.end)
    if started:
        done += _rest(*started)
    # Of a process that ends before its clock is known nobody can tell when it did what.
    first, last = span[0] / 1000, span[1] / 1000 + LATE
    events += [e for e in done if e["ph"] != "X" or first <= e["ts"] <= last - e["dur"]]
    document = {
        "displayTimeUnit": "ns",
        "otherData": {"program": f"pyrun {__version__}", "verb": verb},
        "traceEvents": events,
    }
    return jsonscan.dumps(document) + "\n"


def _times(fd: int, count: int) -> list[int]:
    found: list[int] = memoryview(os.pread(fd, WORD * (count + 1), 0)).cast("Q").tolist()
    return found


def _rest(container: Container, fd: int, end: int, clock: str) -> list[Event]:
    """What a traced `create` has left and `start` has seen the end of: the operations behind the
    exec fifo, until the program ran (0: it does not)."""
    rest, pid = container.state["rest"], container.state["init_process_pid"]
    count = rest["first"] + len(rest["ops"])
    data = os.pread(fd, os.fstat(fd).st_size, WORD * (count + 1))
    if not data:
        return []  # of a create that was killed when it had all but ended
    words: Any = jsonscan.loads(data, "trace")
    times = _own_clock(_times(fd, count), 0, clock)
    return _executed(pid, words, times, rest["first"] + 1, end)


def _own_clock(times: list[int], shifted: int, clock: str) -> list[int]:
    """The times by our own clock: those from this operation on were taken by another."""
    offset = _ahead(clock) - _ahead(clock_of(os.getpid())) if shifted < len(times) - 1 else 0
    return [t - offset if t and i > shifted else t for i, t in enumerate(times)]


def _entry_of_time(steps: list[Step]) -> int:
    """The index of the operation that ends in another time namespace; one behind the last if there
    is none."""
    made = False
    for index, (_, (name, operands, _)) in enumerate(steps):
        flags = operands[-1] if name in ("setns", "unshare") else 0
        assert isinstance(flags, int)
        made |= name == "unshare" and bool(flags & CLONE_NEWTIME)
        if (name == "setns" and flags & CLONE_NEWTIME) or (made and name == "fork_init"):
            return index
    return len(steps)


def _ahead(clock: str) -> int:
    """Nanoseconds of CLOCK_MONOTONIC, of what clock_of() gives."""
    words = clock.split()
    return int(words[1]) * 1_000_000_000 + int(words[2]) if words else 0


def _executed(
    pid: int, words: list[list[str]], times: list[int], first: int, end: int
) -> list[Event]:
    """The operations that have ended; and together those that were too late to tell when, if the
    program ran."""
    events = []
    start, done = times[first], first
    for index in range(first, len(words)):
        field, name, line = words[index]
        stop = times[index + 1]
        if not start or stop < start:
            break  # not yet, or nobody can tell
        kind = "wait" if name in WAITS else "operation"
        more = {"field": field, "operation": line}
        events.append(_slice(pid, name, kind, (start, stop), more))
        start, done = stop, index + 1
    rest = words[done:]
    if rest and end > start > 0:
        more = {"field": rest[-1][0], "operation": "; ".join(line for _, _, line in rest)}
        name = ", ".join(name for _, name, _ in rest)
        events.append(_slice(pid, name, "operation", (start, end), more))
    return [_track(pid, "executor"), *events] if events else []


def _track(pid: int, name: str) -> Event:
    return {"name": "process_name", "ph": "M", "pid": pid, "tid": pid, "args": {"name": name}}


def _slice(pid: int, name: str, kind: str, span: tuple[int, int], more: dict[str, str]) -> Event:
    start, stop = span
    return {
        "name": name,
        "cat": kind,
        "ph": "X",
        "ts": start / 1000,
        "dur": (stop - start) / 1000,
        "pid": pid,
        "tid": pid,
        "args": more,
    }
