# SPDX-License-Identifier: Apache-2.0
"""ps: the container's processes by the host's numbers, and what the host's ps says of them."""

from __future__ import annotations

import json
import os

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually
from needs import needs

pytestmark = [needs("root"), needs("ps")]
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


@with_peers
def test_json(container: Container) -> None:
    container.started("spawn 2", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    result = container.runtime("ps", "--format", "json", container.id)
    assert (result.code, result.err) == (0, "")
    pids = json.loads(result.out)
    assert container.pid in pids
    assert len(pids) == 3


@pyrun_only("its form")
def test_json_is_one_line(container: Container) -> None:
    container.created("sleep 100")
    assert container.runtime("ps", "-f", "json", container.id).out == f"[{container.pid}]\n"
    container.kill("KILL")
    container.wait()
    assert container.runtime("ps", "-f", "json", container.id).out == "null\n"


@differs(crun="takes no options for ps")
@with_peers
def test_table_with_options(container: Container) -> None:
    """Words behind the id are the host's ps's, also those that look like ours."""
    container.started("sleep 100")
    result = container.runtime("ps", container.id, "-eo", "comm,pid")
    assert result.code == 0
    assert [line.split() for line in result.out.splitlines()] == [
        ["COMMAND", "PID"],
        ["payload", str(container.pid)],
    ]
    result = container.runtime("ps", container.id, "-f", "-e")
    assert result.code == 0
    assert "PPID" in result.out
    assert len(result.out.splitlines()) == 2


@pytest.mark.parametrize("path", [None, ""])
def test_table_by_default(container: Container, path: str | None) -> None:
    """As of ps -ef, also where no PATH says where it is."""
    container.started("sleep 100")
    env = {**os.environ, "PATH": path or ""}
    if path is None:
        del env["PATH"]
    result = container.runtime("ps", container.id, env=env)
    assert result.code == 0
    heading, line = result.out.splitlines()
    assert heading.split()[:3] == ["UID", "PID", "PPID"]
    assert line.split()[1] == str(container.pid)
    assert "/payload sleep 100" in line


@pyrun_only("the words")
def test_options_that_do_not_work(container: Container) -> None:
    container.started("sleep 100")
    assert container.runtime("ps", container.id, "-p", "1").out.split()[0] == "PID"
    result = container.runtime("ps", container.id, "-eo", "comm")
    assert result.code == 1
    assert result.err.startswith("pyrun: ps prints no column PID: ")
    result = container.runtime("ps", container.id, "--nonsense")
    assert result.code == 1
    assert result.err.startswith(
        "pyrun: ps --nonsense: exit code 1: error: unknown gnu long option"
    )


@pyrun_only("runc 1.1 and crun 1.8 have other words")
def test_no_such_container(container: Container, bundle: Bundle) -> None:
    result = container.runtime("ps", container.id)
    assert (result.code, result.out) == (1, "")
    assert result.err == f"pyrun: container does not exist: {container.id}\n"
