# SPDX-License-Identifier: Apache-2.0
"""The statements of the specification: id, level, place, what it says in our words, and whom it
binds. They lie in requirements/, a file a document, in the order of the document's text.
"""

from __future__ import annotations

import fnmatch
import functools
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

VERSION = "1.3.0"  # of the specification
DOCUMENTS = (
    "runtime",
    "runtime-linux",
    "bundle",
    "config",
    "config-linux",
    "features",
    "features-linux",
)

# Levels of RFC 2119, and how strong each is.
STRENGTHS = {
    "MUST": "MUST",
    "MUST NOT": "MUST",
    "REQUIRED": "MUST",
    "SHALL": "MUST",
    "SHALL NOT": "MUST",
    "SHOULD": "SHOULD",
    "SHOULD NOT": "SHOULD",
    "RECOMMENDED": "SHOULD",
    "NOT RECOMMENDED": "SHOULD",
    "MAY": "MAY",
    "MAY NOT": "MAY",
    "OPTIONAL": "MAY",
}
LEVELS = ("MUST", "SHOULD", "MAY")

# Why a statement asks nothing of a Linux runtime, by the word after `binds`.
OTHERS = {
    "author": "It asks this of whoever writes the config; a runtime may check it, and need not.",
    "platform": "It is for another platform.",
    "reader": "It is for whoever reads the document.",
    "kernel": "It tells what the kernel does.",
    "specification": "It is for later versions of the specification.",
    "table": "It introduces statements that are listed one by one.",
}
# Why a statement can't be observed, by the word after `unobservable`; other texts are reasons.
HIDDEN = {
    "permission": "It permits: a runtime that does it conforms, and one that does not as well.",
    "syscall": "It is about a system call of the runtime, which leaves no trace outside.",
    "update": "A new cgroup uses nothing yet, and to update is no operation of the specification.",
    "exec": "It is about processes that join, which is no operation of the specification.",
}


class Requirement(NamedTuple):
    """One statement."""

    id: str  # document.name
    level: str  # one of STRENGTHS
    document: str  # without .md
    section: str  # its heading
    says: str  # our words
    binds: str  # "runtime", or a word of OTHERS
    unobservable: str  # the reason, "" where a check can see it

    @property
    def strength(self) -> str:
        """MUST, SHOULD or MAY: of a level that says the same with another word. Rows of other
        suites have levels of their own."""
        return STRENGTHS.get(self.level, self.level)

    @property
    def for_runtime(self) -> bool:
        """Whether it asks something of a Linux runtime."""
        return self.binds == "runtime"


def _requirement(document: str, section: str, name: str, entry: dict[str, Any]) -> Requirement:
    (level,) = (key for key in entry if key in STRENGTHS)
    hidden = entry.get("unobservable", "")
    return Requirement(
        f"{document}.{name}",
        level,
        document,
        section,
        entry[level],
        entry.get("binds", "runtime"),
        HIDDEN.get(hidden, hidden),
    )


@functools.cache
def statements() -> tuple[Requirement, ...]:
    """Every statement, in the order of the documents, also those that bind nobody here."""
    found = []
    for document in DOCUMENTS:
        path = Path(__file__).parent / f"requirements/{document}.toml"
        for section, entries in tomllib.loads(path.read_text()).items():
            found += [_requirement(document, section, *item) for item in entries.items()]
    return tuple(found)


@functools.cache
def requirements() -> dict[str, Requirement]:
    """Those that bind a Linux runtime, by id."""
    return {entry.id: entry for entry in statements() if entry.for_runtime}


def select(patterns: list[str], level: str) -> list[Requirement]:
    """The requirements of a level (and of those that are as strong) that one of the patterns
    matches: an id, the beginning of ids up to a dot, or one with * and ?. Without patterns, all.
    Raises KeyError with a pattern that matches none.
    """
    every = requirements().values()
    found = list(every)
    if patterns:
        wanted = set()
        for pattern in patterns:
            matching = {entry.id for entry in every if _matches(entry.id, pattern)}
            if not matching:
                raise KeyError(pattern)
            wanted |= matching
        found = [entry for entry in found if entry.id in wanted]
    return [entry for entry in found if not level or entry.strength == level]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)
