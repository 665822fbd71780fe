# SPDX-License-Identifier: Apache-2.0
"""NOTIFY_SOCKET: how a service manager hears that a container is ready, and of which process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.runtimes import Container, eventually

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs


class Manager:
    """What systemd does with its socket: takes datagrams, and closes what comes with a barrier."""

    def __init__(self, address: str) -> None:
        self.env = {**os.environ, "NOTIFY_SOCKET": address.replace("\0", "@")}
        self.lines: list[str] = []
        self.barriers = 0
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.thread = threading.Thread(target=self._listen)
        self.thread.start()

    def _listen(self) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
            if data == b"end":
                return
            if data == b"BARRIER=1":
                self.barriers += 1
            else:
                self.lines += data.decode().splitlines()
            for fd in fds:
                os.close(fd)

    def heard(self) -> list[str]:
        """All that was sent up to now."""
        self.end()
        return sorted(self.lines)

    def end(self) -> None:
        """No more."""
        if self.thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
                own.sendto(b"end", self.socket.getsockname())
            self.thread.join()
            self.socket.close()


@pytest.fixture
def manager(container: Container, tmp_path: Path) -> Iterator[Manager]:
    """At a path."""
    found = Manager(str(tmp_path / "manager"))
    yield found
    found.end()


@with_peers
@differs(crun="1.8 does not say which")
def test_foreground(container: Container, manager: Manager) -> None:
    """Of all that it says, only that it is ready; the process to watch is the one that waits."""
    container.bundle.say("notify STATUS=1", "notify READY=1", "notify MAINPID=7", "sleep 1")
    container.bundle.save()
    process = container.runtime.popen(
        "run", "--bundle", container.bundle.path, container.id,
        env=manager.env, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.wait(20) == 0
    assert manager.heard() == [f"MAINPID={process.pid}", "READY=1"]


@pytest.mark.pyrun_only("the peers stop listening after the first, or block on it")
def test_foreground_until_the_end(container: Container, manager: Manager) -> None:
    """It may say it again, as after a reload; a barrier ends when all before it was passed on."""
    verbs = ("notify STATUS=1 READY=1", "notify WATCHDOG=1", "barrier", "notify READY=1", "barrier")
    answers = container.ask("env", *verbs, env=manager.env)
    assert "NOTIFY_SOCKET=/run/notify/notify.sock" in answers[0].splitlines()
    assert answers[1:] == ["ok"] * 5
    assert manager.heard().count("READY=1") == 2
    assert all(line.startswith(("READY=1", "MAINPID=")) for line in manager.lines)


@pytest.mark.parametrize("verb", ["start", "run"])
@differs(runc="1.1 asks for no barrier", crun="1.8 does not wait")
def test_detached_waits(container: Container, manager: Manager, verb: str) -> None:
    """Until it is ready, and the manager has taken the init's pid."""
    verbs = ("sleep 1", "notify READY=1", "sleep 100")
    before = time.monotonic()
    if verb == "start":
        container.created(*verbs, env=manager.env)
        result = container.start(env=manager.env)
    else:
        result = container.create(*verbs, verb="run", flags=["--detach"], env=manager.env)
    assert result.code == 0, result
    assert time.monotonic() - before > 0.9
    assert manager.heard() == [f"MAINPID={container.pid}", "READY=1"]
    assert manager.barriers == 1
    assert container.status() == "running"


@pytest.mark.pyrun_only("runc 1.1 may wait for ever, crun 1.8 does not wait")
@pytest.mark.parametrize("verb", ["start", "run"])
def test_end_of_the_init_ends_the_wait(container: Container, manager: Manager, verb: str) -> None:
    if verb == "start":
        container.created("sleep 1", env=manager.env)
        assert container.start(env=manager.env).code == 0
    else:
        flags = ["--detach"]
        assert container.create("sleep 1", verb="run", flags=flags, env=manager.env).code == 0
    container.wait()
    assert manager.heard() == []
    assert container.delete().code == 0


