# SPDX-License-Identifier: Apache-2.0
"""Many verbs at once, on many containers and on one: all succeed, or one does and others say so."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle
from life.runtimes import Container, Runtime, eventually

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


def test_fifty_at_once(runtime: Runtime, make_container: Callable[[], Container]) -> None:
    """Each with its whole life, all at the same time: nothing is left of any."""
    failures: list[Any] = []
    containers = [make_container() for _ in range(50)]

    def live(container: Container) -> None:
        try:
            container.created("sleep 100")
            assert container.status() == "created"
            assert container.start().code == 0
            assert container.status() == "running"
            assert container.kill().code == 0
            assert eventually(lambda: container.status() == "stopped")
            assert container.delete().code == 0
        except BaseException as error:  # noqa: BLE001 - the thread's failure is the test's
            failures.append((container.id, error))

    threads = [threading.Thread(target=live, args=(container,)) for container in containers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert [path for path in runtime.root.iterdir() if not path.name.startswith(".")] == []


@pytest.mark.pyrun_only("more than one may win with the peers")
@pytest.mark.parametrize("round_number", range(3))
def test_creates_of_one_id_at_once(container: Container, round_number: int) -> None:
    """Exactly one wins, and its container is whole."""
    container.bundle.say("sleep 100")
    container.bundle.save()
    words: list[str | Path] = ["create", "--bundle", container.bundle.path, container.id]
    null = subprocess.DEVNULL
    processes = [container.runtime.popen(*words, stdout=null, stderr=null) for _ in range(12)]
    codes = sorted(process.wait(20) for process in processes)
    assert codes == [0] + [1] * 11
    assert container.status() == "created"
    assert container.start().code == 0
    assert container.delete("--force").code == 0


@pytest.mark.pyrun_only("runc 1.1 may hang in the losers")
def test_starts_at_once(container: Container) -> None:
    container.created("sleep 100")
    processes = [
        container.runtime.popen("start", container.id, stderr=subprocess.DEVNULL) for _ in range(8)
    ]
    codes = sorted(process.wait(20) for process in processes)
    assert codes == [0] + [1] * 7
    assert container.status() == "running"


@pytest.mark.pyrun_only("the peers have no lock")
def test_deletes_at_once(container: Container) -> None:
    container.started("sleep 100")
    processes = [container.runtime.popen("delete", "--force", container.id) for _ in range(8)]
    assert {process.wait(20) for process in processes} == {0}


def test_delete_by_force_during_create(container: Container, bundle: Bundle) -> None:
    """Whichever comes first: nothing is left, and nobody hangs."""
    script = "sleep 0.3"
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}],
        "prestart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}],
    }
    bundle.say("sleep 100")
    bundle.save()
    for delay in (0.0, 0.02, 0.05, 0.2):
        create = container.runtime.popen(
            "create", "--bundle", bundle.path, container.id, stderr=subprocess.DEVNULL
        )
        time.sleep(delay)
        assert container.delete("--force").code == 0
        create.wait(10)
        assert container.delete("--force").code == 0
