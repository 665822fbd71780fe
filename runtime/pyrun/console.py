# SPDX-License-Identifier: Apache-2.0
"""Handing a terminal's master to whoever listens at --console-socket."""

from __future__ import annotations

import fcntl
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

from pyrun.errors import Error, from_os

TIOCGPTN = 0x80045430  # asm-generic; the number of a terminal's peer
PATH_MAX = 107


def peer_name(master: int) -> str:
    """/dev/pts/N as the container names it."""
    number = fcntl.ioctl(master, TIOCGPTN, bytes(4))
    return f"/dev/pts/{int.from_bytes(number, sys.byteorder)}"


def send_master(path: str, master: int) -> None:
    """One message: the descriptor, and the peer's name as its text. Raises Error."""
    if len(path.encode()) > PATH_MAX:
        raise Error(f"console socket {path}: longer than {PATH_MAX} bytes")
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.connect(path)
        data = master.to_bytes(4, sys.byteorder)
        connection.sendmsg([peer_name(master).encode()], [(SOL_SOCKET, SCM_RIGHTS, data)])
    except OSError as error:
        raise from_os(error, f"console socket {path}") from None
    finally:
        connection.close()
