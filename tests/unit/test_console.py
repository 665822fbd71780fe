# SPDX-License-Identifier: Apache-2.0
"""Handing a descriptor over to a socket."""

from __future__ import annotations

import array
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from pyrun import console


def test_a_receiver_that_closes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """conmon closes the connection as soon as it has the terminal."""
    path = str(tmp_path / "socket")
    got: list[tuple[bytes, int]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()

    def receive() -> None:
        connection, _ = server.accept()
        with connection:
            data, control, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
        got.append((data, array.array("i", control[0][2])[0]))

    thread = threading.Thread(target=receive)
    thread.start()

    class Late(socket.socket):
        """Goes on only when the receiver is done."""

        def sendmsg(self, *args: Any) -> int:
            sent = super().sendmsg(*args)
            thread.join(10)
            return sent

    monkeypatch.setattr(console, "socket", Late)
    with open("/dev/null") as file, server:
        console.send(path, file.fileno(), "/dev/pts/0")
    (text, fd), *more = got
    assert (text, more) == (b"/dev/pts/0", [])
    assert os.readlink(f"/proc/self/fd/{fd}") == "/dev/null"
    os.close(fd)
