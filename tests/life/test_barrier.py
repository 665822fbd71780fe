# SPDX-License-Identifier: Apache-2.0
"""Sixteen command lines that begin at the same moment, on one id and on as many: one wins where one
can, the others say clearly why not, and nothing is left. Of every verb, and of any mixture."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

from faults.kinds import Kind
from faults.races import RACES, THAWING, check_race, check_words
from faults.sampling import ALL, SEED
from faults.verbs import VERBS, prepare, reaping, status_of, words
from life import leftovers
from life.runtimes import Container, eventually
from needs import needs

pytestmark = [needs("root"), pytest.mark.pyrun_only("the peers have no lock")]

COUNT = 16
ROUNDS = 200 if ALL else 1
SECONDS = 60  # that sixteen at once may take
PLAIN = Kind()
# Reads until all are there: then the other end is closed.
WAITING = 'read -r _; exec "$@" </dev/null'


@pytest.fixture(autouse=ALL)
def time_limit() -> None:
    """None, in place of that of every other test here: all takes long."""


def at_once(lines: Sequence[tuple[Container, str]], *, thaw: bool = False) -> list[tuple[int, str]]:
    """(exit code, what it said) of each (container, verb); all begin at the same moment."""
    begin, end = os.pipe()
    processes = []
    for container, name in lines:
        prefix = ["sh", "-c", WAITING, "sh"]
        if thaw and name == "pause":
            prefix += ["sh", "-c", THAWING, "sh"]
        processes.append(
            container.runtime.popen(
                *words(container, PLAIN, name),
                prefix=prefix,
                stdin=begin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        )
    os.close(begin)
    own = {process.pid for process in processes}

    def others() -> Collection[int]:
        return set(leftovers.children()) - own

    with reaping(others):
        os.close(end)
        return [(p.wait(SECONDS), _said(p)) for p in processes]


def _said(process: subprocess.Popen[bytes]) -> str:
    """By a process that has ended; a program that goes on may hold the pipe open."""
    assert process.stderr
    os.set_blocking(process.stderr.fileno(), False)
    with process.stderr as pipe:
        return (pipe.read() or b"").decode()


def forget(containers: Sequence[Container], before: leftovers.Host) -> None:
    """`delete --force` of all at once leaves nothing."""
    results = at_once([(container, "force") for container in containers])
    assert set(results) == {(0, "")}
    left = leftovers.wait_until_clean(before, [containers[0].runtime.root])
    assert left == [], f"left behind: {left}"


@pytest.fixture
def rounds(make_container: Callable[[], Container]) -> Iterator[Callable[[int], list[Container]]]:
    """As many containers as are asked for, not created yet."""

    def make(count: int) -> list[Container]:
        containers = [make_container() for _ in range(count)]
        for container in containers:
            container.bundle.linux["resources"]["memory"] = {"limit": 96 << 20}
            container.bundle.say("sleep 100")
            container.bundle.save()
        return containers

    return make


@pytest.mark.parametrize("name", VERBS)
def test_one_id(rounds: Callable[[int], list[Container]], name: str) -> None:
    """Sixteen of one verb."""
    (container,) = rounds(1)
    race = RACES[name]
    container.created()
    assert container.delete("--force").code == 0
    before = leftovers.look([container.runtime.root])
    for _ in range(ROUNDS):
        prepare(container, PLAIN, VERBS[name].before)
        results = at_once([(container, name)] * COUNT)
        for code, said in results:
            check_words(name, code, said)
        check_race(race, results)
        assert eventually(lambda: status_of(container) in race.after, 3), status_of(container)
        forget([container], before)


def test_one_id_any_verbs(rounds: Callable[[int], list[Container]]) -> None:
    """A create and fifteen others: at the end it is what one order of them would have made."""
    (container,) = rounds(1)
    container.created()
    assert container.delete("--force").code == 0
    choose = random.Random(SEED)
    before = leftovers.look([container.runtime.root])
    for _ in range(ROUNDS):
        verbs = ["create", *choose.choices(list(VERBS), k=COUNT - 1)]
        results = at_once([(container, name) for name in verbs], thaw=True)
        for name, (code, said) in zip(verbs, results, strict=True):
            check_words(name, code, said)
        status = status_of(container)
        assert status in ("", "created", "running", "paused", "stopped"), (verbs, results)
        forget([container], before)


def test_different_ids(rounds: Callable[[int], list[Container]]) -> None:
    """Sixteen containers take every verb together: all succeed, for none has to do with another."""
    containers = rounds(COUNT)
    before = leftovers.look([containers[0].runtime.root])
    for number in range(ROUNDS):
        deleting = "delete" if number % 2 else "force"
        steps = ["create", "start", "exec", "update", "pause", "resume", "kill", deleting, "run"]
        for name in steps:
            results = at_once([(container, name) for container in containers])
            assert {code for code, _ in results} == {0}, (name, results)
            wanted = VERBS[name].after
            for container in containers:
                assert eventually(lambda: status_of(container) == wanted, 3), name  # noqa: B023
        forget(containers, before)


def test_different_ids_any_verbs(rounds: Callable[[int], list[Container]]) -> None:
    """Each in the status that its verb wants: all succeed."""
    containers = rounds(COUNT)
    choose = random.Random(SEED)
    before = leftovers.look([containers[0].runtime.root])
    for _ in range(ROUNDS):
        lines = [(container, choose.choice(list(VERBS))) for container in containers]
        for container, name in lines:
            prepare(container, PLAIN, VERBS[name].before)
        results = at_once(lines)
        assert {code for code, _ in results} == {0}, (lines, results)
        for container, name in lines:
            wanted = VERBS[name].after
            assert eventually(lambda: status_of(container) == wanted, 3), name  # noqa: B023
        forget(containers, before)
