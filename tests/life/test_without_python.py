# SPDX-License-Identifier: Apache-2.0
"""Verbs of an ordinary container start no Python, those of any other do; what they do, print and
leave is the same either way."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container, Result, eventually
from needs import needs

pytestmark = [
    needs("strace"),
    pytest.mark.pyrun_only("no peer is in Python"),
    pytest.mark.one_way("it tells the ways apart"),
]

TRUE = [{"path": "/bin/true"}]


class Traced:
    """Verbs of one container, with a count of the programs that each becomes."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.trace = container.bundle.path / "trace"

    def __call__(self, *words: str, **how: object) -> tuple[Result, bool]:
        """What it gave, and whether Python was started for it."""
        # Not -f: nothing of the container is to be traced.
        prefix = ["strace", "-qq", "-e", "trace=execve", "-o", str(self.trace)]
        result = self.container.runtime(*words, prefix=prefix, **how)
        lines = [line for line in self.trace.read_text().splitlines() if "execve(" in line]
        assert 1 <= len(lines) <= 2
        assert (len(lines) == 2) == any("/python3" in line for line in lines[1:])
        return result, len(lines) == 2


@pytest.fixture
def traced(container: Container) -> Traced:
    return Traced(container)


def test_an_ordinary_life(traced: Traced) -> None:
    container = traced.container
    container.created("sleep 100")
    for words, code in (
        (("state", container.id), 0),
        (("start", container.id), 0),
        (("state", container.id), 0),
        (("kill", container.id, "0"), 0),
        (("kill", container.id, "SIGKILL"), 0),
    ):
        result, python = traced(*words)
        assert (result.code, result.err, python) == (code, "", False), words
    container.wait()
    for words in (("state",), ("delete",), ("delete", "--force")):
        result, python = traced(*words, container.id)
        assert (result.code, result.err, python) == (0, "", False), words


def test_deleted_as_a_zombie_by_force(traced: Traced) -> None:
    container = traced.container.started("print x")
    container.wait_stopped()
    result, python = traced(
        "--log", str(container.bundle.path / "log"), "delete", "-f", container.id
    )
    assert (result.code, result.err, python) == (0, "", False)


def test_detached(traced: Traced) -> None:
    container = traced.container.created("sleep 100", flags=["--detach"], verb="run")
    for words in (("state", container.id), ("kill", container.id, "9")):
        result, python = traced(*words)
        assert (result.code, python) == (0, False), words
    container.wait()
    assert traced("delete", container.id)[1] is False


def poststart(bundle: Bundle) -> None:
    bundle.config["hooks"] = {"poststart": TRUE}


def poststop(bundle: Bundle) -> None:
    bundle.config["hooks"] = {"poststop": TRUE}


def shared_pids(bundle: Bundle) -> None:
    bundle.namespaces("ipc", "uts", "mount", "network", "cgroup")


@pytest.mark.parametrize(
    ("change", "unusual"), [(poststart, "start"), (poststop, "delete"), (shared_pids, "kill")]
)
def test_of_an_unusual_container(
    traced: Traced, change: Callable[[Bundle], None], unusual: str
) -> None:
    """One verb is unusual, the others are not."""
    container = traced.container
    change(container.bundle)
    container.created("sleep 100")
    for verb, words in (("start", ()), ("state", ()), ("kill", ("KILL",)), ("delete", ())):
        result, python = traced(verb, container.id, *words)
        assert (result.code, python) == (0, verb == unusual), (verb, result)
        if verb == "kill":
            container.wait()


def lives(container: Container) -> list[tuple[int, str, str, list[str]]]:
    """Every verb in every status: exit code, output, errors, and the files that are left."""
    folder = container.runtime.root / container.id
    found: list[tuple[int, str, str, list[str]]] = []

    def do(*words: str) -> None:
        result = container.runtime(*words)
        out = re.sub(r'("pid": |"created": )[1-9"][^,]*', r"\1N", result.out)
        found.append((result.code, out, result.err, files(folder)))

    def ask_all() -> None:
        do("state", container.id)
        do("kill", container.id, "0")
        do("start", container.id, "more")
        do("kill", container.id, "NOSUCH")

    for verb in ("start", "state", "kill", "delete"):
        do(verb, container.id)
    container.created("sleep 100")
    ask_all()
    do("start", container.id)
    ask_all()
    do("start", container.id)
    do("delete", container.id)
    do("kill", container.id, "KILL")
    container.wait()
    ask_all()
    do("start", container.id)
    do("delete", container.id)
    do("delete", container.id)
    do("delete", "--force", container.id)
    container.created("sleep 100")
    do("delete", "--force", container.id)
    container.wait()
    container.bundle.process["args"] = ["/data/program"]
    container.bundle.file("data/program", "#!/no/such/interpreter\n", 0o755)
    container.created()
    do("start", container.id)
    container.wait()
    ask_all()
    do("delete", container.id)
    return found


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.exists() else []


def test_both_ways_are_the_same(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    short = lives(container)
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    long = lives(container)
    for one, other in zip(short, long, strict=True):
        assert one == other


def test_a_failed_start_is_explained(traced: Traced) -> None:
    """By Python, from the report that the launcher has left in the fifo, every time."""
    container = traced.container
    container.bundle.process["args"] = ["/data/program"]
    container.bundle.file("data/program", "#!/no/such/interpreter\n", 0o755)
    for _ in range(5):
        container.created()
        result, python = traced("start", container.id)
        assert (result.code, python) == (1, True)
        assert "/data/program" in result.err
        assert "no such file or directory" in result.err
        assert eventually(lambda: container.status() == "stopped")
        assert container.delete().code == 0
