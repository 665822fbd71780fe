# SPDX-License-Identifier: Apache-2.0
"""CVE-2016-9962: what a process in the container can get at of one that is about to join."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually

with_peers = pytest.mark.with_peers
pyrun_only = pytest.mark.pyrun_only

EVERY_RIGHT = ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"]


def hunting(container: Container, kind: str, milliseconds: int) -> Container:
    """A container whose root hunts: of a user namespace of its own with every right in it, or of
    the host's with those that engines give."""
    if kind == "user namespace":
        container.bundle.map_ids()
        for kinds in ("bounding", "effective", "permitted"):
            container.bundle.process["capabilities"][kinds] += EVERY_RIGHT
    container.started(f"hunt {milliseconds}", "sleep 1000")
    assert eventually(lambda: "ready" in container.output.read_text())
    return container


def caught(container: Container) -> tuple[set[str], int]:
    """What the hunter got at, and how often it saw a process of the runtime."""
    assert eventually(container.answers, 30)
    lines = container.answers()[0].splitlines()
    return {line for line in lines if line.startswith("caught")}, int(lines[-1].split()[1])


KINDS = ["user namespace", "the host's"]


@with_peers
@pytest.mark.parametrize("kind", KINDS)
def test_hunted(container: Container, kind: str) -> None:
    """Many at once, one after the other: whoever is seen too early is caught."""
    hunting(container, kind, 6000)
    for _ in range(20):
        assert container.exec("print x").code == 0
    found, _ = caught(container)
    assert found == set()


@pytest.fixture
def busy_socket(bundle: Bundle) -> Iterator[Path]:
    """A socket at which nobody gets through."""
    path = bundle.path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(path))
        server.listen(0)
        first.connect(str(path))
        yield path


@pyrun_only("how it is held up")
@pytest.mark.parametrize("kind", KINDS)
def test_held_up_at_the_last_step(container: Container, busy_socket: Path, kind: str) -> None:
    """It is in the container, the user's already, and waits for the runtime's word: all the time
    that a hunter may want."""
    hunting(container, kind, 3000)
    words = ["exec", "--pidfd-socket", str(busy_socket), container.id, "/payload", "print", "x"]
    null = subprocess.DEVNULL
    process = container.runtime.popen(*words, stdin=null, stdout=null, stderr=null)
    try:
        found, seen = caught(container)
        assert found == set()
        assert seen > 10
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM


@pyrun_only("how it is held up")
def test_what_is_open_at_the_last_step(running: Container, busy_socket: Path) -> None:
    """Nothing leads out of the container but the socket to the runtime."""
    words = ["exec", "--pidfd-socket", str(busy_socket), running.id, "/payload", "print", "x"]
    null = subprocess.DEVNULL
    process = running.runtime.popen(*words, stdin=null, stdout=null, stderr=null)
    try:
        found: list[int] = []

        def waits() -> bool:
            found[:] = [pid for pid in children(process.pid) if comm(pid) == "pyrun:exec"]
            return bool(found) and os.path.exists(f"/proc/{found[0]}/root/payload")

        assert eventually(waits)
        folder = Path(f"/proc/{found[0]}/fd")
        assert eventually(lambda: len(list(folder.iterdir())) == 4)
        links = [os.readlink(path) for path in folder.iterdir()]
        assert sorted(link.partition(":")[0] for link in links) == ["/dev/null"] * 3 + ["socket"]
        assert os.readlink(f"/proc/{found[0]}/exe").startswith("/memfd:pyrun")
        status = Path(f"/proc/{found[0]}/status").read_text()
        assert "NSpid:" in status
    finally:
        process.kill()
        process.wait()
    assert eventually(lambda: not os.path.exists(f"/proc/{found[0]}") or reaped(found[0]))


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def reaped(pid: int) -> bool:
    """Whether a child has ended: it dies with the runtime, and is ours to wait for then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
