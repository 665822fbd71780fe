# SPDX-License-Identifier: Apache-2.0
"""Where in a JSON text each value stands: the line of every JSON pointer, for people."""

from __future__ import annotations

import json
import re

from pyrun.schema_check import step

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[^\s,\]}]+")


def lines(text: str) -> dict[str, int]:
    """The line (from 1) of each value of a valid JSON text, by its JSON pointer.

    For a member of an object it is the line of its name.
    """
    found: dict[str, int] = {}
    _Reader(text, found).value(0, "")
    return found


class _Reader:
    """A recursive reader that only keeps positions; the text has been parsed before."""

    def __init__(self, text: str, found: dict[str, int]) -> None:
        self.text = text
        self.found = found

    def past(self, pattern: re.Pattern[str], at: int) -> int:
        """The position behind what the pattern takes at `at`."""
        match = pattern.match(self.text, at)
        assert match is not None
        return match.end()

    def skip(self, at: int) -> int:
        """The position of the next character that is not white space."""
        return self.past(_SPACE, at)

    def value(self, at: int, pointer: str) -> int:
        """Note the value at `at` and all below it; returns the position behind it."""
        at = self.skip(at)
        self.found.setdefault(pointer, self.text.count("\n", 0, at) + 1)
        first = self.text[at]
        if first in "[{":
            return self.children(at + 1, pointer, named=first == "{")
        return self.past(_STRING if first == '"' else _SCALAR, at)

    def children(self, at: int, pointer: str, *, named: bool) -> int:
        """The members of an object or the items of a list, from behind its opening bracket."""
        index = 0
        at = self.skip(at)
        while self.text[at] not in "]}":
            name: str | int = index
            if named:
                start = at
                at = self.past(_STRING, start)
                name = json.loads(self.text[start:at])
                self.found[pointer + step(name)] = self.text.count("\n", 0, start) + 1
                at = self.skip(at) + 1  # the colon
            at = self.skip(self.value(at, pointer + step(name)))
            if self.text[at] == ",":
                at = self.skip(at + 1)
            index += 1
        return at + 1
