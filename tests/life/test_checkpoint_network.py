# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore of TCP connections and network namespaces, new and joined."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import needs
from life.bundles import NAMESPACES, Bundle
from life.checkpoints import Saved, goes_on
from life.runtimes import eventually

pytestmark = needs.needs("criu", "ip")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs(crun="Debian's is built without CRIU")

PORT = "27105"
ECHO = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    connection = server.accept()[0]
    while data := connection.recv(64):
        connection.sendall(data)
"""


@pytest.fixture
def joined(bundle: Bundle) -> Iterator[str]:
    """The path of a network namespace that is there already, and that the container joins."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 1000"],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"up\n"
    path = f"/proc/{holder.pid}/ns/net"
    kinds = [kind for kind in NAMESPACES if kind != "network"]
    bundle.namespaces(*kinds, network=path)
    yield path
    holder.kill()
    holder.wait()
    holder.stdout.close()


@pytest.fixture
def server(joined: str) -> Iterator[str]:
    """The port of a server outside of the container."""
    process = subprocess.Popen(
        ["nsenter", f"--net={joined}", sys.executable, "-c", ECHO], stdout=subprocess.PIPE
    )
    assert process.stdout
    yield process.stdout.readline().decode().strip()
    process.kill()
    process.wait()
    process.stdout.close()


@with_peers
@differs
@pytest.mark.differs(runc="lo is down then")
def test_connection_inside(saved: Saved) -> None:
    """Both ends are the container's."""
    first = saved.start("count-tcp")
    first.lines(3)
    saved.saved("--tcp-established")
    before = first.rest()
    assert goes_on(before, saved.restored("--tcp-established").lines(3))


@with_peers
@differs
def test_connection_to_a_server_outside(saved: Saved, server: str) -> None:
    first = saved.start(f"count-tcp {server}")
    first.lines(3)
    saved.saved("--tcp-established")
    before = first.rest()
    assert goes_on(before, saved.restored("--tcp-established").lines(3))


@pytest.mark.parametrize("method", ["iptables", "nftables", "skip"])
def test_network_lock(saved: Saved, method: str) -> None:
    first = saved.start("count-tcp")
    first.lines(2)
    saved.saved("--tcp-established", "--network-lock", method)
    before = first.rest()
    second = saved.restored("--tcp-established", f"--network-lock={method}")
    assert goes_on(before, second.lines(2))


