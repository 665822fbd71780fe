# SPDX-License-Identifier: Apache-2.0
"""exec --tty: a terminal of the container's own for a process that joins it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import termios
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.exec_steps import NOT_STARTED, end, process_file
from life.runtimes import Container, eventually
from life.terminals import listening, receive, screen

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


def words(container: Container, *verbs: str) -> list[str]:
    """exec --tty, with these verbs."""
    found = ["exec", "--tty", container.id, "/payload"]
    for verb in verbs:
        found += [*verb.split(" "), ";"]
    return found[:-1]


@with_peers
def test_terminal_is_the_containers_own(running: Container) -> None:
    verbs = ("isatty 0", "isatty 1", "isatty 2", "ttyname 0", "stat /dev/pts/0", "pids")
    with screen(running, line=words(running, *verbs)) as shown:
        assert shown.end() == 0
        shown.wait_for(b"136:0")
        text = shown.shown.decode().replace("\r", "")
    assert text.count("yes") == 3
    assert "/dev/pts/0" in text
    pid, parent, group, session, foreground = text.split("136:0 0\n\036\n")[1].split()[:5]
    assert (pid, pid, pid) == (group, session, foreground), "it leads its session"
    assert parent == "0"


@pyrun_only("the peers may set it when the program runs already")
def test_window_size(running: Container) -> None:
    with screen(running, 33, 111, line=words(running, "winsize", "trap")) as shown:
        shown.wait_for(b"ready")
        assert b"33 111" in shown.shown
        shown.resize(44, 122)
        os.kill(shown.process.pid, signal.SIGWINCH)
        shown.wait_for(b"WINCH 44 122")
        os.kill(shown.process.pid, signal.SIGTERM)
        assert shown.end() == 0


@with_peers
def test_typing_and_keys(running: Container) -> None:
    """Our own terminal is raw meanwhile: ^C is a character on its way to the container's."""
    with screen(running, line=words(running, "trap")) as shown:
        shown.wait_for(b"ready")
        assert not termios.tcgetattr(shown.peer)[3] & (termios.ICANON | termios.ECHO)
        shown.type(b"\x03")
        shown.wait_for(b"INT")
        os.kill(shown.process.pid, signal.SIGTERM)
        assert shown.end() == 0
        assert termios.tcgetattr(shown.peer) == shown.mode, "the mode was given back"
    with screen(running, line=words(running, "echo")) as shown:
        shown.wait_for(b"ready")
        shown.type(b"hello\r")
        shown.wait_for(b"got hello")
        shown.type(b"\x04")
        assert shown.end() == 0


@with_peers
def test_exit_code(running: Container) -> None:
    with screen(running, line=words(running, "exit 9")) as shown:
        assert shown.end() == 9


@with_peers
def test_much_output(running: Container, bundle: Bundle) -> None:
    """None is lost at the end."""
    bundle.file("/etc/long", ("y" * 79 + "\n") * 3000 + "the end\n")
    with screen(running, line=words(running, "cat /etc/long")) as shown:
        shown.wait_for(b"the end")
        assert shown.end() == 0
    assert shown.shown.count(b"y" * 79) == 3000


@with_peers
@differs(crun="1.8 leaves it to root")
def test_terminal_belongs_to_the_user(running: Container) -> None:
    line = words(running, "stat /dev/pts/0", "write /dev/pts/0 x")
    with screen(running, line=["exec", "-u", "1000:1000", *line[1:]]) as shown:
        assert shown.end() == 0
        shown.wait_for(b"ok")
        assert shown.shown.split()[2] == b"1000"


@with_peers
def test_terminal_in_a_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.map_ids()
    container.started("sleep 1000")
    with screen(container, line=words(container, "isatty 0", "stat /dev/pts/0")) as shown:
        assert shown.end() == 0
        shown.wait_for(b"136:0")
        assert b"yes" in shown.shown


