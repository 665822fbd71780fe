# SPDX-License-Identifier: Apache-2.0
"""A report in Markdown: sums, what failed and why, and the whole matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from conformance.engine import OUTCOMES
from conformance.report import Report, counts, file_name

WORDS = {"pass": "pass", "fail": "**fail**", "skip": "skip", "not observable": "–"}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def sums(title: str, table: dict[str, dict[str, Counter[str]]]) -> Iterator[str]:
    """A table of sums."""
    yield _row(title, "runtime", *OUTCOMES)
    yield _row("---", "---", *["--:"] * len(OUTCOMES))
    for key, by_label in table.items():
        for label, counter in by_label.items():
            yield _row(key, label, *counts(counter))


def _failures(report: Report) -> Iterator[str]:
    yield _row("runtime", "requirement", "level", "what it says", "expected", "seen")
    yield _row(*["---"] * 6)
    for finding in report.failures():
        missed = [line for look in finding.looks for line in look.observations if not line.holds]
        requirement = finding.requirement
        first = missed[0] if missed else None
        expected = f"{first.what}: {first.expected}" if first else ""
        seen = first.seen if first else finding.reason
        yield _row(
            finding.label,
            f"`{requirement.id}`",
            requirement.level,
            _cell(requirement.says),
            _cell(expected),
            _cell(seen),
        )


def _matrix(report: Report) -> Iterator[str]:
    section = ("", "")
    for requirement, findings in report.rows():
        if section != (requirement.document, requirement.section):
            section = (requirement.document, requirement.section)
            yield f"\n### {file_name(requirement.document)}: {requirement.section}\n"
            yield _row("requirement", "level", "what it says", *report.labels)
            yield _row(*["---"] * (3 + len(report.labels)))
        words = [WORDS[finding.outcome] for finding in findings]
        yield _row(f"`{requirement.id}`", requirement.level, _cell(requirement.says), *words)


def write(report: Report) -> str:
    """The whole report."""
    lines = [f"# {report.title}", "", f"{report.about}.", ""]
    lines += [f"- {entry.label}: {_cell(entry.version)}" for entry in report.contestants]
    lines += [f"- host: {report.host}", f"- {report.when}", "", "## Sums", ""]
    lines += [*sums("level", report.by_level() | {"all": report.total()}), ""]
    lines += [*sums("document", report.by_document()), ""]
    if report.failures():
        lines += ["## What failed", "", *_failures(report), ""]
    lines += ["## Every requirement", *_matrix(report)]
    return "\n".join(lines) + "\n"
