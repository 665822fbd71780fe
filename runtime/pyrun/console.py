# SPDX-License-Identifier: Apache-2.0
"""Handing descriptors to engines: the terminal's master at --console-socket, the init's pidfd at
--pidfd-socket, a seccomp listener at linux.seccomp.listenerPath."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import termios
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket

from pyrun import pack
from pyrun.errors import Error, from_os

TIOCGPTN = 0x80045430  # asm-generic; the number of a terminal's peer
PATH_MAX = 107


def peer_name(master: int) -> str:
    """/dev/pts/N as the container names it."""
    number = fcntl.ioctl(master, TIOCGPTN, bytes(4))
    return f"/dev/pts/{int.from_bytes(number, sys.byteorder)}"


def copy_size(master: int) -> None:
    """Make the container's terminal as large as ours; one without a size keeps its own."""
    try:
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(master, termios.TIOCSWINSZ, size)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EIO):
            raise


def hand_over(path: str, master: int) -> int:
    """Give the master to whoever listens at this socket, or keep it where there is no path: the
    descriptor that we hold from here on, or -1. Raises Error."""
    if not path:
        copy_size(master)  # before the program can ask for it
        return master
    send(path, master, peer_name(master))
    os.close(master)
    return -1


def send(path: str, fd: int, text: str) -> None:
    """One message to a listening socket: the descriptor, and a text with it. Raises Error."""
    if len(path.encode()) > PATH_MAX:
        raise Error(f"socket {path}: longer than {PATH_MAX} bytes")
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        _connect(connection, path)
        data = text.encode()
        control = [(SOL_SOCKET, SCM_RIGHTS, fd.to_bytes(4, sys.byteorder))]
        sent = connection.sendmsg([data], control)
        # Nothing more where nothing is left: even to send no bytes is an error once the receiver,
        # who has what it wants, has closed its end.
        if sent < len(data):
            connection.sendall(data[sent:])
    except OSError as error:
        raise from_os(error, f"socket {path}") from None
    finally:
        connection.close()


def _connect(connection: socket, path: str) -> None:
    """connect(2), which a listener whose queue is full keeps waiting, for as long as it likes: what
    a person or an engine ends us by has to reach us there."""
    connection.settimeout(0)
    try:
        connection.connect(path)
    except BlockingIOError:
        pack.complete()
        connection.settimeout(None)
        connection.connect(path)
    else:
        connection.settimeout(None)