@with_peers
@pytest.mark.parametrize("way", ["flag", "file", "both"])
def test_console_socket(running: Container, bundle: Bundle, way: str) -> None:
    """As engines do it: the terminal goes to them, and nobody of ours is left."""
    path, pid_file = bundle.path / "console.sock", bundle.path / "exec.pid"
    line: list[str | Path] = ["exec", "--detach", "--console-socket", path, "--pid-file", pid_file]
    if way == "flag":
        line += ["--tty", running.id, "/payload", "winsize", ";", "echo"]
    else:
        members = {"terminal": True, "consoleSize": {"height": 12, "width": 34}}
        line += ["--process", process_file(running, "winsize", "echo", **members)]
        line += ["--tty", running.id] if way == "both" else [running.id]
    with listening(path) as listener:
        null = subprocess.DEVNULL
        process = running.runtime.popen(*line, stdin=null, stdout=null, stderr=null)
        text, (master,) = receive(listener)
        assert process.wait(10) == 0
    assert text
    shown = b""
    while b"ready" not in shown:
        shown += os.read(master, 100)
    if running.runtime.name != "crun":  # 1.8 may set it when the program runs already
        assert (b"12 34" in shown) == (way != "flag")
    os.write(master, b"word\n")
    while b"got word" not in shown:
        shown += os.read(master, 100)
    os.write(master, b"\x04")
    pid = int(pid_file.read_text())
    assert os.waitpid(pid, 0) == (pid, 0)
    os.close(master)


@with_peers
@pytest.mark.parametrize(
    "flags", [["--detach", "--tty"], ["--console-socket", "/x"], ["-d", "--console-socket", "/x"]]
)
@differs(crun="1.8 looks only when the program has run")
def test_terminal_needs_somebody_to_take_it(running: Container, flags: list[str]) -> None:
    result = running.exec("print x", flags=flags)
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "console socket" in result.err


@pyrun_only("the text, and that nothing is left")
def test_console_socket_that_is_not_there(running: Container, bundle: Bundle) -> None:
    pid_file = bundle.path / "exec.pid"
    flags = ["-d", "-t", "--console-socket", "/no/such/socket", "--pid-file", pid_file]
    result = running.exec("print x", flags=flags)
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "/no/such/socket: no such file or directory" in result.err
    assert not pid_file.exists()
    assert json.loads(running.runtime("ps", "-f", "json", running.id).out) == [running.pid]


@pyrun_only("the text")
def test_container_without_a_devpts(container: Container, bundle: Bundle) -> None:
    bundle.without_mount("/dev/pts")
    container.started("sleep 1000")
    result = container.exec("print x", flags=["--tty"])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert (
        "a terminal needs a devpts at /dev/pts" in result.err
        or "not in the container" in result.err
    )


@pyrun_only("the peers want a terminal of their own")
def test_without_a_terminal_of_our_own(running: Container) -> None:
    """What it prints comes out of a pipe, and what goes in is typed."""
    result = running.exec("isatty 1", "echo", flags=["--tty"], stdin="word\n\x04")
    assert result.code == 0
    assert "yes" in result.out
    assert "got word" in result.out


@with_peers
def test_killed_runtime_leaves_the_process(running: Container, bundle: Bundle) -> None:
    """SIGKILL of a foreground exec: the program is the container's, and goes on."""
    null = subprocess.DEVNULL
    process = running.runtime.popen(
        "exec", "--pid-file", bundle.path / "p", running.id, "/payload", "sleep", "1000",
        stdin=null, stdout=null,
    )  # fmt: skip
    assert eventually(lambda: (bundle.path / "p").exists() and (bundle.path / "p").read_text())
    pid = int((bundle.path / "p").read_text())
    comm = Path(f"/proc/{pid}/comm")
    assert eventually(lambda: comm.read_text() == "payload\n")
    process.kill()
    process.wait()
    assert comm.read_text() == "payload\n"
    assert running.status() == "running"
    assert end(pid) == -signal.SIGKILL
