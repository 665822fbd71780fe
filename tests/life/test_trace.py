# SPDX-License-Identifier: Apache-2.0
"""--trace: what it tells of a verb, by the rules of the trace event format and by the plan."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from life.bundles import Bundle, mount
from life.runtimes import Container, eventually

pytestmark = pytest.mark.pyrun_only("the flag")

ROUNDED = 0.0005  # microseconds
Events = list[dict[str, Any]]
NUMBER, COUNT, TEXT = {"type": "number", "minimum": 0}, {"type": "integer"}, {"type": "string"}
TRACK = {"pid": COUNT, "tid": COUNT, "name": TEXT}
# Of the "Trace Event Format": complete events, and metadata.
COMPLETE = {
    "required": ["name", "cat", "ph", "ts", "dur", "pid", "tid", "args"],
    "additionalProperties": False,
    "properties": {
        **TRACK,
        "ph": {"const": "X"},
        "cat": {"enum": ["verb", "load", "step", "wait", "operation"]},
        "ts": NUMBER,
        "dur": NUMBER,
        "args": {"type": "object", "additionalProperties": TEXT},
    },
}
METADATA = {
    "required": ["name", "ph", "pid", "tid", "args"],
    "additionalProperties": False,
    "properties": {
        **TRACK,
        "ph": {"const": "M"},
        "name": {"const": "process_name"},
        "args": {"type": "object", "required": ["name"], "properties": {"name": TEXT}},
    },
}
SCHEMA = {
    "type": "object",
    "required": ["traceEvents", "displayTimeUnit"],
    "properties": {
        "displayTimeUnit": {"enum": ["ms", "ns"]},
        "otherData": {"type": "object", "additionalProperties": TEXT},
        "traceEvents": {"type": "array", "items": {"oneOf": [COMPLETE, METADATA]}},
    },
}


@pytest.fixture
def file(bundle: Bundle) -> Path:
    return bundle.path / "trace.json"


def events(file: Path) -> Events:
    """Those of a valid file: each in the time of the verb, none half in another of its track."""
    document = json.loads(file.read_text())
    Draft7Validator(SCHEMA).validate(document)
    found: Events = document["traceEvents"]
    slices = [event for event in found if event["ph"] == "X"]
    named = {event["pid"] for event in found if event["ph"] == "M"}
    assert {event["pid"] for event in slices} == named
    verb = next(event for event in slices if event["cat"] == "verb")
    last = verb["ts"] + verb["dur"] + 1e6
    for event in slices:
        assert verb["ts"] <= event["ts"] <= event["ts"] + event["dur"] <= last, event
    for pid in named:
        ends: list[float] = []
        track = [event for event in slices if event["pid"] == pid]
        for event in sorted(track, key=lambda e: (e["ts"], -e["dur"])):
            start, stop = event["ts"], event["ts"] + event["dur"]
            while ends and ends[-1] <= start + ROUNDED:
                ends.pop()
            assert not ends or stop <= ends[-1] + ROUNDED, event
            ends.append(stop)
    return slices


def executed(found: Events) -> list[str]:
    """The names of the operations, in their order."""
    operations = [event for event in found if "operation" in event["args"]]
    operations.sort(key=lambda event: event["ts"])
    return [name for event in operations for name in event["name"].split(", ")]


def steps(found: Events) -> set[str]:
    return {event["name"] for event in found if event["cat"] in ("step", "wait", "load")}


def planned(container: Container, *flags: str) -> list[str]:
    """The operations of the plan: names."""
    words = ("plan", "--json", *flags, "--bundle", container.bundle.path)
    result = container.runtime(*words)
    assert result.code == 0, result
    return [entry["operation"] for entry in json.loads(result.out)["operations"]]


def test_create_and_start(container: Container, bundle: Bundle, file: Path) -> None:
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    container.created("sleep 100", flags=["--trace", file])
    plan = planned(container)
    at = plan.index("wait_start")
    found = events(file)
    names = executed(found)
    # `create` does not wait for the last of these
    assert names == plan[: len(names)]
    assert len(names) >= plan.index("sync", at - 3)
    first = next(event for event in found if event["name"] == plan[0])
    assert first["args"] == {
        "field": "linux.namespaces",
        "operation": "prctl(PR_SET_DUMPABLE, 0)",
    }
    assert steps(found) >= {
        "start of the interpreter", "load pyrun.creation", "load the config", "compile",
        "claim the id", "spawn the executor", "wait for the executor", "run a hook",
    }  # fmt: skip
    result = container.runtime("start", "--trace", file, container.id)
    assert (result.code, result.out, result.err) == (0, "", "")
    found = events(file)
    assert executed(found) == plan[at + 1 :]
    assert steps(found) >= {"start", "wait for the program"}
    container.kill()
    container.wait()
    assert container.delete().code == 0


def test_start_of_a_container_that_was_not_traced(container: Container, file: Path) -> None:
    container.created("sleep 100")
    assert container.runtime("start", "--trace", file, container.id).code == 0
    found = events(file)
    assert executed(found) == []
    assert "wait for the program" in steps(found)


def differ(one: str, other: str) -> bool:
    """Two namespaces. One of processes that has none yet can't be told (ENOENT)."""
    try:
        return os.readlink(one) != os.readlink(other)
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kinds", ["", "user", "time", "joined", "layers"])
def test_run(container: Container, bundle: Bundle, file: Path, kinds: str) -> None:
    """Also with a first stage, and where the clock of the container is another."""
    flags = ["--ephemeral", "--overlay-upper", "tmpfs"] if kinds == "layers" else []
    if kinds == "user":
        bundle.map_ids()
    if kinds == "time":
        bundle.linux["namespaces"].append({"type": "time"})
        bundle.linux["timeOffsets"] = {"monotonic": {"secs": 86400}}
    sleeper = None
    if kinds == "joined":
        words = ["unshare", "--fork", "--kill-child", "--pid", "sleep", "100"]
        sleeper = subprocess.Popen(words)
        path = f"/proc/{sleeper.pid}/ns/pid_for_children"
        assert eventually(lambda: differ(path, "/proc/self/ns/pid"))
        bundle.namespaces("mount", "uts", "network", "ipc", pid=path)
    try:
        result = container.run("print x", "clock", flags=["--trace", file, *flags])
        assert result.code == 0, result
        plan = planned(container, *flags)
    finally:
        if sleeper:
            sleeper.kill()
            sleeper.wait()
    wait = plan.index("report_to")
    plan[wait : wait + 2] = ["sync"]  # who runs it starts it, too
    found = events(file)
    assert executed(found) == plan
    assert "start the program" in steps(found)


