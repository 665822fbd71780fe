# SPDX-License-Identifier: Apache-2.0
"""Runs checks with pytest and gathers what came of each: a result for every requirement and
runtime."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conformance import leftovers, plugin, registry
from conformance.case import Observation
from conformance.registry import Requirement

HERE = Path(__file__).parent
SOURCES = HERE.parent / "tests/payload"  # of the program that runs in containers
OUTCOMES = ("pass", "fail", "skip", "not observable")
LIMIT = 30  # seconds that a check may take


class Target(NamedTuple):
    """A runtime under test."""

    label: str
    path: str
    variables: dict[str, str] = {}  # of its environment
    ids: list[str] | None = None  # of the requirements that it is held to; None: all


class Look(NamedTuple):
    """What one check of a requirement saw."""

    check: str
    outcome: str
    reason: str
    observations: list[Observation]
    log: list[str]  # the command lines of the runtime
    seconds: float


class Finding(NamedTuple):
    """What came of one requirement with one runtime."""

    requirement: Requirement
    label: str
    outcome: str  # one of OUTCOMES
    looks: list[Look]

    @property
    def reason(self) -> str:
        """Of a failure or a skip, or why it can't be observed."""
        if self.outcome == "not observable":
            return self.requirement.unobservable
        return next((look.reason for look in self.looks if look.outcome == self.outcome), "")


class Broken(Exception):
    """The kit itself could not run."""


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with the payload, compiled, or a copy of $CONFORMANCE_PAYLOAD. Raises Broken."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        path = Path(folder, "payload")
        if given := os.environ.get("CONFORMANCE_PAYLOAD"):
            shutil.copy(given, path)
        else:
            _compile(path)
        yield Path(folder)


def _compile(path: Path) -> None:
    compiler = next((name for name in ("cc", "gcc", "clang", "musl-gcc") if shutil.which(name)), "")
    if not compiler:
        raise Broken("no C compiler: install one, or set CONFORMANCE_PAYLOAD to a built payload")
    flags = ["-std=c17", "-D_GNU_SOURCE", "-O1", "-static"]
    command = [compiler, *flags, "-o", str(path), *map(str, sorted(SOURCES.glob("*.c")))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Broken(f"the payload does not compile: {done.stderr.strip()}")


def run(
    targets: list[Target],
    jobs: int = 1,
    limit: int = LIMIT,
    keep: bool = False,
    progress: Callable[[dict[str, Any]], None] = lambda _: None,
    total: Callable[[int], None] = lambda _: None,
) -> list[Finding]:
    """Makes the checks of every target; `total` is called with their number, `progress` as each
    ends. Raises Broken."""
    reports: list[dict[str, Any]] = []

    def receive(found: dict[str, Any]) -> None:
        reports.append(found)
        progress(found)

    with workplace() as folder:
        settings = {
            "targets": [target._asdict() for target in targets],
            "payload": str(folder / "payload"),
            "limit": limit,
            "keep": keep,
        }
        path = folder / "run.json"  # more than an environment may hold
        path.write_text(json.dumps(settings))
        os.environ[plugin.RUN] = str(path)
        os.environ[leftovers.RUNNER] = str(os.getpid())
        plugin.receiver, plugin.announce = receive, total
        try:
            _pytest(jobs)
        finally:
            plugin.receiver = plugin.announce = None
            del os.environ[plugin.RUN]
            leftovers.remove_places()
    return [finding for index, target in enumerate(targets) for finding in _of(
        target, [found for found in reports if found["target"] == index])]  # fmt: skip


def _pytest(jobs: int) -> None:
    words = [f"-c{HERE / 'pytest.ini'}", f"--rootdir={HERE.parent}", str(HERE / "checks")]
    words += ["-pconformance.plugin", "-pno:cacheprovider", "--import-mode=importlib"]
    if jobs > 1:
        words += [f"-n{jobs}", "--dist=worksteal"]
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        code = pytest.main(words)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        if code == pytest.ExitCode.NO_TESTS_COLLECTED:
            return
        raise Broken(f"pytest ended with {code!r}:\n{told.getvalue()}")


def _of(target: Target, reports: list[dict[str, Any]]) -> Iterator[Finding]:
    looks: dict[str, list[Look]] = {}
    for found in reports:
        seen = [Observation(*line) for line in found["observations"]]
        outcome, reason = found["verdict"]
        look = Look(found["check"], outcome, reason, seen, found["log"], found["seconds"])
        for name in found["ids"]:
            looks.setdefault(name, []).append(look)
    for name, requirement in registry.requirements().items():
        if target.ids is not None and name not in target.ids:
            continue
        if requirement.unobservable:
            yield Finding(requirement, target.label, "not observable", [])
        else:
            found_looks = looks.get(name, [])
            yield Finding(requirement, target.label, _outcome(found_looks), found_looks)


def _outcome(looks: list[Look]) -> str:
    outcomes = {look.outcome for look in looks}
    for outcome in ("fail", "pass", "skip"):
        if outcome in outcomes:
            return outcome
    raise Broken("a requirement has no check that was run")


def jobs_possible(jobs: int) -> int:
    """So many, or 1 where pytest-xdist is not installed."""
    try:
        import xdist  # noqa: F401 - optional, and only looked for
    except ImportError:
        if jobs > 1:
            print("conformance: without pytest-xdist checks run one by one", file=sys.stderr)
        return 1
    return jobs
