# SPDX-License-Identifier: Apache-2.0
"""Two verbs on one container: the first is stopped at each of its system calls, the second runs,
the first goes on. One wins where one can, the other says so, nothing is left."""

from __future__ import annotations

import contextlib
import os
import random
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from faults.kinds import Kind
from faults.races import RACES, THAWING, Race, check_race, check_words
from faults.sampling import ALL, SEED, sample, tell
from faults.stops import Ended, Stop, numbers, state
from faults.verbs import (
    STATUSES,
    VERBS,
    alive,
    callers,
    points,
    prepare,
    reaping,
    run,
    status_of,
    words,
)
from life import leftovers
from life.bundles import Bundle
from life.runtimes import TIMEOUT, Container, eventually
from needs import needs
from pyrun.state import INTENT
from security.weakening import Defence, build

pytestmark = [needs("root"), pytest.mark.pyrun_only("the peers have no lock")]

POINTS = 1  # of each pair, in a sample
SECONDS = len(VERBS) - 1 if ALL else 2  # how many others are tried as the second
PLAIN = Kind()
PAUSE = 0.15  # seconds that the second verb sleeps in, until it is taken to wait for the first
TEMPLATES = 0.3  # seconds from one that is left to the next at least
MAKE_ONE = ("create", "run")
LET_LIVE = ("start", "exec", "pause", "resume", "update")
NO_LOCK = Defence(
    "the lock of a container", (("pyrun/state.py", "fcntl.flock(self.fd, ", "id("),), ()
)
(FLOCK,) = numbers(["flock"])


@pytest.fixture(autouse=ALL)
def time_limit() -> None:
    """None, in place of that of every other test here: all takes long."""


