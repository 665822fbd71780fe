# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore of a container with a terminal, and restore in the foreground."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import needs
from life.bundles import Bundle
from life.checkpoints import PATIENCE, Pipe, Saved, goes_on
from life.terminals import Screen, listening, receive, screen

pytestmark = needs.needs("criu")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs(crun="Debian's is built without CRIU")


@pytest.fixture
def terminal(bundle: Bundle) -> Bundle:
    """The bundle, with a terminal asked for."""
    bundle.process["terminal"] = True
    return bundle


def read(master: int, lines: int = 3) -> list[str]:
    """So many lines of a terminal."""
    text = b""
    while text.count(b"\n") < lines:
        assert select.select([master], [], [], 10)[0], text
        text += os.read(master, 1)  # no more: what comes behind is for rest()
    return text.decode().splitlines()


def rest(master: int) -> list[str]:
    """What is left of a terminal that nobody has open any more."""
    text = b""
    try:
        while select.select([master], [], [], 10)[0]:
            text += os.read(master, 100)
    except OSError:
        pass  # EIO: its end
    return text.decode().splitlines()


@with_peers
@differs
def test_console_socket(saved: Saved, terminal: Bundle) -> None:
    path = terminal.path / "console.sock"
    with listening(path) as listener:
        saved.start("count", flags=("--console-socket", path))
        _, (old,) = receive(listener)
        before = read(old)
        saved.saved()
        before += rest(old)
        os.close(old)
        saved.restored("--console-socket", path)
        name, (new,) = receive(listener)
    assert name
    assert goes_on(before, read(new))
    os.close(new)


def test_foreground_with_a_terminal(saved: Saved, terminal: Bundle) -> None:
    """What is typed and the size of the window come in, and the end comes out."""
    path = terminal.path / "console.sock"
    with listening(path) as listener:
        saved.start("trap", flags=("--console-socket", path))
        _, (old,) = receive(listener)
        assert read(old, 1) == ["ready"]
        saved.saved()
        os.close(old)
    words = ("restore", "--image-path", str(saved.images))
    with screen(saved.container, 33, 111, words) as shown:
        shown.wait_for(b"WINCH 33 111")
        shown.type(b"\x03")
        shown.wait_for(b"INT")
        shown.resize(44, 122)
        os.kill(shown.process.pid, signal.SIGWINCH)
        shown.wait_for(b"WINCH 44 122")
        os.kill(shown.process.pid, signal.SIGTERM)
        assert shown.end() == 0
    assert saved.container.runtime("state", saved.container.id).code == 1


@with_peers
@differs
def test_foreground(saved: Saved) -> None:
    """Without a terminal: signals go to the container, its end and its exit code come back."""
    saved.start("trap").until("ready")
    saved.saved()
    words = ("restore", "--image-path", saved.images, "--bundle", saved.container.bundle.path)
    process = saved.container.runtime.popen(
        *words, saved.container.id, stdin=subprocess.DEVNULL, stdout=saved.new_pipe().write_end
    )
    saved.pipe.close_write_end()
    saved.wait_until_running()
    process.send_signal(signal.SIGUSR1)
    saved.pipe.until("USR1\n")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert saved.container.runtime("state", saved.container.id).code != 0


def test_a_terminal_needs_somebody_to_take_it(saved: Saved, terminal: Bundle) -> None:
    path = terminal.path / "console.sock"
    with listening(path) as listener:
        saved.start("count", flags=("--console-socket", path))
        _, (old,) = receive(listener)
        saved.saved()
        os.close(old)
    result = saved.restore()
    assert result.code == 1
    assert "console socket" in result.err
    result = saved.restore("--console-socket", "/no/such/socket")
    assert result.code == 1
    assert "/no/such/socket" in result.err


def counted(shown: Screen, least: int = 0) -> list[str]:
    """The numbers on a screen; so many at least, or to the end of what writes there."""
    while least and shown.shown.count(b"\n") < least:
        assert select.select([shown.master], [], [], PATIENCE)[0], shown.shown
        shown.shown += os.read(shown.master, 4096)
    while select.select([shown.master], [], [], 0)[0]:
        shown.shown += os.read(shown.master, 4096)
    return shown.shown.decode().splitlines()


