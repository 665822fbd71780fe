# SPDX-License-Identifier: Apache-2.0
"""What tests/vm/test left in build/vm/results.xml, as tests of another run of pytest: .ci/run has
that collect this file, so that its last lines tell of the virtual machine too. Nobody else does.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

RESULTS = Path(__file__).parents[2] / "build/vm/results.xml"


def _cases() -> list[ET.Element]:
    return list(ET.parse(RESULTS).iter("testcase")) if RESULTS.exists() else []


def _name(case: ET.Element) -> str:
    return f"{case.get('classname')}.{case.get('name')}"


def test_there_are_results() -> None:
    """A machine that died leaves none, and neither does one whose time was up."""
    assert any(len(case) == 0 for case in _cases()), (
        "no test passed in the virtual machine: what it said is above the first line of this run"
    )


@pytest.mark.parametrize("case", _cases(), ids=_name)
def test_in_the_virtual_machine(case: ET.Element) -> None:
    for outcome in case:
        message = outcome.get("message", "")
        if outcome.tag in ("failure", "error"):
            pytest.fail(outcome.text or message, pytrace=False)
        if outcome.get("type") == "pytest.xfail":
            pytest.xfail(message)
        if outcome.tag == "skipped":
            pytest.skip(message)
