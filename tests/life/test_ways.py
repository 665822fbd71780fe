# SPDX-License-Identifier: Apache-2.0
"""The ways on which the tests here go (conftest.py) are what they are said to be: in no process of
a test's does the launcher do what Python is to do, or the other way round."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from life.ordinary_user import User
from life.runtimes import Container
from needs import needs

pytestmark = [needs("root", "strace"), pytest.mark.pyrun_only("no peer is in Python")]


def traced(path: Path) -> list[str]:
    # Not -f: nothing of the container is to be traced.
    return ["strace", "-qq", "-e", "trace=execve", "-o", str(path)]


def python(path: Path) -> bool:
    """Whether Python was started for what was traced there."""
    lines = [line for line in path.read_text().splitlines() if "execve(" in line]
    assert lines
    return any("/interpreter" in line or "/python3" in line for line in lines)


@pytest.mark.parametrize("environment", [None, {}], ids=["ours", "none"])
def test_ordinary_verbs(
    container: Container, runtime_course: str, environment: dict[str, str] | None
) -> None:
    """Whatever environment the test gives them."""
    trace = container.bundle.path / "trace"
    container.created("sleep 100")
    for words in (["state"], ["start"], ["kill", "KILL"], ["delete"]):
        verb, *rest = words
        if verb == "delete":
            container.wait()
        result = container.runtime(verb, container.id, *rest, prefix=traced(trace), env=environment)
        assert (result.code, python(trace)) == (0, runtime_course == "python"), verb


@pytest.mark.again
def test_exec(container: Container, runtime_course: str) -> None:
    trace = container.bundle.path / "trace"
    container.started("sleep 100")
    result = container.exec("hostname", prefix=traced(trace))
    assert (result.code, python(trace)) == (0, runtime_course != "again")


@pytest.mark.warmed
def test_create(container: Container, runtime_course: str) -> None:
    trace = container.bundle.path / "trace"
    container.created("sleep 100", prefix=traced(trace))
    assert python(trace) == (runtime_course != "warmed")
    assert not (container.runtime.root / f"{container.id}-before").exists()


@pytest.mark.warmed
def test_run(container: Container, runtime_course: str) -> None:
    """The program runs once."""
    trace = container.bundle.path / "trace"
    result = container.run("mkdir /data/new", "exit 3", prefix=traced(trace))
    assert (result.code, result.answers()) == (3, ["ok"])
    assert python(trace) == (runtime_course != "warmed")


def test_of_an_ordinary_user(user: User, runtime_course: str, tmp_path: Path) -> None:
    user.save(user.config("sleep 100"))
    assert user.leave("create", "x") == 0
    pid = json.loads(user("state", "x").out)["pid"]
    command = [*traced(tmp_path / "trace"), *user.command("start", "x")]
    subprocess.run(command, check=True, cwd=user.home)
    assert python(tmp_path / "trace") == (runtime_course == "python")
    assert user("delete", "--force", "x").code == 0
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
