# SPDX-License-Identifier: Apache-2.0
"""What pytest needs to know of checks: which requirement each is for, which runtimes it is made
with, what it needs of the host, how long it may take, and what it saw.

The run is handed over by a file that the environment names (RUN), as worker processes take part.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from conformance import host, leftovers
from conformance.case import Case, Deviation, Observation
from conformance.container import Refused
from conformance.runtime import Runtime

RUN = "CONFORMANCE_RUN"
Mark = pytest.MarkDecorator


def check(*ids: str, needs: tuple[str, ...] = (), may_refuse: bool = False) -> Mark:
    """Marks a function as the check of requirements. `may_refuse`: a runtime that refuses what the
    check asks for is not wrong (the specification lets it choose which values it supports)."""
    return pytest.mark.requirement(*ids, needs=needs, may_refuse=may_refuse)


def each(rows: dict[str, Any], needs: tuple[str, ...] = (), may_refuse: bool = False) -> Mark:
    """Marks a function as the check of many requirements, each with an argument `row` of its own:
    {id: row}. An id may have several rows as `id#2`."""
    return pytest.mark.parametrize(
        "row",
        [
            pytest.param(row, id=name, marks=check(name.partition("#")[0], needs=needs,
                                                   may_refuse=may_refuse))
            for name, row in rows.items()
        ],
    )  # fmt: skip


@functools.cache
def _load(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def _run() -> dict[str, Any]:
    return _load(os.environ[RUN])


def pytest_configure(config: pytest.Config) -> None:
    """The one mark, and what holds for a process that runs checks."""
    config.addinivalue_line("markers", "requirement(*ids, needs, may_refuse): what it is for")
    workers = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not workers:  # this process runs checks itself
        leftovers.adopt()
        if os.geteuid() == 0:
            leftovers.own_mounts()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each check once for each runtime that is held to one of its requirements."""
    if "case" in metafunc.fixturenames:
        names = set(_names(metafunc.definition))
        wanted = [
            index
            for index, target in enumerate(_run()["targets"])
            if target["ids"] is None or names & set(target["ids"])
        ]
        metafunc.parametrize("target", wanted, ids=lambda index: f"{index}")


def _names(node: pytest.Item) -> Iterator[str]:
    """The requirements of a function, of all its rows."""
    for mark in node.iter_markers():
        if mark.name == "requirement":
            yield from mark.args
        elif mark.name == "parametrize":
            yield from (name for row in mark.args[1] for inner in row.marks for name in inner.args)


def ids_of(item: pytest.Item) -> list[str]:
    """The requirements that a check is for."""
    return [name for mark in item.iter_markers("requirement") for name in mark.args]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what was not asked for. Checks of one runtime stay together."""
    targets = _run()["targets"]

    def wanted(item: pytest.Item) -> bool:
        target = item.callspec.params["target"]  # type: ignore[attr-defined]
        if not isinstance(target, int):  # of a function that no runtime is held to
            return False
        chosen = targets[target]["ids"]
        return chosen is None or bool(set(ids_of(item)) & set(chosen))

    items[:] = [item for item in items if wanted(item)]


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that everybody may enter: other users are roots of containers here."""
    path = Path(tempfile.mkdtemp(prefix="conformance-"))
    path.chmod(0o755)
    yield path
    if not _run()["keep"]:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def payload(place: Path) -> Path:
    """The static program that runs in containers, where a link to it can be made."""
    return Path(shutil.copy(_run()["payload"], place / "payload"))


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"not over in {_run()['limit']} seconds")


@pytest.fixture
def case(target: int, place: Path, payload: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    """What the check is handed; all that it has made is gone afterwards."""
    chosen = _run()["targets"][target]
    folder = Path(tempfile.mkdtemp(prefix="check-", dir=place))
    folder.chmod(0o755)
    runtime = Runtime(chosen["path"], folder / "state", chosen["variables"])
    made = Case(runtime, folder, payload)
    before = set(leftovers.children())
    request.node.stash[CASE] = made
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_run()["limit"])
    yield made
    signal.alarm(0)
    made.clean()
    leftovers.clear(before)
    leftovers.unmount_below(folder)
    if not _run()["keep"]:
        shutil.rmtree(folder, ignore_errors=True)


CASE = pytest.StashKey[Case]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what the host can't."""
    for mark in item.iter_markers("requirement"):
        for ability in ("root", *mark.kwargs["needs"]):
            if reason := host.lacks(ability):
                pytest.skip(reason)


def _refusal(item: pytest.Item, error: Refused) -> tuple[str, str]:
    if any(mark.kwargs["may_refuse"] for mark in item.iter_markers("requirement")):
        return "skip", f"the runtime refuses it: {error.result.complaint}"
    return "fail", f"{error.what}: {error.result.complaint}"


def verdict(item: pytest.Item, call: pytest.CallInfo[Any]) -> tuple[str, str]:
    """pass, fail or skip, and why."""
    if call.excinfo is None:
        return "pass", ""
    error = call.excinfo.value
    if isinstance(error, pytest.skip.Exception):
        return "skip", str(error.msg)
    if isinstance(error, Refused):
        return _refusal(item, error)
    if isinstance(error, Deviation):
        return "fail", error.what
    return "fail", f"{type(error).__name__}: {error}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Puts what the check saw into the report that a worker sends."""
    report = yield
    outcome, reason = verdict(item, call)
    case = item.stash.get(CASE, None)
    seen: list[Observation] = case.observations if case else []
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, Refused) and outcome == "fail":
        seen = [*seen, Observation(error.what, "it works", error.result.complaint, holds=False)]
    report.user_properties = [
        ("target", item.callspec.params["target"]),  # type: ignore[attr-defined]
        ("check", item.nodeid.partition("[")[0]),
        ("ids", ids_of(item)),
        ("verdict", [outcome, reason]),
        ("observations", [list(line) for line in seen]),
        ("log", list(case.runtime.log) if case else []),
        ("seconds", call.duration),
    ]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the process that was started: hands a finished check to whoever started it."""
    if receiver is not None and (report.when == "call" or report.outcome != "passed"):
        receiver(dict(report.user_properties))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tells how many checks there are, where this process makes them."""
    if session.items and announce is not None:
        announce(len(session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: list[str]) -> None:
    """Tells how many checks there are, where workers make them."""
    if announce is not None:
        announce(len(ids))


# Set by engine.py, in the process that was started.
receiver: Callable[[dict[str, Any]], None] | None = None
announce: Callable[[int], None] | None = None
