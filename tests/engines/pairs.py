# SPDX-License-Identifier: Apache-2.0
"""The same exercise with a runtime that engines know and with pyrun: an engine can't tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import needs

from .host import Failed

Engine = TypeVar("Engine")


class Pair(Generic[Engine]):
    """Calling it does an exercise with the peer, then with pyrun, and compares what they gave."""

    def __init__(self, make: Callable[[str], Engine]) -> None:
        self.make = make

    def __call__(
        self,
        exercise: Callable[[Engine], Any],
        *,
        peer: str = "runc",
        unless: str = "",
        patience: int = 1,
    ) -> Any:
        """What the exercise gives with both runtimes. `unless`: words of the peer's failure where
        this machine can't do it; the test is skipped with them. `patience`: how often the peer may
        try, where it is known to fail now and then."""
        for left in reversed(range(patience)):
            try:
                wanted = exercise(self.make(peer))
                break
            except Failed as error:
                said = error.result.err + error.result.out
                if unless and (found := re.search(unless, said)):
                    needs.excuse(f"{peer} says {found.group()!r} too")
                if not left:
                    raise
        found = exercise(self.make("pyrun"))
        assert found == wanted, f"pyrun gives {found!r}, {peer} {wanted!r}"
        return found
