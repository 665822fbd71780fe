# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore of sockets whose other end is outside of the container."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest

import needs
from life.bundles import NAMESPACES, Bundle
from life.checkpoints import Saved, goes_on

pytestmark = needs.needs("criu")
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs(crun="Debian's is built without CRIU")


@pytest.fixture
def receiver(bundle: Bundle) -> Iterator[socket.socket]:
    """A datagram socket that the container knows by the name that it was given: /data/log."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        pid = os.fork()
        if pid == 0:
            os.chroot(bundle.rootfs)
            found.bind("/data/log")
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        found.settimeout(20)
        yield found


def received(receiver: socket.socket, count: int) -> list[str]:
    """So many numbers."""
    return [str(struct.unpack("l", receiver.recv(64))[0]) for _ in range(count)]


@with_peers
@differs
def test_a_unix_socket_outside(saved: Saved, receiver: socket.socket) -> None:
    """In the same network namespace, where CRIU finds it. Only if asked for; and what is sent goes
    there again."""
    kinds = [kind for kind in NAMESPACES if kind != "network"]
    saved.container.bundle.namespaces(*kinds)
    first = saved.start("count-sent /data/log")
    before = received(receiver, 2)
    result = saved.checkpoint()
    assert result.code == 1
    if saved.container.runtime.name == "pyrun":
        assert "pass --ext-unix-sk; see " in result.err
    saved.saved("--ext-unix-sk")
    sent = len(first.rest())
    before += received(receiver, sent - 2)
    saved.restored("--ext-unix-sk")
    assert goes_on(before, received(receiver, 3))


def test_a_unix_socket_that_criu_does_not_find(saved: Saved, receiver: socket.socket) -> None:
    """It looks in the network namespace of the container alone."""
    first = saved.start("count-sent /data/log")
    first.lines(2)
    result = saved.checkpoint("--ext-unix-sk")
    assert result.code == 1
    assert "its other end is in another network namespace; see " in result.err
    assert goes_on(first.lines(2))