@pytest.mark.pyrun_only("runc ends by the signal too, but not crun, which does not wait")
@pytest.mark.parametrize("verb", ["start", "run"])
def test_interrupted_wait(container: Container, manager: Manager, verb: str) -> None:
    """The container goes on, and other verbs have not to wait meanwhile."""
    if verb == "start":
        container.created("sleep 100", env=manager.env)
        words: tuple[str | Path, ...] = ("start", container.id)
    else:
        container.bundle.say("sleep 100")
        container.bundle.save()
        words = ("run", "-d", "--pid-file", container.pid_file)
        words = (*words, "--bundle", container.bundle.path, container.id)
    process = container.runtime.popen(
        *words, env=manager.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    # the pid file comes before the program runs
    assert eventually(lambda: container.pid_file.exists() and container.status() == "running")
    assert container.delete().code == 1, "it is not stopped"
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM
    assert container.status() == "running"


@pytest.mark.pyrun_only("runc 1.1 leaves a wait of 100 ms behind")
def test_delete_while_it_waits(container: Container, manager: Manager) -> None:
    container.created("print up", "sleep 100", env=manager.env)
    process = container.runtime.popen("start", container.id, env=manager.env)
    assert eventually(container.answers)  # it is the program: killed before, it fails start
    assert container.delete("--force").code == 0
    assert process.wait(5) == 0


@pytest.mark.parametrize("who", ["user", "namespace"])
@pytest.mark.pyrun_only("runc and crun want another rootfs for this")
def test_of_somebody_else(container: Container, bundle: Bundle, manager: Manager, who: str) -> None:
    """Neither the socket's mode nor its owner is in the way."""
    if who == "namespace":
        bundle.map_ids()
    bundle.process["user"]["uid"] = 1000
    assert container.ask("notify READY=1", "barrier", env=manager.env) == ["ok", "ok"]
    assert "READY=1" in manager.heard()


@pytest.mark.pyrun_only("the peers mount it as it is")
def test_folder_is_read_only(container: Container, manager: Manager) -> None:
    answers = container.ask("ls /run/notify", "write /run/notify/x y", env=manager.env)
    assert answers == ["notify.sock", "error: EROFS"]


@pytest.mark.pyrun_only("the peers fail without the mount")
def test_without_a_mount_namespace(container: Container, bundle: Bundle, manager: Manager) -> None:
    """Nothing can be mounted, so it is not told of a socket."""
    bundle.namespaces("pid", "network", "ipc", "uts")
    bundle.config["mounts"] = []
    assert "NOTIFY_SOCKET" not in container.ask("env", env=manager.env)[0]
    assert not (bundle.rootfs / "run").exists()


@pytest.mark.pyrun_only("the peers give the socket of the runtime to a start without one, or fail")
@pytest.mark.parametrize("verb", ["create", "start"])
def test_given_to_one_verb_only(container: Container, manager: Manager, verb: str) -> None:
    """The container runs without anybody who listens."""
    env = {"create": None, "start": None, verb: manager.env}
    container.created("notify READY=1", "sleep 100", env=env["create"])
    assert container.start(env=env["start"]).code == 0
    assert eventually(container.answers)
    assert container.answers()[0].startswith("error: ")
    assert manager.heard() == []


@pytest.mark.pyrun_only("the texts")
def test_manager_that_is_not_there(container: Container, tmp_path: Path) -> None:
    """The container is not the worse for it; the log has it."""
    env = {**os.environ, "NOTIFY_SOCKET": "/no/such/socket"}
    log = tmp_path / "log"
    container.bundle.say("notify READY=1", "sleep 1")
    container.bundle.save()
    result = container.runtime(
        "run", "--bundle", container.bundle.path, container.id, env=env,
        options=["--log", log, "--log-level", "warning"],
    )  # fmt: skip
    assert (result.code, result.err) == (0, "")
    assert "NOTIFY_SOCKET /no/such/socket: no such file or directory" in log.read_text()


@pytest.mark.pyrun_only("crun 1.8 does not know abstract names")
def test_abstract_address(container: Container) -> None:
    manager = Manager(f"\0pyrun-{container.id}")
    container.ask("notify READY=1", "barrier", env=manager.env)
    assert "READY=1" in manager.heard()


@with_peers
@pytest.mark.parametrize(
    "yes", [True, pytest.param(False, marks=differs(crun="1.8 does not know the flag"))]
)
def test_subreaper(
    container: Container, bundle: Bundle, yes: bool, make_container: Callable[[], Container]
) -> None:
    """In the foreground, orphans of a container without a pid namespace are the runtime's."""
    bundle.namespaces("mount", "network", "ipc", "uts")
    bundle.say("orphan", "orphan")
    bundle.save()
    output = bundle.path / "output"
    with open(output, "wb") as file:
        flags = [] if yes else ["--no-subreaper"]
        process = container.runtime.popen(
            "run", *flags, "--bundle", bundle.path, container.id, stdout=file
        )
    assert process.wait(20) == 0
    assert container.answers() == [str(process.pid if yes else os.getpid())] * 2