def test_run_that_goes_on(container: Container, bundle: Bundle, file: Path) -> None:
    """The trace is there once the program runs."""
    bundle.say("trap")
    bundle.save()
    words = ("run", "--trace", file, "--bundle", bundle.path, container.id)
    process = container.runtime.popen(*words, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    assert eventually(lambda: file.exists() and file.stat().st_size > 0)
    assert eventually(lambda: file.read_text().endswith("}\n"))
    assert executed(events(file))[-1] == "execve"
    container.kill("TERM")
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_under_a_filter(container: Container, bundle: Bundle, file: Path) -> None:
    """One that ends whoever asks for the time: the last steps are told as one."""
    clocks = ["clock_gettime", "gettimeofday", "time"]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": clocks, "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    assert container.run("print x", flags=["--trace", file]).code == 0
    found = events(file)
    assert executed(found)[-2:] == ["seccomp", "execve"]
    assert any(event["name"] == "seccomp, execve" for event in found)


def test_exec(container: Container, file: Path) -> None:
    container.started("sleep 100")
    result = container.exec("print x", flags=["--trace", file])
    assert (result.code, result.answers()) == (0, ["x"])
    found = events(file)
    names = executed(found)
    assert names[:2] == ["prctl", "setns"]
    assert names[-1] == "execve"
    assert steps(found) >= {"read the record", "compile", "join the container"}


def test_a_failure(container: Container, bundle: Bundle, file: Path) -> None:
    """As far as it has come; the operation that fails is the last."""
    bundle.config["mounts"].append(mount("/data", "tmpfs", "size=1x"))
    result = container.create("print x", flags=["--trace", file])
    assert result.code == 1
    assert "mounts[6].options" in result.err
    found = events(file)
    last = max((e for e in found if "operation" in e["args"]), key=lambda e: e["ts"] + e["dur"])
    assert last["args"]["operation"] == 'fsconfig(context, "size", "1x")'
    assert "undo everything" in steps(found)


def test_no_file_no_container(container: Container, bundle: Bundle) -> None:
    link = bundle.path / "link"
    link.symlink_to(bundle.path / "goal")
    for path, why in ((link, "too many levels"), ("/nowhere/x", "no such file or directory")):
        result = container.create("print x", flags=["--trace", path])
        assert result.code == 1
        assert result.err.startswith(f"pyrun: --trace {path}: {why}")
        assert container.runtime("state", container.id).code == 1
    assert not (bundle.path / "goal").exists()


def test_the_slowest_steps(container: Container, bundle: Bundle, file: Path) -> None:
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1"]}]}
    assert container.run("print x", flags=["--trace", file]).code == 0
    result = container.runtime("trace", file)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()[2:]
    assert len(lines) == 10
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times, reverse=True)
    assert lines[0].endswith("pyrun     run a hook")
    assert times[0] >= 1000
    assert container.runtime("trace", "-", stdin=file.read_text()) == result
