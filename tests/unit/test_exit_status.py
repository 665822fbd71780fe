# SPDX-License-Identifier: Apache-2.0
"""How an init ended, as procfs and the kernel's pidfds tell it; and when nobody does."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyrun import exit_status, init, state
from pyrun.commands import wait
from pyrun.errors import Error


@pytest.fixture
def container(tmp_path: Path) -> state.Container:
    found = state.claim({"root": str(tmp_path / "root")}, "box")
    found.intent = {
        "ociVersion": "1.3.0",
        "id": "box",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2024-01-01T00:00:00Z",
        "boot_id": init.boot_id(),
        "cgroup": {"paths": {}},
        "annotations": {},
        "hooks": {},
        "own_pids": True,
        "umask": 0o22,
    }
    found.state = {"phase": init.CREATED}
    return found


@pytest.fixture
def sleeper(container: state.Container) -> Iterator[subprocess.Popen[bytes]]:
    """Ends with 7 once its standard input does; on record as the container's init."""
    words = ["sh", "-c", "read x; exit 7"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        _, started = init.start_time(process.pid)
        container.state |= {"init_process_pid": process.pid, "init_process_start": started}
        container.write_intent()
        container.write_state()
        container.unlock()
        yield process
        process.kill()


def end(process: subprocess.Popen[bytes]) -> None:
    """It becomes a zombie."""
    assert process.stdin
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def test_codes() -> None:
    assert [exit_status.code(status) for status in (0, 7 << 8, 255 << 8, 9, 15 | 0x80)] == [
        0, 7, 255, 137, 143,
    ]  # fmt: skip
    assert exit_status.signal_of(7 << 8) is None
    assert exit_status.signal_of(11 | 0x80) == 11  # and a core


def test_zombie(container: state.Container, sleeper: subprocess.Popen[bytes]) -> None:
    end(sleeper)
    pidfd = exit_status.open_init(container)
    assert pidfd >= 0
    assert exit_status.wait(container, pidfd) == 7 << 8
    os.close(pidfd)


def test_zombie_that_we_may_not_look_at(
    container: state.Container, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """procfs says 0 then: who reaps it is waited for."""

    def refuse(_path: str) -> str:
        raise PermissionError

    monkeypatch.setattr(os, "readlink", refuse)
    monkeypatch.setattr(exit_status, "_of_reaped", lambda _fd: None if alive() else 7 << 8)

    def alive() -> bool:
        return init.start_time(sleeper.pid)[0] != "X"

    pidfd = exit_status.open_init(container)
    end(sleeper)

    def reap() -> None:
        time.sleep(0.2)
        sleeper.wait()

    reaper = threading.Thread(target=reap)
    reaper.start()
    assert exit_status.wait(container, pidfd) == 7 << 8
    reaper.join()
    assert sleeper.returncode == 7
    os.close(pidfd)


def test_reaped_and_the_kernel_keeps_nothing(
    container: state.Container, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exit_status, "_of_reaped", lambda _fd: None)
    pidfd = exit_status.open_init(container)
    end(sleeper)
    sleeper.wait()
    assert exit_status.wait(container, pidfd) is None
    os.close(pidfd)
    monkeypatch.setattr(exit_status, "open_init", lambda _container: os.open("/", os.O_RDONLY))
    monkeypatch.setattr(exit_status, "wait", lambda _container, _fd: None)
    opts = {"root": os.path.dirname(container.path), "id": "box", "json": False}
    with pytest.raises(Error) as caught:
        wait.run(opts)
    assert caught.value.code == 125
    assert str(caught.value) == (
        "container box has ended, and nobody told how: its parent took its status before us: Linux"
        f" 6.15 keeps it for others, this is {os.uname().release}"
    )


def test_a_pid_of_somebody_else(
    container: state.Container, sleeper: subprocess.Popen[bytes]
) -> None:
    container.state["init_process_start"] -= 1
    assert exit_status.open_init(container) == -1
    container.state["init_process_start"] += 1
    container.intent["boot_id"] = "another"
    assert exit_status.open_init(container) == -1


def test_record(container: state.Container, sleeper: subprocess.Popen[bytes]) -> None:
    assert exit_status.recorded(container) is None
    exit_status.record(container, 7 << 8)
    assert exit_status.recorded(container) == 7 << 8
    assert container.lock(wait=False), "the lock was not given back"
    other = state.find({"root": os.path.dirname(container.path)}, "box")
    assert other
    exit_status.record(other, 9)  # busy
    assert exit_status.recorded(other) == 7 << 8


def test_a_damaged_record(container: state.Container, sleeper: subprocess.Popen[bytes]) -> None:
    container.replace(exit_status.RECORD, b'{"wait_status": "7"}')
    with pytest.raises(Error, match=r"exit\.json: damaged: no wait_status"):
        exit_status.recorded(container)


def test_what_a_killed_create_left(container: state.Container) -> None:
    container.write_intent()
    container.unlock()
    with pytest.raises(Error, match="was not created to its end") as caught:
        wait.run({"root": os.path.dirname(container.path), "id": "box", "json": False})
    assert caught.value.code == 125
