# SPDX-License-Identifier: Apache-2.0
"""Holds for every test: its needs of the machine are met, and the code tested is this tree's."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

import needs
import pyrun as package

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Here, not in the folders that use them: their conftest.py comes after the command line."""
    parser.addoption("--update", action="store_true", help="write golden files anew")
    parser.addoption("--runtime", help="tests/life: pyrun, runc, crun or all ($RUNTIME)")


def pytest_sessionstart() -> None:
    """Refuses to test an installed package that is not the one in this tree."""
    # A shell's background job ignores these, and so would all that is tested.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    source = ROOT / "runtime/pyrun"
    installed = Path(package.__file__).parent
    if installed == source:
        return
    stale = [
        path.relative_to(source)
        for path in source.rglob("*.py")
        if not path.name.startswith("build_")
        and not _same(path, installed / path.relative_to(source))
    ]
    if stale:
        pytest.exit(f"{stale[0]} is not what is installed: run scripts/build first", returncode=1)


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Holds each test to its @needs."""
    for mark in item.iter_markers("needs"):
        needs.check(mark.args)


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Makes a failure of a skip that the machine does not excuse."""
    if not (needs.MUST_RUN and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(needs.EXCUSED):
        report.outcome = "failed"
        report.longrepr = f"PYRUN_MUST_RUN is set, and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Looks at the skips of tests."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Looks at the skips of whole modules."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture(scope="session")
def pyrun() -> Path:
    """The pyrun under test: $PYRUN, or the one built into this environment."""
    path = Path(os.environ.get("PYRUN") or Path(sys.prefix) / "bin/pyrun")
    assert path.exists(), f"{path}: run scripts/build first"
    return path
