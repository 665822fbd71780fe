# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore of a container with a terminal, and restore in the foreground."""

from __future__ import annotations

import os
import select
import signal
import subprocess

import pytest

import needs
from life.bundles import Bundle
from life.checkpoints import Saved, goes_on
from life.terminals import listening, receive, screen

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
        text += os.read(master, 100)
    return text.decode().splitlines()[:lines]


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
