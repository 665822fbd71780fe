# SPDX-License-Identifier: Apache-2.0
"""Whether a recorded init lives: by pid, start time and boot, never by pid alone."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrun import init, state
from pyrun.errors import Error

PR_SET_NAME, PR_GET_NAME = 15, 16


@pytest.fixture
def container(tmp_path: Path) -> state.Container:
    found = state.claim({"root": str(tmp_path / "root")}, "box")
    found.intent = {"boot_id": init.boot_id(), "cgroup": {"paths": {}}}
    found.state = {"phase": init.CREATED}
    return found


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def record(container: state.Container, pid: int, started: int | None = None) -> None:
    real = init.start_time(pid)[1] if started is None else started
    container.state |= {"init_process_pid": pid, "init_process_start": real}


def lives(container: state.Container) -> bool:
    fd = init.open_init(container)
    if fd < 0:
        return False
    os.close(fd)
    return True


def test_alive(container: state.Container, sleeper: Any) -> None:
    record(container, sleeper.pid)
    assert lives(container)
    assert init.status(container) == init.RUNNING


def test_never_started(container: state.Container) -> None:
    assert not lives(container)
    assert init.status(container) == init.STOPPED


def test_a_pid_that_was_given_again(container: state.Container, sleeper: Any) -> None:
    """A stranger by the same number: never signalled, never called ours."""
    record(container, sleeper.pid, init.start_time(sleeper.pid)[1] - 1)
    assert not lives(container)
    assert init.status(container) == init.STOPPED


def test_another_boot(container: state.Container, sleeper: Any) -> None:
    record(container, sleeper.pid)
    container.intent["boot_id"] = "00000000-0000-0000-0000-000000000000"
    assert not lives(container)
    del container.intent["boot_id"]
    assert not lives(container)


def test_a_zombie_is_dead(container: state.Container, sleeper: Any) -> None:
    record(container, sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert init.start_time(sleeper.pid)[0] == "Z"
    assert not lives(container)


def test_nobody(container: state.Container) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    record(container, gone.pid, 5)
    assert init.start_time(gone.pid) == ("X", 0)
    assert not lives(container)


def test_not_knowing_is_not_the_same_as_gone(
    container: state.Container, sleeper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of descriptors on /proc/<pid>/stat: an error, or a living init would be left behind."""
    record(container, sleeper.pid)

    def refuse(path: str) -> str:
        if path.endswith("/stat"):
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path)

    real = init.read_text
    monkeypatch.setattr(init, "read_text", refuse)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(Error, match="too many open files"):
        init.open_init(container)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_with_parentheses_and_spaces() -> None:
    with subprocess.Popen(
        ["sh", "-c", "echo 'a) R 1 (b' >/proc/$$/comm; echo; read x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        assert init.start_time(process.pid)[1] >= init.start_time(os.getpid())[1]
        process.communicate(b"\n")


def test_waits_while_the_fifo_has_a_reader(
    container: state.Container, sleeper: Any, tmp_path: Path
) -> None:
    record(container, sleeper.pid)
    path = Path(container.path) / state.EXEC_FIFO
    os.mkfifo(path)
    assert init.status(container) == init.RUNNING
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert init.status(container) == init.CREATED
    freezer = tmp_path / "freezer.state"
    freezer.write_text("FROZEN\n")
    container.intent["cgroup"]["paths"] = {"freezer": str(tmp_path)}
    assert init.status(container) == init.PAUSED
    freezer.write_text("THAWED\n")
    assert init.status(container) == init.CREATED
    os.close(reader)
    assert init.status(container) == init.RUNNING


def test_creating(container: state.Container, sleeper: Any) -> None:
    """While its creator holds the lock; one that died on the way has stopped."""
    container.state["phase"] = init.CREATING
    other = state.find_in("", container.root_fd, "box")
    assert other is not None
    other.intent, other.state = container.intent, container.state
    assert init.status(other) == init.CREATING
    os.close(container.fd)
    assert init.status(other) == init.STOPPED


def test_signal_and_end(container: state.Container, sleeper: Any) -> None:
    record(container, sleeper.pid)
    fd = init.open_init(container)
    assert not init.wait_end(fd, 0.01)
    assert init.signal(fd, signal.SIGKILL)
    assert init.wait_end(fd, 5)
    sleeper.wait()
    assert not init.signal(fd, signal.SIGTERM)
    os.close(fd)


def test_a_name_that_looks_like_another_line() -> None:
    """The kernel escapes no end of a line but its own in proc_pid_status(5)."""
    libc = ctypes.CDLL(None)
    before = ctypes.create_string_buffer(16)
    libc.prctl(PR_GET_NAME, before)
    try:
        libc.prctl(PR_SET_NAME, b"x\x0bNSpid: 4242")
        assert init.inner_pid(os.getpid()) == os.getpid()
    finally:
        libc.prctl(PR_SET_NAME, before)
