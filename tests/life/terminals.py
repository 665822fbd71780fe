# SPDX-License-Identifier: Apache-2.0
"""The other ends of containers' terminals: a person's screen, and an engine's console socket."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import pty
import select
import socket
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from life.runtimes import Container

PATIENCE = 60.0 if "PYRUN_SLOW" in os.environ else 10.0  # seconds


class Screen:
    """A terminal with a runtime in its foreground: what it shows, and what is typed."""

    def __init__(
        self, container: Container, line: Sequence[str | Path], rows: int, columns: int
    ) -> None:
        self.master, peer = pty.openpty()
        self.resize(rows, columns)
        self.mode = termios.tcgetattr(peer)
        self.peer = peer
        self.shown = b""
        self.process = container.runtime.popen(
            *line,
            stdin=peer,
            stdout=peer,
            stderr=peer,
            preexec_fn=self._control,
        )

    def _control(self) -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, rows: int, columns: int) -> None:
        """As the window of a terminal emulator."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize_until(self, rows: int, columns: int, text: bytes) -> None:
        """Until it is shown: an engine's client that has just begun may not heed the first one."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            self.resize(rows, columns - 1)  # what changes nothing is no news
            self.resize(rows, columns)
            with contextlib.suppress(AssertionError):
                self.wait_for(text, 1)
            assert time.monotonic() < deadline, f"{text!r} is not in {self.shown!r}"

    def type(self, data: bytes) -> None:
        """At the keyboard."""
        os.write(self.master, data)

    def wait_for(self, text: bytes, seconds: float = PATIENCE) -> None:
        """Until it is shown."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} is not in {self.shown!r}"
            if select.select([self.master], [], [], left)[0]:
                self.shown += os.read(self.master, 4096)

    def end(self) -> int:
        """The runtime's exit code."""
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """Ends what goes on."""
        self.process.kill()
        self.process.wait()
        os.close(self.peer)
        os.close(self.master)


@contextlib.contextmanager
def screen(
    container: Container,
    rows: int = 30,
    columns: int = 100,
    words: Sequence[str] = ("run",),
    line: Sequence[str | Path] = (),
) -> Iterator[Screen]:
    """A Screen with the container's `run` in it, or another verb on its bundle (`words`), or any
    other command line."""
    if not line:
        container.bundle.save()
        line = [*words, "--bundle", container.bundle.path, container.id]
    found = Screen(container, line, rows, columns)
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A console socket."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(10)
        yield listener


def receive(listener: socket.socket) -> tuple[bytes, list[int]]:
    """The message of a runtime, and the descriptors that came along."""
    connection, _ = listener.accept()
    with connection:
        fds = array.array("i")
        text, control, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(16))
        for _, _, data in control:
            fds.frombytes(data)
        return text, list(fds)
