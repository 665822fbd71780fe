# SPDX-License-Identifier: Apache-2.0
"""--trace: that its steps exist, and what `pyrun trace` makes of a file."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from pyrun import ops, trace_file, tracing
from pyrun.commands import trace
from pyrun.errors import Error
from pyrun.linux import CLONE_NEWNET, CLONE_NEWTIME


@pytest.mark.parametrize("name", tracing.STEPS)
def test_every_step_is_a_function(name: str) -> None:
    module = importlib.import_module(name)
    for path in tracing.STEPS[name]:
        owner, attribute = tracing._place(module, path)
        assert callable(getattr(owner, attribute)), path


def test_special_steps_are_functions_too(tmp_path: Path) -> None:
    found = tracing.Trace("create", str(tmp_path / "trace"))._special()
    for name, paths in found.items():
        for path in paths:
            owner, attribute = tracing._place(importlib.import_module(name), path)
            assert callable(getattr(owner, attribute)), path


def test_where_another_clock_begins() -> None:
    plain = [("", ops.umask(0)), ("", ops.unshare(CLONE_NEWNET)), ("", ops.fork_init(0))]
    assert trace_file._entry_of_time(plain) == 3
    joined = [("", ops.umask(0)), ("", ops.setns(3, CLONE_NEWNET | CLONE_NEWTIME))]
    assert trace_file._entry_of_time(joined) == 1
    made = [("", ops.unshare(CLONE_NEWTIME)), ("", ops.umask(0)), ("", ops.fork_init(0))]
    assert trace_file._entry_of_time(made) == 2  # it is for children


WORDS = [["a", "umask", "umask(0)"], ["", "sync", "sync(ready)"], ["c", "execve", "execve()"]]


def test_operations_that_have_ended() -> None:
    def told(times: list[int], end: int = 0, first: int = 0) -> list[tuple[str, str, float, float]]:
        found = trace_file._executed(7, WORDS, times, first, end)
        return [(e["name"], e["cat"], e["ts"], e["dur"]) for e in found if e["ph"] == "X"]

    assert told([0, 0, 0, 0]) == []
    umask = ("umask", "operation", 1.0, 2.0)
    assert told([1000, 3000, 0, 0]) == [umask]
    wait = ("sync", "wait", 3.0, 1.5)
    assert told([1000, 3000, 4500, 0]) == [umask, wait]
    assert told([1000, 3000, 4500, 0], 9500) == [umask, wait, ("execve", "operation", 4.5, 5.0)]
    assert told([1000, 3000, 0, 0], 9500)[-1] == ("sync, execve", "operation", 3.0, 6.5)
    assert told([0, 3000, 4500, 0], 0, first=1) == [wait]


def event(name: str, ts: float, dur: float, track: int = 1, **more: Any) -> dict[str, Any]:
    return {"ph": "X", "name": name, "ts": ts, "dur": dur, "pid": track, "tid": track, **more}


def test_the_time_of_a_step_is_without_those_inside() -> None:
    events = [
        event("all", 0, 100),
        event("first", 10, 30),
        event("inner", 15, 5),
        event("second", 40, 50),
        event("other track", 0, 70, 2),
    ]
    found = {e["name"]: own for own, e in trace.own_times(events)}
    assert found == {"all": 20, "first": 25, "inner": 5, "second": 50, "other track": 70}


def test_steps_one_after_the_other() -> None:
    """However large the numbers are: a float has no room for all of their digits."""
    ends = [8607652468675 + 1234 * n for n in range(50)]
    events = [event(str(end), end / 1000, 1.234) for end in ends]
    assert {own for own, _ in trace.own_times(events)} == {1.234}


def test_report() -> None:
    operation = {"operation": "mount(\x1b" + "x" * 90, "field": "mounts[3]"}
    events = [
        event("create", 1000, 20000, cat="verb"),
        event("wait for the executor", 1000, 19000, cat="wait"),
        event("umask", 2000, 5000, 2, cat="operation", args=operation),
        *(event(f"step {n}", 1000 + 100 * n, n) for n in range(12)),
    ]
    lines = trace.report(events).splitlines()
    assert lines[0] == "20.00 ms in all; the slowest steps, without those inside of them:"
    assert len(lines) == 2 + 10
    assert lines[2] == ("    5.000 ms  25.0 %  executor  mount(\\x1b" + "x" * 72 + "…  (mounts[3])")
    assert lines[3].split() == ["0.011", "ms", "0.1", "%", "pyrun", "step", "11"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not valid JSON"),
        ("[]", "not a trace"),
        ("{}", "not a trace"),
        ('{"traceEvents": [{"ph": "X"}]}', "not a trace"),
        (json.dumps({"traceEvents": [event("a", 1, 1) | {"ts": "x"}]}), "not a trace"),
        ('{"traceEvents": [{"ph": "M"}]}', "there is no step in it"),
    ],
)  # fmt: skip
def test_not_a_trace(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(Error, match=f"{path}: .*{why}"):
        trace.run({"file": str(path)})


def test_file_of_another_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file"
    path.write_text(json.dumps({"traceEvents": [event("only", 0, 2000)]}))
    assert trace.run({"file": str(path)}) == 0
    assert "2.000 ms 100.0 %  executor  only" in capsys.readouterr().out
