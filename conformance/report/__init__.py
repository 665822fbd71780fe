# SPDX-License-Identifier: Apache-2.0
"""What a report tells, whatever its form: a matrix of requirements and runtimes, with sums."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from conformance.engine import OUTCOMES, Finding
from conformance.registry import DOCUMENTS, LEVELS, VERSION, Requirement


class Contestant(NamedTuple):
    """A runtime of the report."""

    label: str
    path: str
    version: str  # the first line of --version


class Report(NamedTuple):
    """One run."""

    contestants: list[Contestant]
    findings: list[Finding]  # of the same requirements for each
    host: str  # kernel and cgroup layout
    when: str  # ISO 8601
    seconds: float
    title: str = "OCI runtime conformance"
    about: str = f"Runtime specification {VERSION}, statement by statement"
    again_by: str = "python3 -m conformance --runtime {path} --select {id}"

    @property
    def labels(self) -> list[str]:
        """Of the runtimes, in the order of the command line."""
        return [contestant.label for contestant in self.contestants]

    def rows(self) -> list[tuple[Requirement, list[Finding]]]:
        """The matrix: each requirement with what came of it for every runtime."""
        found: dict[str, list[Finding]] = {}
        for finding in self.findings:
            found.setdefault(finding.requirement.id, []).append(finding)
        return [(entries[0].requirement, entries) for entries in found.values()]

    def failures(self) -> list[Finding]:
        """In the order of the matrix."""
        return [finding for finding in self.findings if finding.outcome == "fail"]

    def sums(self, key: Callable[[Requirement], str]) -> dict[str, dict[str, Counter[str]]]:
        """How many findings of each outcome, by a key of requirements and by label."""
        found: dict[str, dict[str, Counter[str]]] = {}
        for finding in self.findings:
            of_key = found.setdefault(key(finding.requirement), {})
            of_key.setdefault(finding.label, Counter())[finding.outcome] += 1
        return found

    def by_level(self) -> dict[str, dict[str, Counter[str]]]:
        """Sums of MUST, SHOULD and MAY."""
        found = self.sums(lambda requirement: requirement.strength)
        order = [*LEVELS, *(level for level in found if level not in LEVELS)]
        return {level: found[level] for level in order if level in found}

    def by_document(self) -> dict[str, dict[str, Counter[str]]]:
        """Sums of each document."""
        found = self.sums(lambda requirement: requirement.document)
        order = [*DOCUMENTS, *(name for name in found if name not in DOCUMENTS)]
        return {file_name(name): found[name] for name in order if name in found}

    def total(self) -> dict[str, Counter[str]]:
        """Sums of everything, by label."""
        return self.sums(lambda _: "").get("", {})

    def again(self, finding: Finding) -> str:
        """What to run to see a finding again."""
        path = next(entry.path for entry in self.contestants if entry.label == finding.label)
        requirement = finding.requirement
        return self.again_by.format(
            path=shlex.quote(path), id=requirement.id, document=shlex.quote(requirement.document)
        )


def file_name(document: str) -> str:
    """Of a document: those of the specification end in .md."""
    return f"{document}.md" if document in DOCUMENTS else document


def counts(counter: Counter[str]) -> list[int]:
    """In the order of OUTCOMES."""
    return [counter[outcome] for outcome in OUTCOMES]
