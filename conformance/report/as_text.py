# SPDX-License-Identifier: Apache-2.0
"""A report for a terminal: the matrix, each failure with what was expected and seen, the sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from conformance.engine import OUTCOMES, Finding
from conformance.report import Report, counts, file_name

WORDS = {"pass": "pass", "fail": "FAIL", "skip": "skip", "not observable": "n/o"}
COLORS = {"pass": "32", "fail": "1;31", "skip": "33", "not observable": "2"}
WIDTH = 8


def write(report: Report, color: bool = False) -> str:
    """The whole report."""
    blocks = [*_head(report), "", *_matrix(report, color)]
    failures = report.failures()
    if failures:
        blocks += ["", f"{len(failures)} failed", ""]
        for finding in failures:
            blocks += [*_failure(report, finding), ""]
    blocks += ["", *_sums(report)]
    return "\n".join(blocks) + "\n"


def _head(report: Report) -> Iterator[str]:
    for entry in report.contestants:
        yield f"{entry.label}: {entry.path}, {entry.version}"
    yield f"{report.host}; {report.seconds:.0f} s"


def _word(outcome: str, width: int, color: bool) -> str:
    text = WORDS[outcome].ljust(width)
    return f"\033[{COLORS[outcome]}m{text}\033[0m" if color else text


def _matrix(report: Report, color: bool) -> Iterator[str]:
    widths = [max(WIDTH, len(label) + 1) for label in report.labels]
    names = "".join(label.ljust(width) for label, width in zip(report.labels, widths, strict=True))
    section = ("", "")
    for requirement, findings in report.rows():
        if section != (requirement.document, requirement.section):
            section = (requirement.document, requirement.section)
            yield f"\n{names} {file_name(requirement.document)}, {requirement.section}"
        words = "".join(
            _word(finding.outcome, width, color)
            for finding, width in zip(findings, widths, strict=True)
        )
        yield f"{words} {requirement.level:<10} {requirement.id}: {requirement.says}"


def _failure(report: Report, finding: Finding) -> Iterator[str]:
    requirement = finding.requirement
    yield f"{finding.label}: {requirement.id} ({requirement.level}): {requirement.says}"
    for look in finding.looks:
        if look.outcome != "fail":
            continue
        missed = [line for line in look.observations if not line.holds]
        for line in missed:
            yield f"  {line.what}"
            yield f"    expected: {line.expected}"
            yield f"    saw:      {line.seen}"
        if not missed:
            yield f"  {look.reason}"
    yield f"  again: {report.again(finding)}"


def _sums(report: Report) -> Iterator[str]:
    width = max(len(label) for label in [*report.labels, "runtime"]) + 2
    head = "".join(f"{outcome:>16}" for outcome in OUTCOMES)
    for title, table in (("level", report.by_level()), ("document", report.by_document())):
        yield f"{title:<20}{'runtime':<{width}}{head}"
        for key, by_label in table.items():
            yield from _lines(key, by_label, width)
        if title == "level":
            yield from _lines("all", report.total(), width)
        yield ""


def _lines(key: str, by_label: dict[str, Counter[str]], width: int) -> Iterator[str]:
    for number, (label, counter) in enumerate(by_label.items()):
        numbers = "".join(f"{count:>16}" for count in counts(counter))
        yield f"{'' if number else key:<20}{label:<{width}}{numbers}"
