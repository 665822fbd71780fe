# SPDX-License-Identifier: Apache-2.0
"""events and top: what containers use, and that they ran out of memory; with both versions of
cgroups (the other one in tests/vm)."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container, Runtime, eventually
from needs import needs

pytestmark = needs("root")
with_peers = pytest.mark.with_peers
no_verb = pytest.mark.differs(crun="has no events")
no_end = "runc goes on until the container is deleted"
# What runc leaves out when it is 0; psi came with 1.2, and io depends on what is cached.
SOMETIMES = {"cache", "usage", "max", "psi", "periods", "throttledPeriods", "throttledTime"}
SOMETIMES |= {"ioServiceBytesRecursive", "ioServicedRecursive"}


def stats(container: Container) -> dict[str, Any]:
    """`events --stats`, which must work."""
    result = container.runtime("events", "--stats", container.id)
    assert (result.code, result.err) == (0, ""), result
    assert result.out.count("\n") == 1
    found: dict[str, Any] = json.loads(result.out)
    assert (found["type"], found["id"]) == ("stats", container.id)
    data: dict[str, Any] = found["data"]
    return data


@contextmanager
def following(container: Container, interval: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """`events` in the background; a function that gives what it has printed so far."""
    with tempfile.TemporaryFile("w+") as out:
        process = container.runtime.popen(
            "events", "--interval", interval, container.id, stdout=out, stdin=subprocess.DEVNULL
        )

        def printed() -> list[dict[str, Any]]:
            assert not process.poll()
            out.seek(0)
            return [json.loads(line) for line in out.read().splitlines(keepends=True)]

        try:
            yield printed
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def kinds(value: object, path: str = "") -> dict[str, str]:
    """The path of each value in a document, and what it is; of lists, the first item's."""
    if isinstance(value, list):
        return {path: "list", **kinds(value[0], f"{path}[]")} if value else {path: "list"}
    if not isinstance(value, dict):
        return {path: type(value).__name__}
    found = {path: "dict"}
    for name, member in value.items():
        if name not in SOMETIMES:
            found.update(kinds(member, f"{path}/{name}"))
    return found


