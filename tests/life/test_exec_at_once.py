# SPDX-License-Identifier: Apache-2.0
"""exec beside other verbs on the same container: many of it, from a hook, while it is paused or
deleted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from life import leftovers
from life.bundles import Bundle
from life.exec_steps import NOT_STARTED, cgroup_of
from life.runtimes import Container, eventually

with_peers = pytest.mark.with_peers
pyrun_only = pytest.mark.pyrun_only


@with_peers
def test_100_at_once(make_container: Callable[[], Container]) -> None:
    """Into one container; nothing fails, and nothing is left of them."""
    container = make_container().started("sleep 1000")
    words = ["exec", container.id, "/payload", "print", "here"]
    count = 100
    results = []
    processes = [
        container.runtime.popen(
            *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(count)
    ]
    for process in processes:
        out, err = process.communicate(timeout=100)
        results.append((process.returncode, out.decode().splitlines()[:1], err.decode()))
    assert results == [(0, ["here"], "")] * count
    assert cgroup_of(container.pid).count(container.id) > 1
    others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != container.pid]
    assert not [pid for pid in others if container.id in cgroup_of(pid)]


@with_peers
@pytest.mark.parametrize("verb", ["start", "run"])
def test_from_a_poststart_hook(container: Container, bundle: Bundle, verb: str) -> None:
    """Whoever starts it waits for the hook: exec must not wait for whoever starts it."""
    words = container.runtime.command("exec", container.id, "/payload", "write", "/data/x", "here")
    hook = {"path": words[0], "args": words, "env": ["PATH=/usr/bin"], "timeout": 10}
    bundle.config["hooks"] = {"poststart": [hook]}
    if verb == "start":
        container.started("sleep 1000")
    else:
        container.created("sleep 1000", verb="run", flags=["--detach"])
    assert (bundle.rootfs / "data/x").read_text() == "here"


@pyrun_only("the peers may be frozen half-way, for good")
def test_while_it_is_paused_and_resumed(running: Container) -> None:
    """Each is done, or refused in so many words; nobody hangs."""
    runtime, null = running.runtime, subprocess.DEVNULL
    words = ["exec", running.id, "/payload", "print", "x"]
    results = []
    for _ in range(15):
        processes = [
            runtime.popen(*words, stdin=null, stdout=null, stderr=subprocess.PIPE) for _ in range(3)
        ]
        assert runtime("pause", running.id).code == 0
        assert runtime("resume", running.id).code == 0
        for process in processes:
            _, err = process.communicate(timeout=30)
            results.append((process.returncode, err.decode()))
    refused = "pyrun: cannot exec in a paused container (use --ignore-paused to override)\n"
    assert set(results) <= {(0, ""), (NOT_STARTED, refused)}
    assert running.exec("id").code == 0


@pyrun_only("the words")
def test_while_it_is_deleted(make_container: Callable[[], Container]) -> None:
    """The container goes, and nothing of what was on its way is left."""
    null = subprocess.DEVNULL
    for pause in (0, 0.01, 0.02, 0.03, 0.05):
        container = make_container().started("sleep 1000")
        words = ["exec", "--detach", container.id, "/payload", "sleep", "1000"]
        processes = [
            container.runtime.popen(*words, stdin=null, stdout=null, stderr=subprocess.DEVNULL)
            for _ in range(6)
        ]
        time.sleep(pause)
        deletion = container.runtime.popen("delete", "--force", container.id)
        pid = container.pid
        # Who has joined is ours to reap: until then its pid namespace does not end.
        assert eventually(lambda deletion=deletion: reap_all(deletion), 30)  # type: ignore[misc]
        assert deletion.returncode == 0
        codes = {process.wait(20) for process in processes}
        assert codes <= {0, NOT_STARTED}
        assert not (container.runtime.root / container.id).exists()
        assert eventually(lambda: not leftovers.children() or reap_all(deletion))  # noqa: B023
        assert cgroup_of(pid).count(container.id) == 0


def reap_all(waited: subprocess.Popen[bytes]) -> bool:
    """Whether this one has ended; others that have are reaped."""
    for pid in leftovers.children():
        folder = Path(f"/proc/{pid}/comm")
        try:
            if pid != waited.pid and folder.read_text() != "pyrun\n":
                os.waitpid(pid, os.WNOHANG)
        except OSError:
            continue
    return waited.poll() is not None


@with_peers
def test_one_after_the_other(running: Container) -> None:
    """Nothing adds up: descriptors, processes, files of the state."""
    folder = running.runtime.root / running.id
    running.exec_ask("print x")  # a template; and by now runc's init has become the program
    before = (sorted(os.listdir(folder)), len(os.listdir(f"/proc/{running.pid}/fd")))
    for _ in range(30):
        assert running.exec("print x").code == 0
    assert (sorted(os.listdir(folder)), len(os.listdir(f"/proc/{running.pid}/fd"))) == before


@pyrun_only("runc 1.1 waits for them")
def test_orphans_of_a_process(running: Container) -> None:
    """What it leaves behind is the container's: its init takes it in."""
    assert running.exec("spawn 2").code == 0
    others = [p for p in os.listdir("/proc") if p.isdigit() and running.id in cgroup_of(p)]
    assert len(others) == 3
    parents = {Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split()[1] for p in others}
    assert str(running.pid) in parents