@with_peers
@differs
@pytest.mark.parametrize("flags", [(), ("--shell-job",)])
def test_the_caller_s_own_terminal(saved: Saved, flags: tuple[str, ...]) -> None:
    """A container without one of its own, in the foreground: it goes on on that of whoever
    restores it."""
    container = saved.container
    if container.runtime.name == "runc":
        flags = ()  # its containers have pipes, and CRIU wants a terminal then
    container.bundle.say("count")
    with screen(container) as shown:
        counted(shown, 2)
        saved.saved(*flags)
        shown.end()
        before = counted(shown)
    words = ("restore", *flags, "--image-path", str(saved.images))
    with screen(container, words=words) as shown:
        assert goes_on(before, counted(shown, 2))
        assert container.kill("KILL").code == 0
        assert shown.end() == 128 + signal.SIGKILL


def test_a_stream_that_is_no_terminal_any_more(saved: Saved) -> None:
    container = saved.container
    container.bundle.say("count")
    with screen(container) as shown:
        counted(shown, 2)
        saved.saved()
    result = saved.restore()
    assert result.code == 1
    assert "restore: standard stream 0 was a terminal, and must be one again" in result.err
    assert container.runtime("state", container.id).code == 1


@pytest.fixture
def terminals() -> Iterator[list[int]]:
    """Two of the host's."""
    pairs = [os.openpty() for _ in range(2)]
    yield [terminal for _, terminal in pairs]
    for pair in pairs:
        for fd in pair:
            os.close(fd)


def started_with(saved: Saved, terminal: int, *flags: str | Path) -> Pipe:
    """A container that counts, to which a terminal of the host is passed on as descriptor 3."""
    container = saved.container
    container.bundle.say("count")
    container.bundle.save()
    flags = ("--detach", "--preserve-fds", "1", "--pid-file", container.pid_file, *flags)
    process = container.runtime.popen(
        *("run", *flags, "--bundle", container.bundle.path, container.id),
        prefix=["sh", "-c", f'exec "$@" 3<>{os.ttyname(terminal)}', "sh"],
        stdin=subprocess.DEVNULL,
        stdout=saved.new_pipe().write_end,
        stderr=subprocess.DEVNULL,
    )
    saved.pipe.close_write_end()
    assert process.wait(PATIENCE) == 0
    return saved.pipe


def test_shell_job(saved: Saved, terminals: list[int]) -> None:
    """Another descriptor that leads to a terminal of the host: only if asked for. It is the one on
    the standard input of `restore` then."""
    container = saved.container
    first = started_with(saved, terminals[0])
    first.lines(2)
    result = saved.checkpoint()
    assert result.code == 1
    assert "with a terminal of the host's can be checkpointed with --shell-job" in result.err
    saved.saved("--shell-job")
    before = first.rest()
    process = container.runtime.popen(
        *("restore", "--detach", "--shell-job", "--pid-file", container.pid_file),
        *("--image-path", saved.images, "--bundle", container.bundle.path, container.id),
        stdin=terminals[1],
        stdout=saved.new_pipe().write_end,
        stderr=subprocess.DEVNULL,
    )
    saved.pipe.close_write_end()
    assert process.wait(PATIENCE) == 0, saved.log("restore.log")
    assert goes_on(before, saved.pipe.lines(2))
    assert os.stat(f"/proc/{container.pid}/fd/3").st_rdev == os.fstat(terminals[1]).st_rdev


def test_two_kinds_of_terminals(saved: Saved, terminal: Bundle, terminals: list[int]) -> None:
    """CRIU would take one for the other."""
    path = terminal.path / "console.sock"
    with listening(path) as listener:
        started_with(saved, terminals[0], "--console-socket", path)
        _, (master,) = receive(listener)
    read(master)
    result = saved.checkpoint("--shell-job")
    assert result.code == 1
    assert "with its own and another terminal can't be checkpointed" in result.err
    read(master)
    os.close(master)
