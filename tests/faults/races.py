# SPDX-License-Identifier: Apache-2.0
"""Verbs that run at the same time on one container: who wins, and what the losers say."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple

# What joins a container that is frozen meanwhile waits with it: who pauses thaws it again.
THAWING = '"$@"; code=$?; sleep 0.2; "$1" "$2" "$3" resume "$5" 2>/dev/null; exit $code'

ONE, SOME, ALL = "one", "some", "all"
GONE = "container does not exist"
WITH_THE_CONTAINER = 128 + signal.SIGKILL


class Race(NamedTuple):
    """Several of a verb on one id: how many win, what the losers say, and what is left of it."""

    winners: str
    losers: tuple[str, ...]
    after: tuple[str, ...]


RACES = {
    "create": Race(ONE, ("already exists",), ("created",)),
    "run": Race(ONE, ("already exists",), ("running",)),
    "start": Race(ONE, ("already running",), ("running",)),
    "exec": Race(ALL, (), ("running",)),
    "kill": Race(SOME, ("not running",), ("stopped",)),
    "pause": Race(ONE, ("not running",), ("paused",)),
    "resume": Race(ONE, ("not paused",), ("running",)),
    "update": Race(ALL, (), ("running",)),
    "delete": Race(ONE, (GONE,), ("",)),
    "force": Race(ALL, (), ("",)),
}


def check_race(race: Race, results: Sequence[tuple[int, str]]) -> None:
    """(exit code, what it said) of each: as many have won as can, and the others say why not."""
    won = sum(code == 0 for code, _ in results)
    enough = {ONE: won == 1, SOME: won > 0, ALL: won == len(results)}
    assert enough[race.winners], f"{race.winners} should win: {results}"
    for code, said in results:
        assert not code or any(text in said for text in race.losers), said


def check_words(name: str, code: int, errors: str) -> None:
    """A verb that loses says it, on one line."""
    assert "Traceback" not in errors
    assert "internal error" not in errors
    if (name, code, errors) == ("exec", WITH_THE_CONTAINER, ""):
        return  # its program was killed, with all of the container
    assert code in (0, 1, 255), (code, errors)
    if code:
        assert errors.count("\n") == 1, errors
