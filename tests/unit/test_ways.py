# SPDX-License-Identifier: Apache-2.0
"""Which tests with containers run on which ways (tests/life/ways.py): all on both, unless one says
why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = """
from life import ways

def pytest_configure(config):
    for line in ways.MARKERS:
        config.addinivalue_line("markers", line)

def pytest_generate_tests(metafunc):
    courses = ways.courses(metafunc.definition)
    metafunc.parametrize("runtime_course", courses, ids=[name or "short" for name in courses])

def pytest_collection_modifyitems(config, items):
    ways.select(config, items)
"""
SUITE = """
from pytest import mark

def test_plain(runtime_course): pass

@mark.one_way("why")
def test_one(runtime_course): pass

@mark.again
def test_again(runtime_course): pass

@mark.warmed
def test_warmed(runtime_course): pass

@mark.warmed
@mark.once
def test_once(runtime_course): pass
"""


def collected(folder: Path, suite: str, *words: str, one_way: str = "") -> list[str]:
    """The tests of a suite, or what is wrong with it."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_s.py").write_text(suite)
    environment = {"PYRUN_ONE_WAY": one_way, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider",
         "-c", "/dev/null", "--rootdir", folder, *(words or ["test_s.py"])],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    return [
        line.removeprefix("test_s.py::test_")
        for line in lines
        if line.startswith(("test_s.py::", "E "))
    ]


def test_all_run_twice(tmp_path: Path) -> None:
    assert collected(tmp_path, SUITE) == [
        "plain[short]", "plain[python]", "one[short]",
        "again[short]", "again[python]", "again[again]",
        "warmed[short]", "warmed[python]", "warmed[warmed]", "once[short]", "once[python]",
    ]  # fmt: skip


def test_where_all_takes_longer(tmp_path: Path) -> None:
    """What is named stays."""
    words = ["test_s.py", "test_s.py::test_once[python]"]
    assert collected(tmp_path, SUITE, *words, one_way="1") == [
        "plain[short]", "one[short]", "again[short]", "again[again]", "warmed[short]",
        "once[short]", "once[python]",
    ]  # fmt: skip


def test_one_way_says_why(tmp_path: Path) -> None:
    for mark in ("one_way", "one_way()", 'one_way("")'):
        (line,) = collected(tmp_path, SUITE.replace('one_way("why")', mark))
        assert line.endswith("test_s.py::test_one: one_way does not say why")
