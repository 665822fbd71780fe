# SPDX-License-Identifier: Apache-2.0
"""Two verbs on one container: the first is stopped at each of its system calls, the second runs,
the first goes on. One wins where one can, the other says so, nothing is left."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable

import pytest

from faults.kinds import Kind
from faults.races import RACES, THAWING, Race, check_race, check_words
from faults.sampling import ALL, SEED, sample
from faults.stops import Stop
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

pytestmark = [needs("root"), pytest.mark.pyrun_only("the peers have no lock")]

POINTS = 1  # of each pair, in a sample
SECONDS = len(VERBS) - 1 if ALL else 2  # how many others are tried as the second
WAYS = (False, True) if ALL else (False,)  # whether all verbs go by Python
PLAIN = Kind()
PAUSE = 0.15  # seconds that the second verb has: it may wait for the first, which holds the lock


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

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said. Raises TimeoutExpired."""
        return self.process.wait(TIMEOUT), self.errors.read_text()


def starting(
    container: Container, first: str, second: str, at: int, begun: list[Running]
) -> Callable[[Stop], None]:
    """Runs a second verb at this stop of the first one, to its end or as long as it may take."""
    thaw = second == "pause" != first

    def decide(stop: Stop) -> None:
        if stop.index == at:
            begun.append(Running(container, second, thaw=thaw))
            try:
                begun[0].process.wait(PAUSE)
            except subprocess.TimeoutExpired:
                return  # it waits for the first one

    return decide


def race_of(first: str, second: str) -> Race | None:
    """Where it is known who wins, whichever comes first."""
    if first == second or {first, second} == {"create", "run"}:
        return RACES[first]
    return None


@pytest.mark.parametrize("first", VERBS)
@pytest.mark.parametrize("python", WAYS, ids=str)
def test_pairs(
    container: Container,
    bundle: Bundle,
    first: str,
    python: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if python:
        monkeypatch.setenv("PYRUN_NO_FAST", "1")
    bundle.linux["resources"]["memory"] = {"limit": 96 << 20}
    bundle.say("sleep 100")
    bundle.save()
    container.created("sleep 100")  # the parents of its cgroups are there, as they are later
    assert container.delete("--force").code == 0
    before = leftovers.look([container.runtime.root])
    wrong = []
    prepare(container, PLAIN, VERBS[first].before)
    traced = run(container, PLAIN, first)
    with reaping(callers(traced)):
        check_gone(container, before)
    others = [name for name in VERBS if name != first]
    for second in [first, *random.Random(f"{SEED}{first}").sample(others, SECONDS)]:
        for at in sample([stop.index for stop in points(container, traced)], POINTS):
            prepare(container, PLAIN, VERBS[first].before)
            begun: list[Running] = []
            ended = run(container, PLAIN, first, starting(container, first, second, at, begun))
            try:
                with reaping(callers(ended)):
                    assert not ended.hung
                    check_words(first, ended.code, ended.errors)
                    if (first, second) == ("pause", "exec"):
                        container.runtime("resume", container.id)
                    for other in begun:
                        result = other.end()
                        check_words(second, *result)
                        if race := race_of(first, second):
                            check_race(race, [(ended.code, ended.errors), result])
                    _check_status(container)
                    check_gone(container, before)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                stop = ended.stops[at] if at < len(ended.stops) else None
                wrong.append(f"{second} at {stop}: {error}: {ended.code} {ended.errors!r}")
                leftovers.clear()
                container.delete("--force")
    assert wrong == [], "\n".join(wrong)


def check_gone(container: Container, before: leftovers.Host) -> None:
    """`delete --force` takes it away, and the id is free."""
    result = container.delete("--force")
    assert (result.code, result.err) == (0, "")
    left = leftovers.wait_until_clean(before, [container.runtime.root])
    assert left == [], f"left behind: {left}"
    assert container.create("sleep 100").code == 0
    assert container.delete("--force").code == 0


def _check_status(container: Container) -> None:
    """It is one of those that there are, and a container that has stopped has no init."""
    status = status_of(container)
    assert status in ("", *STATUSES)
    if status == "stopped":
        pid = container.state().get("pid", 0)
        assert not pid or eventually(lambda: not alive(pid), 2)
