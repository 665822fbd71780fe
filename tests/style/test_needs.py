# SPDX-License-Identifier: Apache-2.0
"""A skip may hide nothing: what PYRUN_MUST_RUN makes of each kind of skip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from needs import needs

from . import tree

SUITE = """
import pytest
import needs

needs.ABILITIES["absent"] = needs.Ability(lambda: "no such package", excused=False)
needs.ABILITIES["alien"] = needs.Ability(lambda: "another kernel", excused=True)
needs.ABILITIES["present"] = needs.Ability(lambda: "", excused=False)

@needs.needs("present")
def test_present(): pass

@needs.needs("present", "absent")
def test_absent(): raise AssertionError

@needs.needs("alien")
def test_alien(): raise AssertionError

def test_excused_inside(): needs.excuse("a small disk")

def test_skipped_inside(): pytest.skip("not today")

@pytest.mark.skip(reason="broken")
def test_marked(): raise AssertionError

@pytest.mark.xfail(strict=True)
def test_known(): raise AssertionError
"""
WHOLE_FILE = "import pytest\npytest.importorskip('no_such_module_at_all')\n"


def outcomes(folder: Path, must_run: str) -> dict[str, str]:
    """What becomes of each test of the suite above, by its name."""
    for name in ("conftest.py", "needs.py"):
        shutil.copy(tree.ROOT / "tests" / name, folder)
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "test_whole.py").write_text(WHOLE_FILE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--continue-on-"
         "collection-errors", folder],
        env={**os.environ, "PYRUN_MUST_RUN": must_run, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
    )  # fmt: skip
    found = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in ("PASSED", "FAILED", "XFAIL", "ERROR"):
            found[rest.partition(" - ")[0].split("::")[-1]] = word
    found["skipped"] = next(
        (word for word in done.stdout.splitlines()[-1].split(", ") if "skipped" in word), ""
    )
    return found


def test_a_skip_is_a_skip_on_a_machine_at_hand(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "")
    assert found == {"test_present": "PASSED", "test_known": "XFAIL", "skipped": "6 skipped"}


def test_only_the_machine_excuses_where_tests_must_run(tmp_path: Path) -> None:
    found = outcomes(tmp_path, "1")
    assert found == {
        "test_present": "PASSED",
        "test_known": "XFAIL",
        "test_absent": "ERROR",  # in its setup
        "test_skipped_inside": "FAILED",
        "test_marked": "ERROR",
        "test_whole.py": "ERROR",
        "skipped": "2 skipped",
    }


def test_unknown_need() -> None:
    with pytest.raises(ValueError, match="no such ability: rot"):
        needs("rot")
