# SPDX-License-Identifier: Apache-2.0
"""Descriptors: what the container gets of the caller's, and what the caller gets of it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from life.runtimes import Container

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs


@with_peers
def test_descriptors(container: Container) -> None:
    """Three, and no way from any of them back to the host's directories (CVE-2024-21626)."""
    read, write = os.pipe()
    folder = os.open("/", os.O_RDONLY)
    for fd in (read, write, folder):
        os.set_inheritable(fd, True)  # noqa: FBT003
    result = container.run("fds", close_fds=False)
    for fd in (read, write, folder):
        os.close(fd)
    assert [line.split()[0] for line in result.answers()[0].splitlines()] == ["0", "1", "2"]


@with_peers
def test_preserve_fds(container: Container) -> None:
    read, write = os.pipe()

    def place() -> None:
        os.dup2(write, 3)
        os.dup2(write, 4)
        os.dup2(write, 5)

    result = container.run(
        "fds", "write-fd 4 hello", flags=["--preserve-fds", "2"], preexec_fn=place, close_fds=False
    )
    os.close(write)
    assert [line.split()[0] for line in result.answers()[0].splitlines()] == list("01234")
    assert os.read(read, 100) == b"hello"
    os.close(read)


@differs(
    runc="1.1 does not look: it hands over descriptors of its own",
    crun="1.8 does not look whether they are open",
)
def test_preserve_fds_must_be_open(container: Container) -> None:
    result = container.run("fds", flags=["--preserve-fds", "3"])
    assert result.code == 1
    assert result.out == ""


def activated(container: Container, verb: str, script: str) -> list[str]:
    """The answers of "env" and "fds", with a pipe as the runtime's descriptors 3 and 4."""
    read, write = os.pipe()

    def activate() -> None:
        os.dup2(write, 3)
        os.dup2(write, 4)

    verbs = ("env", "fds")
    prefix = ["sh", "-c", f'{script} exec "$@"', "sh"]
    if verb == "run":
        answers = container.run(
            *verbs, prefix=prefix, preexec_fn=activate, close_fds=False
        ).answers()
    else:
        container.created(*verbs, prefix=prefix, preexec_fn=activate, close_fds=False)
        assert container.start().code == 0
        container.wait()
        answers = container.answers()
    os.close(read)
    os.close(write)
    return answers


@with_peers
@pytest.mark.parametrize("verb", ["run", "create"])
@differs(crun="1.8 sets LISTEN_PID alone")
def test_listen_fds(container: Container, verb: str) -> None:
    """Socket activation: descriptors from 3 on, if they are meant for the runtime."""
    env, fds = activated(container, verb, "LISTEN_PID=$$ LISTEN_FDS=1")
    found = [line for line in env.splitlines() if line.startswith("LISTEN_")]
    assert sorted(found) == ["LISTEN_FDS=1", "LISTEN_PID=1"]
    assert [line.split()[0] for line in fds.splitlines()] == list("0123")


@differs(runc="1.1 says that it were process 1", crun="1.8 sets LISTEN_PID alone")
def test_listen_pid_in_the_pid_namespace_of_the_host(container: Container) -> None:
    container.bundle.namespaces("mount", "uts", "ipc", "network")
    env, _ = activated(container, "create", "LISTEN_PID=$$ LISTEN_FDS=1")
    assert f"LISTEN_PID={container.pid}" in env.splitlines()


@with_peers
@differs(runc="1.1 drops the names", crun="1.8 sets LISTEN_PID alone")
def test_names_of_listen_fds(container: Container) -> None:
    env, fds = activated(container, "run", "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:log")
    assert {"LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=web:log"} <= set(env.splitlines())
    assert [line.split()[0] for line in fds.splitlines()] == list("01234")


@differs(crun="1.8 does not look whom they are meant for")
def test_listen_fds_of_another_process(container: Container) -> None:
    env, fds = activated(container, "run", "LISTEN_PID=1 LISTEN_FDS=2 LISTEN_FDNAMES=web:log")
    assert "LISTEN_" not in env
    assert [line.split()[0] for line in fds.splitlines()] == list("012")


@pytest.mark.pyrun_only("runc 1.1 has no such flag, crun an annotation")
@pytest.mark.parametrize("verb", ["run", "create"])
def test_pidfd_socket(container: Container, verb: str) -> None:
    """Of the init, also where a first stage had come before it."""
    container.bundle.map_ids()
    container.bundle.linux["namespaces"].append({"type": "time"})
    container.bundle.linux["timeOffsets"] = {"boottime": {"secs": 1000}}
    path = container.bundle.path / "pidfd.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        flags: list[str | Path] = ["--pidfd-socket", path]
        if verb == "run":
            flags.append("--detach")
        container.created("sleep 100", verb=verb, flags=flags)
        connection, _ = server.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 100, 2)
    assert len(fds) == 1
    info = Path(f"/proc/self/fdinfo/{fds[0]}").read_text()
    assert f"Pid:\t{container.pid}\n" in info
    signal.pidfd_send_signal(fds[0], signal.SIGKILL)
    os.close(fds[0])
    assert container.wait() == -signal.SIGKILL


@pytest.mark.pyrun_only("the text")
def test_pidfd_socket_that_nobody_listens_at(container: Container) -> None:
    result = container.create("print x", flags=["--pidfd-socket", "/no/such.sock"])
    assert result.code == 1
    assert "/no/such.sock: no such file or directory" in result.err
