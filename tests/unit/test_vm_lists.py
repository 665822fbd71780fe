# SPDX-License-Identifier: Apache-2.0
"""The lists of tests for the virtual machine name tests that there are."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["core.txt", "quick.txt", "uml.txt"])
def test_each_is_there(name: str) -> None:
    lines = (ROOT / "tests/vm" / name).read_text().splitlines()
    tests = [line.removeprefix("--deselect=") for line in lines if not line.startswith("#")]
    assert tests == list(dict.fromkeys(tests)), "twice"
    for path, _, test in (entry.partition("::") for entry in tests):
        function = test.partition("[")[0]
        assert f"def {function}" in (ROOT / path).read_text(), f"{path}: no {function}"
