# SPDX-License-Identifier: Apache-2.0
"""What a check is handed: containers of the runtime under test, and the words for what was
expected and seen."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance import leftovers
from conformance.bundle import Bundle
from conformance.container import Container
from conformance.runtime import Result, Runtime

_numbers = itertools.count()


class Deviation(AssertionError):
    """The runtime did something else than the statement says."""

    def __init__(self, what: str, expected: str, seen: str) -> None:
        super().__init__(f"{what}: expected {expected}, saw {seen}")
        self.what = what
        self.expected = expected
        self.seen = seen


class Observation(NamedTuple):
    """One thing that a check looked at."""

    what: str
    expected: str
    seen: str
    holds: bool


def _text(value: object) -> str:
    found = value if isinstance(value, str) else repr(value)
    return found if len(found) < 1500 else f"{found[:1500]}… ({len(found)} characters)"


class Case:
    """One check of one runtime."""

    def __init__(self, runtime: Runtime, folder: Path, payload: Path) -> None:
        self.runtime = runtime
        self.folder = folder
        self.payload = payload
        self.observations: list[Observation] = []
        self.made: list[Container] = []

    @functools.cached_property
    def box(self) -> Container:
        """A container for checks that need one."""
        return self.new()

    def new(self) -> Container:
        """One more container, with a bundle and a cgroup of its own. Its bundle has its name."""
        name = f"conformance-{os.getpid()}-{next(_numbers)}"
        (self.folder / name).mkdir()
        bundle = Bundle(self.folder / name, self.payload, f"/{leftovers.parent()}/{name}")
        self.made.append(Container(self.runtime, bundle, name))
        return self.made[-1]

    # What was expected and seen.

    def expect(self, what: str, expected: object, seen: object) -> None:
        """Notes both; raises Deviation where they are not equal."""
        self.require(what, expected, seen, expected == seen)

    def require(self, what: str, expected: object, seen: object, holds: bool) -> None:
        """Notes what was expected, in words, and seen; raises Deviation unless it holds."""
        found = Observation(what, _text(expected), _text(seen), bool(holds))
        self.observations.append(found)
        if not found.holds:
            raise Deviation(found.what, found.expected, found.seen)

    def contains(self, what: str, expected: object, seen: Sequence[Any] | str) -> None:
        """Notes both; raises Deviation where `expected` is not in what was seen."""
        self.require(what, f"among others: {expected}", seen, expected in seen)

    def lacks(self, what: str, unexpected: object, seen: Sequence[Any] | str) -> None:
        """Notes both; raises Deviation where `unexpected` is in what was seen."""
        self.require(what, f"without {unexpected}", seen, unexpected not in seen)

    def error(self, what: str, result: Result) -> None:
        """Notes a command line that must fail; raises Deviation where it did not."""
        seen = f"exit code {result.code}" + (f": {result.complaint}" if result.err else "")
        self.require(what, "an exit code other than 0", seen, result.code != 0)

    def works(self, what: str, result: Result) -> None:
        """Notes a command line that must work; raises Deviation where it did not."""
        seen = f"exit code {result.code}" + (f": {result.complaint}" if result.err else "")
        self.require(what, "exit code 0", seen, result.code == 0)

    def refused(self, box: Container, what: str, at: str = "create") -> None:
        """Expects an error of `create` (or at="start", of one of both), and with create no
        container."""
        result = box.create()
        if at == "start" and result.code == 0:
            result = box.start()
        self.error(what, result)
        if at == "create":
            self.expect(f"{what}: a container is there", expected=False, seen=box.exists())

    @staticmethod
    def skip(reason: str) -> None:
        """Ends the check: here it can't be made."""
        pytest.skip(reason)

    def clean(self) -> None:
        """Deletes what the check has made, by force."""
        for box in self.made:
            self.runtime("delete", "--force", box.id)
