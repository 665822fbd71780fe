# SPDX-License-Identifier: Apache-2.0
"""process.terminal: the container's own terminal, in the foreground and at a console socket;
signals that a foreground `run` passes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import termios

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually
from life.terminals import listening, receive, screen

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs


@pytest.fixture
def terminal(bundle: Bundle) -> Bundle:
    """The bundle, with a terminal asked for."""
    bundle.process["terminal"] = True
    return bundle


@with_peers
def test_terminal_is_the_containers_own(container: Container, terminal: Bundle) -> None:
    terminal.say("isatty 0", "isatty 1", "isatty 2", "ttyname 0", "stat /dev/console", "pids")
    with screen(container) as shown:
        assert shown.end() == 0
        shown.wait_for(b"136:0")
        text = shown.shown.decode()
    assert text.count("yes") == 3
    assert "/dev/pts/0" in text or "/dev/console" in text
    assert "1 0 1 1 1" in text, "it leads its session, and has the terminal's foreground"


@pytest.mark.pyrun_only("the peers may set it when the program runs already")
def test_window_size(container: Container, terminal: Bundle) -> None:
    terminal.say("winsize", "trap")
    with screen(container, 33, 111) as shown:
        shown.wait_for(b"ready")
        assert b"33 111" in shown.shown
        shown.resize(44, 122)
        os.kill(shown.process.pid, signal.SIGWINCH)
        shown.wait_for(b"WINCH 44 122")
        os.kill(shown.process.pid, signal.SIGTERM)
        assert shown.end() == 0


@pytest.mark.pyrun_only("the peers want a terminal of their own for run")
def test_console_size(container: Container, terminal: Bundle) -> None:
    """Where nobody has a terminal to take it from."""
    terminal.process["consoleSize"] = {"height": 21, "width": 77}
    assert container.run("winsize").out.split()[:2] == ["21", "77"]


@with_peers
def test_keys_are_the_containers(container: Container, terminal: Bundle) -> None:
    """Our own terminal is raw meanwhile: ^C is a character on its way to the container's."""
    terminal.say("trap")
    with screen(container) as shown:
        shown.wait_for(b"ready")
        assert not termios.tcgetattr(shown.peer)[3] & (termios.ICANON | termios.ECHO)
        shown.type(b"\x03")
        shown.wait_for(b"INT")
        shown.type(b"\x1c")
        shown.wait_for(b"QUIT")
        assert shown.process.poll() is None
        os.kill(shown.process.pid, signal.SIGTERM)
        assert shown.end() == 0
        assert termios.tcgetattr(shown.peer) == shown.mode, "the mode was given back"


def test_typing(container: Container, terminal: Bundle) -> None:
    terminal.say("echo")
    with screen(container) as shown:
        shown.wait_for(b"ready")
        shown.type(b"hello\r")
        shown.wait_for(b"got hello")
        shown.type(b"\x04")
        assert shown.end() == 0


@pytest.mark.pyrun_only("crun 1.8 may be killed by the end of its terminal, and leave its folder")
def test_much_output(container: Container, terminal: Bundle) -> None:
    """None is lost at the end, with a terminal."""
    terminal.file("/etc/long", "x" * 79 + "\n" * 1 + ("y" * 79 + "\n") * 3000 + "the end\n")
    terminal.say("cat /etc/long")
    with screen(container) as shown:
        shown.wait_for(b"the end")
        assert shown.end() == 0
    assert shown.shown.count(b"y" * 79) == 3000


@with_peers
def test_terminal_belongs_to_the_user(container: Container, terminal: Bundle) -> None:
    terminal.process["user"] = {"uid": 1000, "gid": 1000}
    terminal.say("stat /dev/pts/0")
    with screen(container) as shown:
        assert shown.end() == 0
        shown.wait_for(b"136:0")
        # The mode and the owner, whatever a runtime has shown before.
        assert re.search(rb"\b0\d{3} 1000 ", shown.shown)


@with_peers
def test_terminal_in_a_user_namespace(container: Container, terminal: Bundle) -> None:
    terminal.map_ids()
    terminal.say("isatty 0", "stat /dev/pts/0")
    with screen(container) as shown:
        assert shown.end() == 0
        shown.wait_for(b"136:0")
        assert b"yes" in shown.shown


@with_peers
@pytest.mark.parametrize("verb", ["create", "run"])
def test_console_socket(container: Container, terminal: Bundle, verb: str) -> None:
    path = terminal.path / "console.sock"
    with listening(path) as listener:
        flags = ["--console-socket", str(path), *(["--detach"] if verb == "run" else [])]
        container.created("echo", flags=flags, verb=verb)
        text, fds = receive(listener)
    assert text
    (master,) = fds
    if verb == "create":
        assert container.start().code == 0
    shown = b""
    while b"ready" not in shown:
        shown += os.read(master, 100)
    os.write(master, b"word\n")
    while b"got word" not in shown:
        shown += os.read(master, 100)
    os.write(master, b"\x04")
    assert container.wait() == 0
    os.close(master)


def test_console_socket_that_is_not_there(container: Container, terminal: Bundle) -> None:
    result = container.create("print x", flags=["--console-socket", "/no/such/socket"])
    assert result.code == 1
    assert "/no/such/socket" in result.err


def test_terminal_needs_somebody_to_take_it(container: Container, terminal: Bundle) -> None:
    """Detached without a console socket; or a console socket for nothing."""
    result = container.create("print x")
    assert result.code == 1
    terminal.process["terminal"] = False
    result = container.create("print x", flags=["--console-socket", "/x"])
    assert result.code == 1


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "CONT"])
def test_signals_are_passed_on(container: Container, name: str) -> None:
    container.bundle.say("trap")
    container.bundle.save()
    process = container.runtime.popen(
        "run",
        "--bundle",
        container.bundle.path,
        container.id,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(getattr(signal, f"SIG{name}"))
        # runc passes on what its own scheduler sends to itself
        heard = next(line for line in process.stdout if line != b"URG\n")
        assert heard == f"{name}\n".encode()
        if name != "TERM":
            process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@pytest.mark.pyrun_only("runc copies the streams itself")
def test_stopped_and_continued(container: Container) -> None:
    """Job control of a shell: the runtime may be stopped without a word to the container."""
    container.bundle.say("echo")
    container.bundle.save()
    process = container.runtime.popen(
        "run",
        "--bundle",
        container.bundle.path,
        container.id,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGSTOP)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"got one\n"
    process.send_signal(signal.SIGCONT)
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


def test_killed_runtime_leaves_the_container_to_delete(container: Container) -> None:
    """SIGKILL of a foreground run: the program goes on, and can be taken away."""
    container.bundle.say("sleep 100")
    container.bundle.save()
    process = container.runtime.popen("run", "--bundle", container.bundle.path, container.id)
    assert eventually(lambda: container.runtime("state", container.id).code == 0)
    assert eventually(lambda: container.status() == "running")
    process.kill()
    process.wait()
    assert container.delete("--force").code == 0
