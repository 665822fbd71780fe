# SPDX-License-Identifier: Apache-2.0
"""A seccomp agent, as the specification draws it: it listens at a socket, is given the listener of
a container, and answers the system calls that the profile hands to it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from life.runtimes import eventually

NUMBERS = {
    "x86_64": {"mkdir": 83, "execve": 59, "read": 0, "sendmsg": 46, "recvmsg": 47, "close": 3},
    "aarch64": {"mkdirat": 34, "execve": 221, "read": 63, "sendmsg": 211, "recvmsg": 212},
}[platform.machine()]
MKDIR = "mkdir" if "mkdir" in NUMBERS else "mkdirat"

RECV, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_*: _IOWR('!', 0 and 1, ...)
CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
NOTIFICATION = struct.Struct("=QII iIQ 6Q")  # struct seccomp_notif
RESPONSE = struct.Struct("=QqiI")  # struct seccomp_notif_resp


class Answer(NamedTuple):
    """What a system call gets: a value, an errno, or (with CONTINUE) what the kernel says."""

    value: int = 0
    error: int = 0
    flags: int = 0


class Agent:
    """Serves one container on a thread of its own."""

    def __init__(self, path: Path, answers: dict[str, Answer]) -> None:
        self.path = path
        self.answers = {NUMBERS[name]: answer for name, answer in answers.items()}
        self.messages: list[dict[str, Any]] = []
        self.descriptors: list[str] = []
        self.calls: list[tuple[int, int]] = []  # (pid, number) of each notification
        self.connection = socket.socket()  # the latest one
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.end, self.ender = os.pipe()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def close(self) -> None:
        """Also of the listener: calls that still wait fail."""
        os.close(self.ender)
        self.thread.join()
        os.close(self.end)
        self.server.close()
        self.connection.close()
        self.path.unlink()

    def told(self) -> dict[str, Any]:
        """The one message, which has been sent by now."""
        assert eventually(lambda: self.messages)
        (message,) = self.messages
        return message

    def _waits(self, fd: int) -> int:
        """The events of `fd`, or 0 when close() was called."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self.end, select.POLLIN)
        return {key: events for key, events in poll.poll() if key != self.end}.get(fd, 0)

    def _serve(self) -> None:
        while self._waits(self.server.fileno()):
            listener = self._receive()
            if listener >= 0:
                with contextlib.closing(os.fdopen(listener, "rb", buffering=0)) as file:
                    self._answer(file.fileno())

    def _receive(self) -> int:
        """The message of a new connection. The peers keep theirs open: it ends where JSON does."""
        self.connection.close()
        self.connection, _ = self.server.accept()
        if not self._waits(self.connection.fileno()):
            return -1
        data, control, _, _ = self.connection.recvmsg(65536, socket.CMSG_SPACE(64))
        while True:
            with contextlib.suppress(json.JSONDecodeError):
                message = json.loads(data)
                break
            data += self.connection.recv(65536)
        fds = [fd for _, _, found in control for (fd,) in struct.iter_unpack("=i", found)]
        self.descriptors += [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
        self.messages.append(message)
        return fds[0] if fds else -1

    def _answer(self, listener: int) -> None:
        while self._waits(listener) & select.POLLIN:
            notification = bytearray(NOTIFICATION.size)
            try:
                fcntl.ioctl(listener, RECV, notification)
            except OSError as error:
                if error.errno == errno.ENOENT:  # the caller has died meanwhile
                    continue
                raise
            cookie, pid, _, number, *_ = NOTIFICATION.unpack(notification)
            self.calls.append((pid, number))
            answer = self.answers.get(number, Answer(flags=CONTINUE))
            response = RESPONSE.pack(cookie, answer.value, -answer.error, answer.flags)
            with contextlib.suppress(FileNotFoundError):
                fcntl.ioctl(listener, SEND, bytearray(response))


@contextlib.contextmanager
def agent(path: Path, **answers: Answer) -> Iterator[Agent]:
    """An agent that listens at `path`; calls without an answer here are the kernel's."""
    found = Agent(path, answers)
    try:
        yield found
    finally:
        found.close()
