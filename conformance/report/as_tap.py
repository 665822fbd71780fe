# SPDX-License-Identifier: Apache-2.0
"""A report as TAP, version 13: one line for each runtime and requirement."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.engine import Finding
from conformance.report import Report


def _line(text: str) -> str:
    """In one line, without the sign that starts a directive."""
    return " ".join(text.split()).replace("#", "\\#")


def _finding(report: Report, number: int, finding: Finding) -> Iterator[str]:
    requirement = finding.requirement
    text = f"{number} - {finding.label}: {requirement.id} {requirement.level}: {requirement.says}"
    if finding.outcome == "fail":
        yield f"not ok {_line(text)}"
        yield "  ---"
        yield f"  message: {_quoted(finding.reason)}"
        for look in finding.looks:
            for line in look.observations:
                if not line.holds:
                    yield f"  expected: {_quoted(line.expected)}"
                    yield f"  seen: {_quoted(line.seen)}"
        yield f"  again: {_quoted(report.again(finding))}"
        yield "  ..."
    elif finding.outcome == "pass":
        yield f"ok {_line(text)}"
    else:
        yield f"ok {_line(text)} # SKIP {finding.outcome}: {_line(finding.reason)}"


def _quoted(text: str) -> str:
    return "'" + " ".join(text.split()).replace("'", "''") + "'"


def write(report: Report) -> str:
    """The whole report."""
    lines = ["TAP version 13", f"1..{len(report.findings)}"]
    for number, finding in enumerate(report.findings, 1):
        lines += _finding(report, number, finding)
    return "\n".join(lines) + "\n"
