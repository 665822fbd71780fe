# SPDX-License-Identifier: Apache-2.0
"""Faults between the steps of pyrun, where no system call is: at the named points of the test build
(tests/faults/fault.py). I1 to I11 hold as everywhere else. An ordinary build has no such points."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pyrun as package
from faults import verbs
from faults.fault import POINTS
from faults.ground import Ground, standing
from faults.invariants import check
from faults.kinds import KINDS
from faults.named import faulty
from faults.sampling import sample
from faults.stops import SECONDS, Ended
from life import leftovers
from life.runtimes import Container, eventually
from needs import needs
from pyrun import ops

pytestmark = [
    needs("root", "cc"),
    pytest.mark.pyrun_only("its own points"),
    pytest.mark.one_way("the points are Python's and the executor's"),
]

VARIABLE = "PYRUN_FAULT"
WHATS = ("KILL", "ENOSPC")
# What has its failures in hand, so that none comes out of it: there it is killed alone.
QUIET = ("shortcut", "fifos", "poststart", "poststop")
# The verb that comes by each point, where it is not create.
VERB = {
    "started": "start", "fifos": "start", "poststart": "start", "join": "exec", "joined": "exec",
    "end": "force", "finish": "delete", "poststop": "delete", "destroy": "delete",
    "limits": "update", "freeze": "pause", "thaw": "resume", "folder": "delete",
}  # fmt: skip
NAMES = [name for names in POINTS.values() for name in names]
# Operations that the plan of every container has: the executor's own points.
OPERATIONS = ("unshare", "fsmount", "move_mount", "pivot_root", "sync", "capset", "execve")
SAMPLE = 4


@pytest.fixture(scope="module")
def test_build(place: Path, pyrun: Path) -> Path:
    """With the points."""
    return faulty(place / "faulty", pyrun)


@pytest.fixture
def ground(
    make_container: Callable[[], Container],
    place: Path,
    test_build: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ground]:
    """A container with hooks, of the test build."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    with standing(KINDS["hooks"], place, make_container, str(test_build)) as found:
        yield found


def run_at(ground: Ground, name: str, fault: str) -> Ended:
    """A verb with this fault."""
    done = ground.container.runtime(
        *verbs.words(ground.container, ground.kind, name),
        env={**os.environ, VARIABLE: fault},
        timeout=SECONDS,
    )
    return Ended(done.code, done.out, done.err, [], hung=False)


def members() -> list[int]:
    """Those of the container that have become ours."""
    found = []
    for pid in leftovers.children():
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if name in ("pyrun:init", "pyrun:exec", "payload"):
            found.append(pid)
    return found


def test_each_point(ground: Ground) -> None:
    """Before and after each step of the runtime: killed, and out of luck."""
    every = [(n, when, what) for n in NAMES for when in ("before", "after") for what in WHATS]
    every = [point for point in every if point[0] not in QUIET or point[2] == "KILL"]
    _try(ground, [(VERB.get(name, "create"), *rest) for name, *rest in _with_names(every)])


def test_each_operation(ground: Ground) -> None:
    """The same of the executor, which ends in place of being killed: nobody can kill the first
    process of a pid namespace from inside."""
    every = [(n, when, what) for n in OPERATIONS for when in ("before", "after") for what in WHATS]
    every = [point for point in every if point[:2] != ("execve", "after")]
    _try(ground, [("run", *rest) for _, *rest in _with_names(every)])


def _with_names(every: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [(name, f"{name}:{when}:{what}", what) for name, when, what in sample(every, SAMPLE)]


def _try(ground: Ground, points: list[tuple[str, str, str]]) -> None:
    wrong = []
    for verb, fault, what in points:
        ground.ready(verb)
        ended = run_at(ground, verb, fault)
        try:
            _check_fired(ended, fault, what)
            killed = what == "KILL"
            check(ground, verb, ended, what if killed else getattr(errno, what), members)
        except AssertionError as error:
            wrong.append(f"{verb} at {fault}: {error}: code {ended.code}, {ended.errors!r}")
            ground.clear()
    assert wrong == [], "\n".join(wrong)


def _check_fired(ended: Ended, fault: str, what: str) -> None:
    if what == "KILL" and fault.partition(":")[0] in NAMES:
        assert ended.code == -signal.SIGKILL, "nobody was killed"
    else:
        assert ended.code != 0, "nothing failed"


@pytest.mark.parametrize("point", ["intent:after", "record:after", "ready:before"])
def test_while_it_stands_between_two_steps(ground: Ground, point: str) -> None:
    """create stands still, others look, and it goes on as if nothing had been."""
    container = ground.container
    line = verbs.words(container, ground.kind, "create")
    null = subprocess.DEVNULL
    process = container.runtime.popen(
        *line, env={**os.environ, VARIABLE: f"{point}:STOP"}, stdin=null, stdout=null
    )
    status = Path(f"/proc/{process.pid}/stat")
    assert eventually(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")
    assert verbs.status_of(container) in ("creating", "stopped")
    refused = container.create()
    assert (refused.code, "already exists" in refused.err) == (1, True)
    process.send_signal(signal.SIGCONT)
    assert process.wait(SECONDS) == 0
    assert verbs.status_of(container) == "created"


def test_an_ordinary_build_has_no_points(
    container: Container, test_build: Path, pyrun: Path
) -> None:
    """Neither the name of the variable, nor anybody who looks at it."""
    folder = Path(package.__file__).parent
    root = Path(__file__).parents[2]
    files = [pyrun.resolve(), *folder.rglob("*"), *(root / "runtime").rglob("*")]
    files = [path for path in files if path.is_file()]
    assert len(files) > 200
    assert [str(path) for path in files if VARIABLE.encode() in path.read_bytes()] == []
    assert not (folder / "fault.py").exists()
    copy = test_build.parents[1] / folder.relative_to(sys.prefix)
    assert VARIABLE in (copy / "fault.py").read_text()  # there it is found
    environment = {**os.environ, VARIABLE: "intent:after:KILL", "PYRUN_NO_FAST": "1"}
    assert container.create("sleep 100", env=environment).code == 0


def test_operations_exist() -> None:
    assert [name for name in OPERATIONS if not hasattr(ops, name)] == []