class Running:
    """A verb that somebody else waits for."""

    def __init__(self, container: Container, name: str, *, thaw: bool) -> None:
        self.name = name
        self.errors = container.bundle.path / "errors"
        null = subprocess.DEVNULL
        with self.errors.open("wb") as errors:
            prefix = ["sh", "-c", THAWING, "sh"] if thaw else []
            self.process = container.runtime.popen(
                *words(container, PLAIN, name),
                prefix=prefix,
                stdin=null,
                stdout=null,
                stderr=errors,
            )

    def go(self) -> None:
        """To its end, or until it waits: for the lock, or for anything else and long enough."""
        pidfd = os.pidfd_open(self.process.pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        seen = time.monotonic()
        while not poll.poll(2) and not self._waits() and time.monotonic() < seen + PAUSE:
            if busy(self.process.pid):
                seen = time.monotonic()
        os.close(pidfd)

    def _waits(self) -> bool:
        """For the lock: proc_pid_syscall(5) has the number of a call that blocks."""
        with contextlib.suppress(OSError):  # it has ended
            return Path(f"/proc/{self.process.pid}/syscall").read_text().startswith(f"{FLOCK} ")
        return False

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said. Raises TimeoutExpired."""
        return self.process.wait(TIMEOUT), self.errors.read_text()


def busy(pid: int) -> bool:
    """Whether a process or one of its children runs, or would if the machine had time for it."""
    with contextlib.suppress(OSError):  # it has ended
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return state(pid) in "RD" or any(busy(int(child)) for child in children)
    return False


def starting(
    container: Container, first: str, second: str, at: int, begun: list[Running]
) -> Callable[[Stop], None]:
    """Runs a second verb at this stop of the first one, to its end or as long as it may take."""
    thaw = second == "pause" != first

    def decide(stop: Stop) -> None:
        if stop.index == at:
            begun.append(Running(container, second, thaw=thaw))
            begun[0].go()

    return decide


def race_of(first: str, second: str) -> Race | None:
    """Where it is known who wins, whichever comes first."""
    if first == second or {first, second} == {"create", "run"}:
        return RACES[first]
    return None


@pytest.mark.parametrize("first", VERBS)
def test_pairs(container: Container, bundle: Bundle, first: str) -> None:
    pair = Pair(container, bundle, first)
    others = [name for name in VERBS if name != first]
    wrong = []
    for second in [first, *random.Random(f"{SEED}{first}").sample(others, SECONDS)]:
        begin = time.monotonic()
        tried = sample(pair.points, POINTS)
        found = [error for at in tried if (error := pair.at(second, at))]
        way = "python" if "PYRUN_NO_FAST" in os.environ else "short"
        taken = f"{time.monotonic() - begin:.0f} s"
        tell(f"{first} {second} {way}: {len(tried)} points, {pair.missed} missed, {taken}")
        wrong += found
    assert wrong == [], "\n".join(wrong)
    assert pair.missed <= 1 + len(pair.points) // 5


@pytest.mark.one_way("Python's lock, which is taken out of it")
def test_a_lock_that_is_missing_is_seen(
    container: Container,
    bundle: Bundle,
    tmp_path: Path,
    pyrun: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two who have made no record yet both take the folder for theirs."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    wrong = []
    for program in (pyrun, build(tmp_path / "weak", pyrun, NO_LOCK)):
        container.runtime.path = str(program)
        pair = Pair(container, bundle, "create")
        assert pair.traced.code == 0
        stops = pair.traced.stops
        at = next(stop.index for stop in stops if stop.path.startswith(f".{INTENT}"))
        wrong.append(pair.at("create", at))
    assert [bool(error) for error in wrong] == [False, True], wrong


class Pair:
    """A verb that others come between; `missed`: how often it ended before its stop."""

    def __init__(self, container: Container, bundle: Bundle, first: str) -> None:
        self.container = container
        self.first = first
        self.missed = 0
        bundle.linux["resources"]["memory"] = {"limit": 96 << 20}
        bundle.say("sleep 100")
        bundle.save()
        container.created("sleep 100")  # the parents of its cgroups are there, as they are later
        assert container.delete("--force").code == 0
        self.before = leftovers.look([container.runtime.root])
        for _ in range(3):  # the first ones may leave templates, which all that follow take
            prepare(container, PLAIN, VERBS[first].before)
            time.sleep(TEMPLATES)
            self.traced = run(container, PLAIN, first)
            with reaping(callers(self.traced)):
                self.check_gone()
        self.points = [stop.index for stop in points(container, self.traced)]

    def at(self, second: str, at: int) -> str:
        """Another verb at this stop: what does not hold then, "" if all does."""
        container, first = self.container, self.first
        prepare(container, PLAIN, VERBS[first].before)
        begun: list[Running] = []
        ended = run(container, PLAIN, first, starting(container, first, second, at, begun))
        self.missed += not begun
        try:
            with reaping(callers(ended)):
                self.check(ended, begun)
                self.check_gone()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            stop = ended.stops[at] if at < len(ended.stops) else None
            wrong = f"{second} at {stop}: {error}: {ended.code} {ended.errors!r}"
            tell(f"{first} {wrong}")
            leftovers.clear()
            container.delete("--force")
            return wrong
        return ""

    def check(self, ended: Ended, begun: Sequence[Running]) -> None:
        """Both have ended: who has won, what they say, and what there is."""
        container, first = self.container, self.first
        assert not ended.hung
        check_words(first, ended.code, ended.errors)
        for other in begun:
            if (first, other.name) == ("pause", "exec"):
                container.runtime("resume", container.id)
            result = other.end()
            check_words(other.name, *result)
            if first in MAKE_ONE and other.name in LET_LIVE:
                assert ended.code == 0, "nobody was against it"
            if race := race_of(first, other.name):
                check_race(race, [(ended.code, ended.errors), result])
        status = status_of(container)
        assert status in ("", *STATUSES)
        if status == "stopped":  # it has no init
            pid = container.state().get("pid", 0)
            assert not pid or eventually(lambda: not alive(pid), 2)

    def check_gone(self) -> None:
        """`delete --force` takes it away, and the id is free."""
        container = self.container
        result = container.delete("--force")
        assert (result.code, result.err) == (0, "")
        left = leftovers.wait_until_clean(self.before, [container.runtime.root])
        assert left == [], f"left behind: {left}"
        if self.first not in MAKE_ONE:  # else the next of them shows it
            assert container.create("sleep 100").code == 0
            assert container.delete("--force").code == 0
