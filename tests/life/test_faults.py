# SPDX-License-Identifier: Apache-2.0
"""Each system call of each verb fails, or is the last one of its process: the verb ends in time,
says what failed, claims nothing that is not so; `delete --force` takes all of it away, and the id
can be used again. Of every call and every fault with PYRUN_SWEEP=all (`make faults`), else of a
sample."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.sampling import ALL, sample
from faults.stops import EFFECTS, PATHS, PLACES, Ended, Stop, Stopped
from life import leftovers
from life.bundles import Bundle
from life.runtimes import Container, eventually
from needs import needs

pytestmark = [needs("root"), pytest.mark.pyrun_only("no peer keeps this promise")]

POINTS = 4  # of each verb, in a sample
CALLS = (*PATHS, *PLACES, *EFFECTS)
STATUSES = ("creating", "created", "running", "paused", "stopped")
# "runtime": the verb's own process is killed; "caller": the one that makes the call, which may be
# the executor.
FAULTS: tuple[int | str, ...] = (
    errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.EINTR, "runtime", "caller",
)  # fmt: skip
# Of a process that ends, or of another: its failure can't be had.
NEVER_FAIL = frozenset({"kill", "wait4", "waitid", "pidfd_send_signal"})
# What a signal may interrupt.
SLOW = frozenset({"openat2", "recvmsg", "sendmsg", "write", "flock", "fdatasync", "fsync"})
# The other half of the interpreter, when it finds no way to start: Python says it in its own form.
FATAL = "Fatal Python error"


@pytest.fixture(autouse=ALL)
def time_limit() -> None:
    """None, in place of that of every other test here: all takes long."""


class Verb(NamedTuple):
    """`before`: what the container has to be; `after`: what it is if the verb succeeds ("" for
    gone)."""

    words: tuple[str, ...]
    before: str
    after: tuple[str, ...]


VERBS = {
    "create": Verb(("create", "--bundle", "BUNDLE", "ID"), "", ("created",)),
    "run": Verb(("run", "--detach", "--bundle", "BUNDLE", "ID"), "", ("running",)),
    "start": Verb(("start", "ID"), "created", ("running",)),
    "exec": Verb(("exec", "ID", "/payload", "print", "up"), "running", ("running",)),
    "kill": Verb(("kill", "ID", "KILL"), "running", ("running", "stopped")),
    "pause": Verb(("pause", "ID"), "running", ("paused",)),
    "resume": Verb(("resume", "ID"), "paused", ("running",)),
    "update": Verb(("update", "--memory", "64M", "ID"), "running", ("running",)),
    "delete": Verb(("delete", "ID"), "stopped", ()),
    "force": Verb(("delete", "--force", "ID"), "running", ()),
}


def prepare(container: Container, status: str) -> None:
    """A container in this status; "": none."""
    if not status:
        return
    container.created("sleep 100")
    if status != "created":
        assert container.start().code == 0
    if status == "stopped":
        assert container.kill().code == 0
        container.wait()
    elif status == "paused":
        assert container.runtime("pause", container.id).code == 0


def run(
    container: Container, verb: Verb, decide: Callable[[Stop], int | None] = lambda _: None
) -> Ended:
    """The verb, with a way to let its calls fail."""
    names = {"BUNDLE": str(container.bundle.path), "ID": container.id}
    words = [names.get(word, word) for word in verb.words]
    return Stopped(container.runtime.command(*words), CALLS, decide).run()


def points(container: Container, ended: Ended) -> list[int]:
    """The stops from the first that has to do with this container."""
    names = (str(container.runtime.root), str(container.bundle.path))
    begun = next(stop.index for stop in ended.stops if stop.path.startswith(names))
    return [stop.index for stop in ended.stops if stop.index >= begun and stop.call != "execve"]


def failing(at: int, fault: int | str) -> Callable[[Stop], int | None]:
    """What happens at that stop."""
    first: list[int] = []

    def decide(stop: Stop) -> int | None:
        first.append(stop.pid)  # the verb's own process makes the first call
        if stop.index != at:
            return None
        if isinstance(fault, int):
            fits = stop.call in SLOW if fault == errno.EINTR else stop.call not in NEVER_FAIL
            return fault if fits else None
        os.kill(first[0] if fault == "runtime" else stop.pid, signal.SIGKILL)
        return None

    return decide


def status_of(container: Container) -> str:
    """What `state` says; "" for no such container."""
    result = container.runtime("state", container.id)
    if result.code:
        assert "does not exist" in result.err, result
        return ""
    return next(word for word in STATUSES if f'"status": "{word}"' in result.out)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def check(container: Container, verb: Verb, ended: Ended, fault: int | str) -> None:
    """What the verb says is so (I6, I7, I8)."""
    assert not ended.hung, "it hangs"
    if FATAL not in ended.errors:
        assert "Traceback" not in ended.errors
        assert "internal error" not in ended.errors
        assert ended.errors.count("\n") <= 1, ended.errors
    status = status_of(container)
    if status == "stopped":
        pid = container.state().get("pid", 0)
        assert not pid or not alive(pid), "stopped, and its init lives"
    if ended.code == 0:
        wanted = verb.after or ("",)
        assert eventually(lambda: status_of(container) in wanted, 2), f"{status}: not {wanted}"
    elif isinstance(fault, int):
        assert ended.errors.strip(), "it fails without a word"
        # A hook that fails at start takes the container with it.
        assert status in (verb.before, "") or not verb.after, f"it failed, and is {status}"


def check_gone(container: Container, before: leftovers.Host) -> None:
    """`delete --force` takes it away, and the id is free (I1 to I5, I9)."""
    result = container.delete("--force")
    assert (result.code, result.err) == (0, "")
    left = leftovers.wait_until_clean(before, [container.runtime.root])
    assert left == [], f"left behind: {left}"
    assert container.create("sleep 100").code == 0
    assert container.delete("--force").code == 0


@contextlib.contextmanager
def reaping(ended: Ended) -> Iterator[None]:
    """As an engine's shim does: a container's pid namespace ends when every process in it is waited
    for, and those that lose their parent are ours."""
    over = threading.Event()

    def reap() -> None:
        pids = {stop.pid for stop in ended.stops}
        while not over.wait(0.01):
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def plain(_bundle: Bundle) -> None:
    """As it is."""


def staged(bundle: Bundle) -> None:
    """In a user namespace, by two stages, with hooks."""
    bundle.map_ids()
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 500000}}
    bundle.config["hooks"] = {
        kind: [{"path": "/bin/true"}] for kind in ("createRuntime", "poststart", "poststop")
    }


KINDS = {"plain": plain, "staged": staged}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VERBS)
def test_faults(container: Container, bundle: Bundle, name: str, kind: str) -> None:
    verb = VERBS[name]
    bundle.linux["resources"]["memory"] = {"limit": 96 << 20}
    bundle.say("sleep 100")
    KINDS[kind](bundle)
    bundle.save()
    container.created("sleep 100")  # the parents of its cgroups are there, as they are later
    assert container.delete("--force").code == 0
    before = leftovers.look([container.runtime.root])
    prepare(container, verb.before)
    traced = run(container, verb)
    assert traced.code == 0, traced
    with reaping(traced):
        check_gone(container, before)
    every = [(at, fault) for at in points(container, traced) for fault in FAULTS]
    wrong = []
    for at, fault in sample(every, POINTS):
        prepare(container, verb.before)
        ended = run(container, verb, failing(at, fault))
        try:
            with reaping(ended):
                check(container, verb, ended, fault)
                check_gone(container, before)
        except AssertionError as error:
            stop = ended.stops[at] if at < len(ended.stops) else None
            wrong.append(f"{fault} at {stop}: {error}: code {ended.code}, {ended.errors!r}")
            leftovers.clear()
            container.delete("--force")
    assert wrong == [], "\n".join(wrong)


@pytest.mark.both_ways
def test_start_leaves_a_fifo_that_stays(container: Container, bundle: Bundle) -> None:
    """The program runs by then: that is no failure of start."""
    container.created("sleep 100")

    def decide(stop: Stop) -> int | None:
        return errno.EIO if stop.call == "unlinkat" and stop.path.endswith(".fifo") else None

    ended = run(container, VERBS["start"], decide)
    assert (ended.code, ended.errors) == (0, "")
    assert status_of(container) == "running"
    assert (container.runtime.root / container.id / "exec.fifo").exists()


def test_run_says_that_the_init_got_no_answer(container: Container, bundle: Bundle) -> None:
    """No memory for the last message to the executor: it told nobody, and that was success."""
    bundle.say("sleep 100")
    bundle.save()
    traced = run(container, VERBS["run"])
    assert container.delete("--force").code == 0
    first = traced.stops[0].pid
    left = sum(stop.call == "recvmsg" and stop.pid != first for stop in traced.stops)
    runtime: list[int] = []

    def decide(stop: Stop) -> int | None:
        nonlocal left
        runtime.append(stop.pid)
        if stop.call != "recvmsg" or stop.pid == runtime[0]:
            return None
        left -= 1
        return None if left else errno.ENOMEM

    ended = run(container, VERBS["run"], decide)
    assert ended.code == 1
    assert "cannot allocate memory" in ended.errors
    assert status_of(container) == ""
