# SPDX-License-Identifier: Apache-2.0
"""What one look at the host has found."""

from __future__ import annotations

from typing import NamedTuple

OK = "ok"
GAP = "gap"  # something is refused or goes without; containers run
BAD = "bad"  # no container runs


class Finding(NamedTuple):
    """`found`: what there is, in words; `advice`: one line on what to do, "" when all is well."""

    name: str
    status: str
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, OK, found)


def gap(name: str, found: str, advice: str) -> Finding:
    """Something is lacking that a container may want."""
    return Finding(name, GAP, found, advice)


def bad(name: str, found: str, advice: str) -> Finding:
    """Something is lacking that every container needs."""
    return Finding(name, BAD, found, advice)
