# SPDX-License-Identifier: Apache-2.0
"""systemd's own tools: systemd-notify in the container, systemd-socket-activate that starts the
runtime, and the service manager itself where the machine has one."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle, bind
from life.runtimes import Container, eventually
from life.test_notify import Manager
from needs import needs

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only

HOST = [path for path in ("/usr", "/lib", "/lib64", "/bin") if Path(path).is_dir()]


@pytest.fixture
def manager(container: Container, tmp_path: Path) -> Iterator[Manager]:
    """Who listens at NOTIFY_SOCKET."""
    found = Manager(str(tmp_path / "manager"))
    yield found
    found.end()


@pytest.fixture
def with_programs(bundle: Bundle) -> None:
    """The host's programs are in the container, read-only."""
    bundle.config["mounts"] += [bind(path, path, "rbind", "ro") for path in HOST]
    bundle.process["env"] = ["PATH=/usr/bin:/bin"]


def shell(bundle: Bundle, script: str) -> None:
    """What the container runs."""
    bundle.process["args"] = ["sh", "-ec", script]


@needs("systemd-notify")
@with_peers
@differs(crun="1.8 does not say which")
def test_notify_in_the_foreground(
    container: Container, bundle: Bundle, manager: Manager, with_programs: None
) -> None:
    """It waits for its own barrier, so it ends when all that it said was passed on."""
    shell(bundle, "systemd-notify --ready --status=up; echo told")
    bundle.save()
    process = container.runtime.popen(
        "run", "--bundle", bundle.path, container.id,
        env=manager.env, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, b"told\n")
    assert manager.heard() == [f"MAINPID={process.pid}", "READY=1"]


@needs("systemd-notify")
@pytest.mark.parametrize("verb", ["start", "run"])
@differs(crun="1.8 does not say which")
@with_peers
def test_notify_of_a_detached_container(
    container: Container, bundle: Bundle, manager: Manager, with_programs: None, verb: str
) -> None:
    """The runtime has returned only when the container was ready: the file was there by then."""
    shell(bundle, "sleep 1; echo x >/tmp/ready; systemd-notify --ready; sleep 100")
    if verb == "start":
        container.created(env=manager.env)
        assert container.start(env=manager.env).code == 0
    else:
        flags = ["--detach"]
        assert container.create(verb="run", flags=flags, env=manager.env).code == 0
    assert (bundle.rootfs / "tmp/ready").exists()
    assert manager.heard() == [f"MAINPID={container.pid}", "READY=1"]


@contextlib.contextmanager
def activator(container: Container, path: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """systemd-socket-activate, which starts the runtime when somebody connects to `path`."""
    words = container.runtime.command("run", "--bundle", container.bundle.path, container.id)
    tool = ["systemd-socket-activate", *flags, "--listen", str(path), "--fdname", "web"]
    process = subprocess.Popen(
        [*tool, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        yield process
        process.terminate()


def received(path: Path) -> bytes:
    """All that a connection to `path` brings."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        assert eventually(lambda: client.connect_ex(str(path)) == 0)
        with client.makefile("rb") as file:
            return file.read()


@needs("systemd-socket-activate")
@with_peers
@differs(runc="1.1 drops the names", crun="1.8 sets LISTEN_PID alone")
def test_socket_activation(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    """The container gets the socket that listens, with its name, and accepts who is waiting."""
    bundle.say("env", "fds", "accept 3", "write-fd 4 served")
    bundle.save()
    with activator(container, tmp_path / "socket") as process:
        assert received(tmp_path / "socket") == b"served"
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0
    lines = out.decode().splitlines()
    assert {"LISTEN_FDS=1", "LISTEN_PID=1", "LISTEN_FDNAMES=web"} <= set(lines)
    assert [line for line in lines if line.startswith("3 socket:")]
    assert not [line for line in lines if line.startswith("4 ")]


@needs("systemd-socket-activate")
@with_peers
@differs(crun="1.8 sets LISTEN_PID alone")
def test_socket_activation_for_each_connection(
    container: Container, bundle: Bundle, tmp_path: Path
) -> None:
    """A container a connection, which is its descriptor 3."""
    bundle.say("write-fd 3 hello", "env")
    bundle.save()
    with activator(container, tmp_path / "socket", "--accept") as process:
        for _ in range(2):
            assert received(tmp_path / "socket") == b"hello"
            assert eventually(lambda: container.runtime("state", container.id).code == 1)
        process.terminate()
        out, _ = process.communicate(timeout=20)
    assert out.decode().splitlines().count("LISTEN_FDS=1") == 2


@needs("systemd", "systemd-notify")
@pytest.mark.parametrize("detach", [False, True], ids=["foreground", "detached"])
@pyrun_only("the peers are not on trial in the machine")
def test_service_of_type_notify(
    container: Container, bundle: Bundle, with_programs: None, detach: bool
) -> None:
    """To systemd, the service is active when its container says so, and it watches the right
    process: the runtime that waits, or the init itself."""
    shell(bundle, "sleep 1; echo x >/tmp/ready; systemd-notify --ready; sleep 100")
    bundle.save()
    unit = f"outer-{container.id}.service"
    flags = ["--detach", "--pid-file", str(container.pid_file)] if detach else []
    words = container.runtime.command("run", *flags, "--bundle", bundle.path, container.id)
    start = ["systemd-run", "--unit", unit, "--property=Type=notify", "--property=NotifyAccess=all"]
    try:
        subprocess.run([*start, *words], check=True, timeout=90, capture_output=True)
        assert (bundle.rootfs / "tmp/ready").exists()
        show = ["systemctl", "show", unit, "--property=ActiveState,MainPID"]
        text = subprocess.run(show, check=True, capture_output=True, text=True).stdout
        shown = dict(line.split("=", 1) for line in text.splitlines())
        assert shown["ActiveState"] == "active"
        if detach:
            assert shown["MainPID"] == str(container.pid)
        else:
            command = Path(f"/proc/{shown['MainPID']}/cmdline").read_bytes()
            assert b"\0run\0" in command
    finally:
        container.delete("--force")  # a shell that is pid 1 takes no SIGTERM
        subprocess.run(["systemctl", "stop", unit], timeout=90, capture_output=True)
        subprocess.run(["systemctl", "reset-failed", unit], timeout=90, capture_output=True)
