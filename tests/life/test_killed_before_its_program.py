# SPDX-License-Identifier: Apache-2.0
"""An init, or a process that joins, which is killed after the last word with the runtime and before
its execve: that is no success."""

from __future__ import annotations

import os

import pytest

from life.bundles import Bundle
from life.exec_steps import NOT_STARTED
from life.runtimes import Container
from needs import needs

pytestmark = [
    needs("root", "strace"),
    pytest.mark.pyrun_only("the peers tell it as the program's end"),
]
KILLED = "was killed before it became the program"


@pytest.fixture
def deadly(bundle: Bundle) -> Bundle:
    """The filter kills whoever calls execve, and the executor is the first."""
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_KILL_PROCESS"}],
    }
    return bundle


@pytest.mark.both_ways
@pytest.mark.parametrize("flags", [[], ["--detach"]])
def test_run(container: Container, deadly: Bundle, flags: list[str]) -> None:
    """Also where there is a template of the shape, which is no success either."""
    for _ in range(2):
        result = container.run("print x", flags=flags)
        assert (result.code, result.out) == (1, "")
        assert KILLED in result.err
        assert result.err.count("\n") == 1
        assert container.runtime("state", container.id).code == 1


@pytest.mark.both_ways
def test_start(container: Container, deadly: Bundle) -> None:
    """Whoever waits for the init can have done so before we look: here nobody does."""
    container.created("print x")
    result = container.start()
    assert (result.code, result.out) == (1, "")
    assert KILLED in result.err or "has stopped" in result.err
    assert container.status() == "stopped"


@pytest.mark.both_ways
@pytest.mark.parametrize("flags", [[], ["--detach"]])
def test_exec(container: Container, flags: list[str], bundle: Bundle) -> None:
    """Killed at its execve, each time: by a template and then by Python."""
    container.started("sleep 1000")
    assert container.exec_ask("hostname") == ["box"]
    trace = bundle.path / "trace"
    prefix = ["strace", "-f", "-qq", "-o", str(trace), "-P", "/payload"]
    result = container.exec(
        "hostname", flags=flags, prefix=[*prefix, "-e", "inject=execve:signal=KILL"]
    )
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert result.err.startswith("pyrun: the process died on its way into the container")
    assert result.err.count("\n") == 1
    tried = trace.read_text().count("+++ killed by SIGKILL +++")
    assert tried == (1 if os.environ.get("PYRUN_NO_FAST") else 2)
    assert container.exec_ask("hostname") == ["box"]
