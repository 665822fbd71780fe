# SPDX-License-Identifier: Apache-2.0
"""A report as one page that needs nothing else: the matrix with filters, and what each check saw.

page.html is the frame, page.css and page.js go into it. The matrix is there without scripts; the
details of a row are made from the report's JSON when they are opened, and failures for print.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path

from conformance.engine import OUTCOMES, Finding
from conformance.registry import Requirement
from conformance.report import Report, as_json, counts, file_name

HERE = Path(__file__).parent
SIGNS = {"pass": "\N{CHECK MARK}", "fail": "\N{MULTIPLICATION X}", "skip": "\N{EN DASH}",
         "not observable": "\N{WHITE CIRCLE}"}  # fmt: skip


def _slug(outcome: str) -> str:
    return outcome.replace(" ", "-")


def _bar(counter: Counter[str]) -> str:
    """A bar of the outcomes, as wide as they are many."""
    total = sum(counter.values()) or 1
    parts = [
        f'<i class="{_slug(outcome)}" style="width:{100 * count / total:.2f}%"></i>'
        for outcome, count in zip(OUTCOMES, counts(counter), strict=True)
        if count
    ]
    return f'<span class="bar" aria-hidden="true">{"".join(parts)}</span>'


def _numbers(counter: Counter[str]) -> str:
    return "".join(
        f'<td class="number {_slug(outcome)}{"" if count else " none"}">{count}</td>'
        for outcome, count in zip(OUTCOMES, counts(counter), strict=True)
    )


def _cards(report: Report) -> Iterator[str]:
    levels, total = report.by_level(), report.total()
    for entry in report.contestants:
        yield f'<section class="card"><h2>{escape(entry.label)}</h2>'
        yield f'<p class="version" title="{escape(entry.path)}">{escape(entry.version)}</p>'
        yield f'<table class="sums"><thead><tr><th></th><th></th>{_heads()}</tr></thead><tbody>'
        for level in [*levels, "all"]:
            counter = total[entry.label] if level == "all" else levels[level][entry.label]
            yield f'<tr class="{level}"><th scope="row">{level}</th><td>{_bar(counter)}</td>'
            yield f"{_numbers(counter)}</tr>"
        yield "</tbody></table></section>"


def _heads() -> str:
    return "".join(f'<th scope="col" class="number">{outcome}</th>' for outcome in OUTCOMES)


def _documents(report: Report) -> Iterator[str]:
    yield '<table class="sums"><thead><tr><th scope="col">document</th><th scope="col">runtime</th>'
    yield f"<th></th>{_heads()}</tr></thead><tbody>"
    for name, by_label in report.by_document().items():
        for number, (label, counter) in enumerate(by_label.items()):
            span = f' rowspan="{len(by_label)}"' if len(by_label) > 1 else ""
            yield "<tr>" + ("" if number else f'<th scope="row"{span}>{name}</th>')
            yield f"<td>{escape(label)}</td><td>{_bar(counter)}</td>{_numbers(counter)}</tr>"
    yield "</tbody></table>"


def _cell(finding: Finding) -> str:
    outcome = finding.outcome
    title = f' title="{escape(finding.reason)}"' if finding.reason else ""
    label = escape(finding.label)
    return (
        f'<td class="result {_slug(outcome)}" data-runtime="{label}"{title}>'
        f'<span class="sign" aria-hidden="true">{SIGNS[outcome]}</span>{outcome}</td>'
    )


def _row(number: int, requirement: Requirement, findings: list[Finding]) -> str:
    outcomes = [finding.outcome for finding in findings]
    words = " ".join([requirement.id, requirement.level, requirement.says, requirement.section])
    differs = len(set(outcomes)) > 1
    return (
        f'<tr class="row" id="{requirement.id}" data-number="{number}" '
        f'data-strength="{requirement.strength}" data-document="{requirement.document}" '
        f'data-outcomes="{escape(",".join(map(_slug, outcomes)))}" data-differs="{int(differs)}" '
        f'data-words="{escape(words.lower())}">'
        f'<td class="level {requirement.strength}">{requirement.level}</td>'
        f'<td class="says"><button aria-expanded="false">{escape(requirement.says)}</button>'
        f"<code>{escape(requirement.id)}</code></td>{''.join(map(_cell, findings))}</tr>"
    )


def _matrix(report: Report) -> Iterator[str]:
    heads = "".join(f'<th scope="col">{escape(label)}</th>' for label in report.labels)
    heads = f'<th scope="col">level</th><th scope="col">requirement</th>{heads}'
    yield f"<thead><tr>{heads}</tr></thead>"
    section = ("", "")
    for number, (requirement, findings) in enumerate(report.rows()):
        if section != (requirement.document, requirement.section):
            if section[0]:
                yield "</tbody>"
            section = (requirement.document, requirement.section)
            title = f"<small>{file_name(section[0])}</small> {escape(section[1])}"
            span = 2 + len(report.labels)
            head = f'<th colspan="{span}" scope="rowgroup">{title}</th>'
            yield f'<tbody><tr class="section">{head}</tr>'
        yield _row(number, requirement, findings)
    yield "</tbody>"


def _choices(report: Report) -> tuple[str, str]:
    documents = "".join(
        f'<option value="{name.removesuffix(".md")}">{name}</option>'
        for name in report.by_document()
    )
    runtimes = "".join(
        f'<option value="{number}">{escape(label)}</option>'
        for number, label in enumerate(report.labels)
    )
    return documents, runtimes


def write(report: Report) -> str:
    """The whole page."""
    documents, runtimes = _choices(report)
    # "</" would end the script; JSON reads "<\/" as the same.
    data = json.dumps(as_json.document(report), ensure_ascii=False).replace("</", "<\\/")
    parts = {
        "style": (HERE / "page.css").read_text(),
        "script": (HERE / "page.js").read_text(),
        "title": escape(report.title),
        "about": escape(report.about),
        "names": escape(", ".join(report.labels)),
        "when": report.when,
        "host": escape(report.host),
        "seconds": f"{report.seconds:.0f}",
        "cards": "\n".join(_cards(report)),
        "documents": "\n".join(_documents(report)),
        "document-options": documents,
        "runtime-options": runtimes,
        "matrix": "\n".join(_matrix(report)),
        "data": data,
    }
    frame = (HERE / "page.html").read_text()
    pieces = frame.split("@@")  # text, name, text, name, ..., text
    return "".join(parts[piece] if index % 2 else piece for index, piece in enumerate(pieces))
