# SPDX-License-Identifier: Apache-2.0
"""An init, or a process that joins, which is killed after the last word with the runtime and before
its execve: that is no success."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from life.bundles import Bundle
from life.exec_steps import NOT_STARTED
from life.runtimes import Container, Result
from life.templates import Maker
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


def killed(verb: Callable[..., Result], bundle: Bundle, *words: str, **how: Any) -> Result:
    """The verb, with whoever is about to become the program killed."""
    prefix = ["strace", "-f", "-qq", "-o", str(bundle.path / "trace"), "-P", "/payload"]
    return verb(*words, prefix=[*prefix, "-e", "inject=execve:signal=KILL"], **how)


def deaths(bundle: Bundle) -> int:
    """How many were."""
    return (bundle.path / "trace").read_text().count("+++ killed by SIGKILL +++")


@pytest.mark.parametrize("flags", [[], ["--detach"]])
def test_run(container: Container, deadly: Bundle, flags: list[str]) -> None:
    """What is left of it is taken away."""
    result = container.run("print x", flags=flags)
    assert (result.code, result.out) == (1, "")
    assert KILLED in result.err
    assert result.err.count("\n") == 1
    assert container.runtime("state", container.id).code == 1


@pytest.mark.one_way("a template is the launcher's")
@pytest.mark.parametrize("flags", [[], ["--detach"]])
def test_run_by_a_template(container: Container, flags: list[str], bundle: Bundle) -> None:
    """Killed at its execve, each time: by a template and then by Python."""
    bundle.say("hostname")
    Maker(container).prime("run", flags=["--detach"])
    result = killed(container.run, bundle, flags=flags)
    assert (result.code, result.out) == (1, "")
    assert KILLED in result.err
    assert deaths(bundle) == 2
    assert container.runtime("state", container.id).code == 1


def test_start(container: Container, deadly: Bundle) -> None:
    """Whoever waits for the init can have done so before we look: here nobody does."""
    container.created("print x")
    result = container.start()
    assert (result.code, result.out) == (1, "")
    assert KILLED in result.err or "has stopped" in result.err
    assert container.status() == "stopped"


@pytest.mark.parametrize("flags", [[], ["--detach"]])
def test_exec(container: Container, flags: list[str], bundle: Bundle) -> None:
    """Killed at its execve, each time: by a template and then by Python."""
    container.started("sleep 1000")
    assert container.exec_ask("hostname") == ["box"]
    result = killed(container.exec, bundle, "hostname", flags=flags)
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert result.err.startswith("pyrun: the process died on its way into the container")
    assert result.err.count("\n") == 1
    assert deaths(bundle) == (1 if os.environ.get("PYRUN_NO_FAST") else 2)
    assert container.exec_ask("hostname") == ["box"]
