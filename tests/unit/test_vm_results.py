# SPDX-License-Identifier: Apache-2.0
"""What fails in the virtual machine fails the run that reports of it (tests/vm/results.py)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "tests/vm/results.py"
PASSED = '<testcase classname="tests.life.test_a" name="test_b[pyrun]" time="1"/>'


def report(tmp_path: Path, results: str) -> tuple[int, str]:
    """The exit status of a pytest that makes tests of these results, and what it says."""
    (tmp_path / "tests/vm").mkdir(parents=True)
    (tmp_path / "build/vm").mkdir(parents=True)
    copy = shutil.copy(SOURCE, tmp_path / "tests/vm")
    if results:
        text = f"<testsuites><testsuite>{results}</testsuite></testsuites>"
        (tmp_path / "build/vm/results.xml").write_text(text)
    words = [
        "-m",
        "pytest",
        "-q",
        "-c",
        "/dev/null",
        "--rootdir",
        tmp_path,
        "-p",
        "no:cacheprovider",
    ]
    command = [sys.executable, "-B", *words, copy]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    return done.returncode, done.stdout


def test_all_is_well(tmp_path: Path) -> None:
    skipped = '<testcase><skipped type="pytest.skip" message="this machine: no x"/></testcase>'
    expected = '<testcase><skipped type="pytest.xfail" message="runc: y"/></testcase>'
    code, out = report(tmp_path, PASSED + skipped + expected)
    assert (code, "2 passed, 1 skipped, 1 xfailed" in out) == (0, True), out


@pytest.mark.parametrize("kind", ["failure", "error"])
def test_a_failure(tmp_path: Path, kind: str) -> None:
    """By its name, and with its words."""
    case = (
        f'<testcase classname="c" name="test_c[runc]"><{kind} message="m">why</{kind}></testcase>'
    )
    code, out = report(tmp_path, PASSED + case)
    assert code == 1, out
    assert "1 failed, 2 passed" in out
    assert "c.test_c[runc]" in out
    assert "why" in out


@pytest.mark.parametrize("results", ["", '<testcase><skipped message="s"/></testcase>'])
def test_a_machine_that_died_or_ran_nothing(tmp_path: Path, results: str) -> None:
    code, out = report(tmp_path, results)
    assert code == 1, out
    assert "no test passed in the virtual machine" in out
