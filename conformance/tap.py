# SPDX-License-Identifier: Apache-2.0
"""Reading the Test Anything Protocol, of programs that may not keep to it.

https://testanything.org/tap-version-13-specification.html
"""

from __future__ import annotations

import re
from typing import NamedTuple

PLAN = re.compile(r"1\.\.(\d+)(?:\s*#\s*(.*))?\s*$")
POINT = re.compile(r"(not )?ok\b\s*(\d+)?\s*(?:- )?(.*)$")
DIRECTIVE = re.compile(r"(?<!\\)#\s*(skip|todo)\S*\s*(.*)$", re.IGNORECASE)
BAIL = re.compile(r"Bail out!\s*(.*)$")


class Point(NamedTuple):
    """One assertion."""

    number: int
    text: str
    outcome: str  # pass, fail or skip (a TODO that fails is a skip)
    reason: str  # of a directive
    more: list[str]  # the lines of its YAML block


class Stream(NamedTuple):
    """What a program printed."""

    planned: int | None  # None without a plan
    why_none: str  # what a plan of none says for it
    points: list[Point]
    complaints: list[str]  # what is not as the protocol has it


def _point(match: re.Match[str], expected: int, complaints: list[str]) -> Point:
    failed, number, text = match.groups()
    found = int(number) if number else expected
    if found != expected:
        complaints.append(f"assertion {found} comes where {expected} is due")
    outcome = "fail" if failed else "pass"
    reason = ""
    if directive := DIRECTIVE.search(text):
        word, reason = directive[1].lower(), directive[2]
        text = text[: directive.start()]
        if word == "skip" or failed:
            outcome, reason = "skip", f"{word.upper()} {reason}".strip()
    return Point(found, text.strip(), outcome, reason, [])


def read(text: str) -> Stream:
    """Lines that are none of the protocol's are passed over, as it asks; so are subtests."""
    planned, why, complaints = None, "", []
    points: list[Point] = []
    block: list[str] | None = None
    for line in text.splitlines():
        if block is not None:
            if line.strip() == "...":
                block = None
            else:
                block.append(line.strip())
        elif line.strip() == "---" and line[:1] == " " and points:
            block = points[-1].more
        elif match := PLAN.match(line):
            if planned is not None:
                complaints.append("two plans")
            planned, why = int(match[1]), match[2] or ""
        elif match := POINT.match(line):
            points.append(_point(match, len(points) + 1, complaints))
        elif match := BAIL.match(line):
            complaints.append(f"it bailed out: {match[1]}".rstrip(": "))
    if block is not None:
        complaints.append("a block of YAML does not end")
    if planned is None:
        complaints.append("no plan")
    elif planned != len(points):
        complaints.append(f"{planned} assertions were planned, {len(points)} made")
    return Stream(planned, why, points, complaints)