@with_peers
@no_verb
def test_numbers(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"].update(memory={"limit": 64 << 20}, pids={"limit": 30})
    container.started("burn 200", "hog 8", "print done", "sleep 100")
    assert eventually(lambda: len(container.answers()) >= 3, 60)
    found = stats(container)
    usage = found["cpu"]["usage"]
    assert 20_000_000 < usage["total"] < 60_000_000_000  # nanoseconds
    assert usage["kernel"] + usage["user"] >= 10_000_000
    memory = found["memory"]["usage"]
    assert memory["limit"] == 64 << 20
    assert 8 << 20 < memory["max"] <= 64 << 20
    assert 0 < memory["usage"] < 60 << 20
    assert found["memory"]["raw"]["pgfault"] > 100
    assert found["pids"] == {"current": 1, "limit": 30}
    assert found["network_interfaces"] is None


@needs("runc")
@pytest.mark.pyrun_only("it is compared with runc")
def test_form_is_that_of_runc(
    container: Container, make_bundle: Callable[[], Bundle], place: Path
) -> None:
    """The same members, with the same kinds of values."""
    other = make_bundle()
    peer = Container(Runtime("runc", place / "runc"), other, other.path.name)
    try:
        for one in (container, peer):
            one.bundle.linux["resources"]["memory"] = {"limit": 64 << 20}
            one.started("burn 100", "hog 4", "print done", "sleep 100")
            assert eventually(lambda one=one: len(one.answers()) >= 3, 60)
        ours, theirs = stats(container), stats(peer)
    finally:
        peer.delete("--force")
        shutil.rmtree(place / "runc", ignore_errors=True)
    if not theirs["hugetlb"]:  # of a kernel without /sys/kernel/mm/hugepages
        ours["hugetlb"] = {}
    assert kinds(ours) == kinds(theirs)
    for table in ("ioServiceBytesRecursive", "ioServicedRecursive"):
        one, two = (found["blkio"].get(table) for found in (ours, theirs))
        assert not one or not two or {e["op"] for e in one} == {e["op"] for e in two}


@with_peers
@no_verb
def test_lines_at_an_interval(container: Container) -> None:
    container.created("sleep 100")
    with following(container, "50ms") as printed:
        assert eventually(lambda: len(printed()) >= 3, 60)
        assert {event["type"] for event in printed()} == {"stats"}
        container.kill()
        container.wait_stopped()
        container.delete()


@pytest.mark.pyrun_only(no_end)
def test_ends_with_the_container(container: Container) -> None:
    container.created("sleep 100")
    with following(container, "50ms") as printed:
        assert eventually(printed, 60)
        container.kill()


@with_peers
@no_verb
def test_out_of_memory(container: Container, bundle: Bundle) -> None:
    """Also of the init, with which the container ends."""
    bundle.linux["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
    container.created("hog 64")
    with following(container, "100ms") as printed:
        assert eventually(printed, 60)
        container.start()
        container.wait_stopped()
        assert eventually(lambda: {"type": "oom", "id": container.id} in printed())
        container.delete()


@with_peers
@no_verb
def test_out_of_memory_and_alive(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
    container.created("hog-child 64", "print survived", "sleep 100")
    with following(container, "100ms") as printed:
        assert eventually(printed, 60)
        container.start()
        assert eventually(lambda: container.answers()[:2] == ["9", "survived"], 60)
        assert eventually(lambda: {"type": "oom", "id": container.id} in printed())
        assert container.status() == "running"
        container.kill()
        container.wait_stopped()
        container.delete()


@with_peers
@no_verb
def test_not_running(container: Container) -> None:
    result = container.runtime("events", "--stats", "nobody")
    assert result.code == 1
    assert "container does not exist" in result.err
    container.created("exit 0")
    container.kill()
    container.wait_stopped()
    result = container.runtime("events", container.id)
    assert result.code == 1
    assert f"container with id {container.id} is not running" in result.err


@with_peers
@no_verb
@pytest.mark.parametrize("interval", ["0s", "5", "soon"])
def test_wrong_interval(container: Container, interval: str) -> None:
    container.created("sleep 100")
    result = container.runtime("events", "--interval", interval, container.id)
    assert result.code == 1
    assert "interval" in result.err


@pytest.mark.pyrun_only("cgroups can't be disabled with runc")
def test_no_cgroup(container: Container, bundle: Bundle) -> None:
    bundle.linux["resources"] = {}
    container.created("sleep 100", options=["--cgroup-manager", "disabled"])
    result = container.runtime("events", container.id)
    assert result.code == 1
    assert result.err.startswith("pyrun: the container has no cgroup, and so no statistics: ")
    (row,) = json.loads(container.runtime("top", "--json", "--interval", "10ms").out)
    assert (row["status"], row["memory"], row["cpu_percent"]) == ("created", None, None)


@pytest.mark.pyrun_only("no runtime has top")
def test_top(make_container: Callable[[], Container]) -> None:
    """Of a busy container, an idle one and one that has ended; a table where no terminal is."""
    busy, idle, ended = (make_container() for _ in range(3))
    busy.bundle.linux["resources"].update(memory={"limit": 64 << 20}, pids={"limit": 30})
    busy.started("burn 60000")
    idle.created("sleep 100")
    ended.created("sleep 100").kill()
    ended.wait_stopped()
    result = busy.runtime("top", "--json", "--interval", "400ms")
    assert (result.code, result.err) == (0, "")
    rows = {row["id"]: row for row in json.loads(result.out)}
    assert list(rows) == sorted((busy.id, idle.id, ended.id))
    assert rows[busy.id]["status"] == "running"
    assert 5 < rows[busy.id]["cpu_percent"] < 150
    assert rows[busy.id]["memory_limit"] == 64 << 20
    assert 0 < rows[busy.id]["memory"] < 64 << 20
    assert rows[busy.id]["pids"] == 1
    assert rows[idle.id]["status"] == "created"
    assert rows[idle.id]["cpu_percent"] < 5
    assert rows[idle.id]["memory_limit"] is None
    assert rows[ended.id]["status"] == "stopped"
    assert rows[ended.id]["memory"] is None
    table = busy.runtime("top", "--interval", "400ms").out.splitlines()
    assert table[0].startswith("ID ")
    assert table[1].split()[0] == busy.id
    assert len(table) == 4


@pytest.mark.pyrun_only("no runtime has top")
@pytest.mark.parametrize("end", [b"q", b"\x03"], ids=["q", "interrupt"])
def test_top_on_a_terminal(container: Container, end: bytes) -> None:
    """Drawn again and again; the terminal is as before when it ends."""
    container.created("sleep 100")
    master, peer = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 60, 0, 0))
    before = termios.tcgetattr(peer)
    process = container.runtime.popen(
        "top", "--interval", "50ms", stdin=peer, stdout=peer, stderr=peer,
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    shown = b""

    def drawn_thrice() -> bool:
        nonlocal shown
        shown += os.read(master, 65536)
        return shown.count(b"\x1b[H") >= 3

    try:
        assert eventually(drawn_thrice, 60)
        os.write(master, end)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
    assert eventually(lambda: _rest(master).endswith(b"\x1b[?1049l"))
    assert shown.startswith(b"\x1b[?1049h")
    assert container.id.encode() in shown
    lines = re.sub(rb"\x1b\[\??[0-9]*[a-zA-Z]", b"\r\n", shown).split(b"\r\n")
    assert max(map(len, lines)) == 60
    assert termios.tcgetattr(peer) == before
    os.close(master)
    os.close(peer)


def _rest(master: int) -> bytes:
    return os.read(master, 65536)
