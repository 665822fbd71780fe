# SPDX-License-Identifier: Apache-2.0
"""exec: another process in a container that lives, as it looks from inside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from life import leftovers
from life.bundles import Bundle, Config, sentence
from life.exec_steps import (
    NOT_STARTED,
    end,
    process_file,
)
from life.runtimes import Container, eventually

pytestmark = pytest.mark.again

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


@with_peers
def test_same_namespaces_and_root_as_the_init(running: Container) -> None:
    ns, hostname, root = running.exec_ask("ns", "hostname", "ls /")
    for line in ns.splitlines():
        kind, link = line.split()
        assert link == os.readlink(f"/proc/{running.pid}/ns/{kind}")
    assert hostname == "box"
    assert "payload" in root.splitlines()


@with_peers
def test_in_every_cgroup_of_the_init(running: Container, detached: Callable[..., int]) -> None:
    pid = detached("sleep 1000")
    own, init = (Path(f"/proc/{number}/cgroup").read_text() for number in (pid, running.pid))
    assert own == init
    assert leftovers.PARENT in own


@with_peers
@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code(running: Container, code: int) -> None:
    assert running.exec(f"exit {code}").code == code


@with_peers
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_exit_code_of_a_signal(running: Container, number: int) -> None:
    assert running.exec(f"kill-self {number}").code == 128 + number


@with_peers
def test_streams(running: Container) -> None:
    result = running.exec("echo", stdin="one\ntwo\n")
    assert result.answers() == ["ready\ngot one\ngot two"]
    assert result.err == ""


@with_peers
def test_into_a_created_container(container: Container) -> None:
    """Its own program waits, and goes on to."""
    container.created("print begun")
    assert container.exec_ask("hostname") == ["box"]
    assert container.status() == "created"
    assert container.start().code == 0
    container.wait()
    assert container.answers() == ["begun"]


@with_peers
@differs(crun="1.8 ends with 1, and says: no such process")
def test_stopped_container(container: Container) -> None:
    container.started("print x")
    container.wait()
    result = container.exec("id")
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "cannot exec in a stopped container" in result.err


@with_peers
@differs(crun="1.8 ends with 1, and says: no such file or directory")
def test_unknown_container(container: Container) -> None:
    result = container.exec("id")
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "container does not exist" in result.err


@with_peers
@differs(crun="1.8 ends with 1")
def test_paused_container(running: Container) -> None:
    assert running.runtime("pause", running.id).code == 0
    result = running.exec("id")
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "paused" in result.err
    assert running.runtime("resume", running.id).code == 0
    assert running.exec("id").code == 0


@with_peers
@differs(crun="1.8 has no --ignore-paused")
def test_paused_container_all_the_same(running: Container) -> None:
    """It begins when the container goes on: until then it can be resumed, and waits."""
    runtime = running.runtime
    assert runtime("pause", running.id).code == 0
    words = ["exec", "--ignore-paused", running.id, "/payload", "hostname"]
    with open(running.bundle.path / "out", "w+b") as out:
        process = runtime.popen(*words, stdin=subprocess.DEVNULL, stdout=out)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        assert runtime("resume", running.id).code == 0
        assert process.wait(10) == 0
        out.seek(0)
        assert out.read().startswith(b"box\n")


@pyrun_only("runc 1.1 can't be ended there, crun has no flag for it")
def test_a_paused_start_can_be_given_up(running: Container) -> None:
    runtime = running.runtime
    assert runtime("pause", running.id).code == 0
    words = ["exec", "--ignore-paused", running.id, "/payload", "hostname"]
    null = subprocess.DEVNULL
    process = runtime.popen(*words, stdin=null, stdout=null, stderr=null)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert runtime("resume", running.id).code == 0
    assert eventually(
        lambda: json.loads(runtime("ps", "-f", "json", running.id).out) == [running.pid]
    )


# What peers say instead in Debian 13; crun of a directory in Debian 12 as well.
PEERS_SAY = {
    ("runc", "/etc"): "is a directory",
    ("crun", "/etc"): "operation not permitted",
    ("crun", "/etc/plain"): "operation not permitted",
}


@with_peers
@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param(
            "absent",
            "executable file not found in $PATH",
            marks=differs(crun="1.8 has other words"),
        ),
        ("/absent", "no such file or directory"),
        ("/etc", "permission denied"),
        ("/etc/plain", "permission denied"),
    ],
)
def test_program_that_is_not_there(
    running: Container, bundle: Bundle, program: str, words: str
) -> None:
    """In the words that engines look for, and in the log as well."""
    bundle.file("/etc/plain", "no program")
    log = bundle.path / "log"
    options = ["--log", str(log), "--log-format", "json"]
    result = running.runtime("exec", running.id, program, options=options)
    assert (result.code, result.out) == (NOT_STARTED, "")
    said = {words, PEERS_SAY.get((running.runtime.name, program), words)}
    record = json.loads(log.read_text())
    assert record["level"] == "error"
    for text in (result.err, record["msg"]):
        assert any(word in text.lower() or word in text for word in said)


@pyrun_only("the text")
def test_program_of_another_machine(running: Container, bundle: Bundle) -> None:
    """What create finds out at the end, exec does as well: execve(2) itself fails."""
    bundle.file("/bin/odd", "\x7fELF nothing", 0o755)
    pid_file = bundle.path / "exec.pid"
    result = running.exec(flags=["--detach", "--pid-file", pid_file], stdin="")
    assert result.code == NOT_STARTED
    words = ["exec", "--detach", "--pid-file", pid_file, running.id, "/bin/odd"]
    result = running.runtime(*words)
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "exec format error" in result.err
    assert not pid_file.exists()


@with_peers
def test_arguments_that_look_like_flags(running: Container) -> None:
    """Flags end at the ID."""
    result = running.runtime("exec", running.id, "/payload", "print", "--detach")
    assert result.answers() == ["--detach"]


@pyrun_only("the peers look for a program of this name")
def test_two_dashes_before_the_command(running: Container) -> None:
    result = running.runtime("exec", running.id, "--", "/payload", "print", "--")
    assert result.answers() == ["--"]


@with_peers
@differs(crun="1.8 ends with 1")
def test_without_a_command(running: Container) -> None:
    result = running.exec()
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "args cannot be empty" in result.err


@with_peers
def test_detached(running: Container, bundle: Bundle) -> None:
    """When it returns the program runs; the pid file tells which it is."""
    path, pid_file = process_file(running, "sleep 1000"), bundle.path / "exec.pid"
    with open(bundle.path / "out", "wb") as out:
        words = ["exec", "--process", path, "--detach", "--pid-file", pid_file, running.id]
        process = running.runtime.popen(*words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        assert process.wait(20) == 0
    text = pid_file.read_text()
    assert text.isdigit()
    assert Path(f"/proc/{text}/comm").read_text() == "payload\n"
    assert (bundle.path / "out").read_bytes() == b""
    # It is ours now, as it would be an engine's: a child of whoever takes orphans in.
    assert end(int(text)) == -signal.SIGKILL
    assert running.status() == "running"


@with_peers
def test_it_goes_with_the_container(running: Container, detached: Callable[..., int]) -> None:
    pid = detached("spawn 3", "sleep 1000")
    assert running.kill().code == 0
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    running.wait()
    assert running.delete().code == 0


@pyrun_only("runc 1.1 has no such flag, crun an annotation")
def test_pidfd_socket(running: Container, bundle: Bundle) -> None:
    path, pid_file = bundle.path / "pidfd.sock", bundle.path / "exec.pid"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        flags = ["--detach", "--pid-file", pid_file, "--pidfd-socket", path]
        assert running.exec("sleep 1000", flags=flags).code == 0
        connection, _ = server.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 100, 2)
    assert len(fds) == 1
    info = Path(f"/proc/self/fdinfo/{fds[0]}").read_text()
    assert f"Pid:\t{pid_file.read_text()}\n" in info
    signal.pidfd_send_signal(fds[0], signal.SIGKILL)
    os.close(fds[0])
    assert os.waitpid(int(pid_file.read_text()), 0)[1] == signal.SIGKILL


@pyrun_only("the text")
@pytest.mark.parametrize("flag", ["--pid-file", "--pidfd-socket"])
def test_where_it_can_not_be_told(running: Container, flag: str) -> None:
    result = running.exec("sleep 1000", flags=["--detach", flag, "/no/such/place"])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "/no/such/place: no such file or directory" in result.err
    pids = json.loads(running.runtime("ps", "--format", "json", running.id).out)
    assert pids == [running.pid]


@with_peers
def test_descriptors(running: Container) -> None:
    read, write = os.pipe()
    folder = os.open("/", os.O_RDONLY)
    for fd in (read, write, folder):
        os.set_inheritable(fd, True)  # noqa: FBT003
    result = running.exec("fds", close_fds=False)
    for fd in (read, write, folder):
        os.close(fd)
    assert [line.split()[0] for line in result.answers()[0].splitlines()] == ["0", "1", "2"]


@with_peers
def test_preserve_fds(running: Container) -> None:
    read, write = os.pipe()

    def place() -> None:
        for fd in (3, 4, 5):
            os.dup2(write, fd)

    flags = ["--preserve-fds", "2"]
    keywords: Config = {"preexec_fn": place, "close_fds": False}
    result = running.exec("fds", "write-fd 4 hello", flags=flags, **keywords)
    os.close(write)
    assert [line.split()[0] for line in result.answers()[0].splitlines()] == list("01234")
    assert os.read(read, 100) == b"hello"
    os.close(read)


@with_peers
@differs(
    runc="1.1 says that it were process 1, and drops the names", crun="1.8 sets LISTEN_PID alone"
)
def test_socket_activation(running: Container) -> None:
    """Descriptors that were meant for the runtime are for the process, by its own pid: else
    sd_listen_fds(3) would not take them."""
    read, write = os.pipe()
    verbs = sentence("env", "fds", "pids")
    prefix = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$@"', "sh"]
    result = running.runtime(
        "exec", running.id, "/payload", *verbs,
        prefix=prefix, preexec_fn=lambda: os.dup2(write, 3), close_fds=False,
    )  # fmt: skip
    os.close(read)
    os.close(write)
    env, fds, pids = result.answers()
    found = [line for line in env.splitlines() if line.startswith("LISTEN_")]
    pid = pids.split()[0]
    assert int(pid) > 1
    assert sorted(found) == ["LISTEN_FDNAMES=web", "LISTEN_FDS=1", f"LISTEN_PID={pid}"]
    assert [line.split()[0] for line in fds.splitlines()] == list("0123")


@with_peers
def test_signals_are_passed_on(running: Container, bundle: Bundle) -> None:
    with open(bundle.path / "out", "w+b") as out:
        words = ["exec", running.id, "/payload", "trap"]
        process = running.runtime.popen(*words, stdin=subprocess.DEVNULL, stdout=out)
        shown = bundle.path / "out"
        assert eventually(lambda: b"ready\n" in shown.read_bytes())
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            process.send_signal(number)
            word = number.name.removeprefix("SIG").encode() + b"\n"
            assert eventually(lambda word=word: word in shown.read_bytes())  # type: ignore[misc]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    heard = [
        word for word in shown.read_bytes().split() if word != b"URG"
    ]  # runc sends itself some
    assert heard[:5] == [b"ready", b"HUP", b"USR1", b"INT", b"TERM"]
