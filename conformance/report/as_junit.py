# SPDX-License-Identifier: Apache-2.0
"""A report in the XML of JUnit: a suite for each runtime, a case for each requirement."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from conformance.engine import Finding
from conformance.report import Report, file_name

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def write(report: Report) -> str:
    """The whole document."""
    root = ET.Element("testsuites", name=report.title)
    for contestant in report.contestants:
        findings = [found for found in report.findings if found.label == contestant.label]
        skipped = sum(found.outcome in ("skip", "not observable") for found in findings)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=contestant.label,
            tests=str(len(findings)),
            failures=str(sum(found.outcome == "fail" for found in findings)),
            errors="0",
            skipped=str(skipped),
            timestamp=report.when,
        )
        for finding in findings:
            _case(report, suite, finding)
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(report: Report, suite: ET.Element, finding: Finding) -> None:
    requirement = finding.requirement
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"{file_name(requirement.document)} {requirement.section}",
        name=f"{requirement.id} {requirement.level}: {requirement.says}",
        time=f"{sum(look.seconds for look in finding.looks):.3f}",
    )
    if finding.outcome == "fail":
        failure = ET.SubElement(case, "failure", message=_clean(finding.reason))
        missed = [line for look in finding.looks for line in look.observations if not line.holds]
        lines = [f"{line.what}: expected {line.expected}, saw {line.seen}" for line in missed]
        failure.text = _clean("\n".join([*lines, f"again: {report.again(finding)}"]))
    elif finding.outcome != "pass":
        reason = f"{finding.outcome}: {finding.reason}" if finding.outcome != "skip" else ""
        ET.SubElement(case, "skipped", message=_clean(reason or finding.reason))