def test_without_iptables(saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nftables does it unasked."""
    for program in ("tar", "gzip", "ip"):
        (tmp_path / program).symlink_to(
            subprocess.check_output(["which", program], text=True).strip()
        )
    monkeypatch.setenv("PATH", f"{needs.criu_folder()}:{tmp_path}")
    first = saved.start("count-tcp")
    first.lines(2)
    saved.saved("--tcp-established")
    before = first.rest()
    assert goes_on(before, saved.restored("--tcp-established").lines(2))


def test_tcp_close(saved: Saved, server: str) -> None:
    """The connection is not there any more, and the container hears of it."""
    first = saved.start(f"count-tcp {server}")
    first.lines(2)
    saved.saved("--tcp-established")
    pipe = saved.restored("--tcp-close")
    assert "error: " in "\n".join(pipe.rest())


@with_peers
def test_a_connection_nobody_asked_to_keep(saved: Saved, server: str) -> None:
    """It fails, in words that say what to do, and the container goes on."""
    pipe = saved.start(f"count-tcp {server}")
    pipe.lines(2)
    result = saved.checkpoint()
    assert result.code == 1
    if saved.container.runtime.name == "pyrun":
        assert "--tcp-established" in result.err
        assert f"see {saved.images}/dump.log" in result.err
    assert goes_on(pipe.lines(3))
    assert saved.container.status() == "running"


WAITING = """
import socket, sys
client = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("there", flush=True)
print(client.recv(9), flush=True)
"""


@contextlib.contextmanager
def waiting_client(namespace: str) -> Iterator[None]:
    """One that has connected, and waits for an answer."""
    command = ["nsenter", f"--net={namespace}", sys.executable, "-c", WAITING, PORT]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    try:
        assert process.stdout.readline() == b"there\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@with_peers
@differs
@pytest.mark.differs(runc="1.1 has no such flag")
def test_a_connection_that_is_not_accepted(saved: Saved, joined: str) -> None:
    """It is left out, if that is asked for: the server goes on and listens again."""
    first = saved.start(f"count-listening {PORT}")
    first.lines(2)
    with waiting_client(joined):
        assert saved.checkpoint("--tcp-established").code == 1
        first.lines(2)
        saved.saved("--tcp-established", "--tcp-skip-in-flight")
        before = first.rest()
        assert goes_on(before, saved.restored("--tcp-established").lines(2))
    with waiting_client(joined):
        pass  # it can connect again


def test_another_joined_namespace(saved: Saved, bundle: Bundle, joined: str) -> None:
    """The config of the restore counts."""
    saved.start("count").lines(1)
    saved.saved()
    other = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    path = f"/proc/{other.pid}/ns/net"
    ours = os.readlink("/proc/self/ns/net")
    assert eventually(lambda: os.readlink(path) != ours)
    try:
        next(e for e in bundle.linux["namespaces"] if e["type"] == "network")["path"] = path
        bundle.save()
        saved.restored().lines(1)
        found = os.readlink(f"/proc/{saved.container.pid}/ns/net")
        assert found == os.readlink(path)
        assert found != os.readlink(joined)
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts"])
def test_joined_namespace(saved: Saved, bundle: Bundle, kind: str) -> None:
    """Of the kinds that a pod's containers share."""
    holder = subprocess.Popen(
        ["unshare", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
        + ["sh", "-c", "hostname other; exec sleep 1000"]
    )
    children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
    assert eventually(lambda: children.read_text())
    inner = int(children.read_text())
    assert eventually(lambda: Path(f"/proc/{inner}/comm").read_text() == "sleep\n")
    path = f"/proc/{inner}/ns/{kind}"
    bundle.namespaces(*[other for other in NAMESPACES if other != kind], **{kind: path})
    if kind == "uts":
        del bundle.config["hostname"]
    try:
        first = saved.start("count")
        first.lines(2)
        saved.saved()
        before = first.rest()
        assert goes_on(before, saved.restored().lines(2))
        found = os.readlink(f"/proc/{saved.container.pid}/ns/{kind}")
        assert found == os.readlink(path)
        saved.container.delete("--force")
    finally:
        holder.kill()
        holder.wait()


def test_empty_namespace(saved: Saved, bundle: Bundle) -> None:
    """What is in the network namespace is a hook's affair, as under Docker."""
    marker = bundle.path / "hooked"
    script = f"pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); readlink /proc/$pid/ns/net > {marker}"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}
    first = saved.start("count")
    first.lines(2)
    saved.saved("--empty-ns", "network")
    before = first.rest()
    bundle.config["hooks"] = {"prestart": [hook]}
    bundle.save()
    assert goes_on(before, saved.restored("--empty-ns=network").lines(2))
    namespace = os.readlink(f"/proc/{saved.container.pid}/ns/net")
    assert marker.read_text().strip() == namespace


@differs
def test_network_of_hooks(saved: Saved, bundle: Bundle) -> None:
    """Docker's hook puts one end of a pair into the container; CRIU alone could not."""
    script = (
        "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/');"
        " ip link add pyrun-host type veth peer name eth5 netns $pid"
    )
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": [f"PATH={path}"]}
    bundle.config["hooks"] = {"prestart": [hook]}
    first = saved.start("print UP", "await /tmp/go", "cat /proc/net/dev", "print END", "sleep 1000")
    first.until("UP\n")
    saved.saved()
    subprocess.run(["ip", "link", "delete", "pyrun-host"], stderr=subprocess.DEVNULL)
    again = saved.restored()
    bundle.file("tmp/go", "")
    again.until("END\n")
    assert "eth5:" in again.text.decode()
    state = subprocess.run(
        ["nsenter", f"--net=/proc/{saved.container.pid}/ns/net", "ip", "-br", "link", "show", "lo"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "UP" in state.stdout or saved.container.runtime.name == "runc"  # which leaves it down
