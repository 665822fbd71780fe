# SPDX-License-Identifier: Apache-2.0
"""A report as one JSON document, with everything that the checks saw."""

from __future__ import annotations

import json
from typing import Any

from conformance.engine import Finding
from conformance.registry import VERSION
from conformance.report import Report, file_name


def document(report: Report) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "title": report.title,
        "specification": VERSION,
        "when": report.when,
        "host": report.host,
        "seconds": round(report.seconds, 1),
        "runtimes": [entry._asdict() for entry in report.contestants],
        "sums": {
            "all": report.total(),
            "levels": report.by_level(),
            "documents": report.by_document(),
        },
        "requirements": [
            {
                "id": requirement.id,
                "level": requirement.level,
                "strength": requirement.strength,
                "document": file_name(requirement.document),
                "section": requirement.section,
                "says": requirement.says,
                "results": {finding.label: _result(report, finding) for finding in findings},
            }
            for requirement, findings in report.rows()
        ],
    }


def _result(report: Report, finding: Finding) -> dict[str, Any]:
    return {
        "outcome": finding.outcome,
        "reason": finding.reason,
        "again": "" if finding.outcome == "not observable" else report.again(finding),
        "checks": [
            {
                "check": look.check.rpartition("/")[2],
                "outcome": look.outcome,
                "reason": look.reason,
                "seconds": round(look.seconds, 2),
                "observations": [line._asdict() for line in look.observations],
                "log": look.log,
            }
            for look in finding.looks
        ],
    }


def write(report: Report) -> str:
    """The document as text."""
    return json.dumps(document(report), indent=1, ensure_ascii=False) + "\n"
