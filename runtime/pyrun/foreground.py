# SPDX-License-Identifier: Apache-2.0
"""`run` in the foreground: until the init ends, forward signals to it, and the terminal if it has
one. Nothing else is done meanwhile."""

from __future__ import annotations

import errno
import os
import select
import termios
from _signal import SIG_BLOCK, SIG_UNBLOCK, pthread_sigmask, set_wakeup_fd
from _signal import signal as on_signal

from pyrun import init
from pyrun.console import copy_size
from pyrun.linux import SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.launch import Child
    from pyrun.notify import Proxy

# SIGCHLD is of our own children; SIGURG is Go's, sent by runtimes to themselves.
NOT_FORWARDED = ("KILL", "STOP", "CHLD", "CLD", "URG", "WINCH", "SEGV", "BUS", "FPE", "ILL")
BLOCK = 1 << 16


class Terminal:
    """Our own terminal, raw while the container's is shown on it."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.saved: list[Any] | None = None
        self.open = True
        self.input = os.isatty(0)
        self.typed = b""  # and not taken yet
        self.ended = False  # nothing more will be typed

    def start(self) -> None:
        """Raw mode, and the container's terminal as large as ours."""
        # A program that prints before it reads on would wait for us, and we for it.
        os.set_blocking(self.master, False)
        if self.input:
            self.saved = termios.tcgetattr(0)
            termios.tcsetattr(0, termios.TCSANOW, _raw(self.saved))
            self.resize()

    def resize(self) -> None:
        """Carry over a new size."""
        copy_size(self.master)

    def stop(self) -> None:
        """Give our terminal its mode back."""
        if self.saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved)

    def show(self) -> bool:
        """Copy what the container printed; False at its end (EIO: nobody has the peer open)."""
        try:
            data = os.read(self.master, BLOCK)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if data:
            _write_all(1, data)
        return bool(data)

    def type(self) -> None:
        """Take what was typed, or note the end of it."""
        try:
            self.typed = os.read(0, BLOCK)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        self.ended = not self.typed
        self.feed()

    def feed(self) -> None:
        """Hand on what was typed, as far as the container's terminal takes it now."""
        try:
            while self.typed:
                self.typed = self.typed[os.write(self.master, self.typed) :]
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.typed = b""  # nobody has the peer open

    def watch(self, poll: select.poll) -> None:
        """What to wait for: input only when the last has been taken."""
        if self.open:
            poll.register(self.master, select.POLLIN | (select.POLLOUT if self.typed else 0))
        if self.typed or self.ended or not self.open:
            try:
                poll.unregister(0)
            except KeyError:
                return  # it was not watched
        else:
            poll.register(0, select.POLLIN)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EIO):
                return  # nobody reads any more
            raise


def _raw(mode: list[Any]) -> list[Any]:
    """cfmakeraw of termios(3)."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = mode
    t = termios
    iflag &= ~(
        t.IGNBRK | t.BRKINT | t.PARMRK | t.ISTRIP | t.INLCR | t.IGNCR | t.ICRNL | t.IXON
    )  # fmt: skip
    oflag &= ~t.OPOST
    lflag &= ~(t.ECHO | t.ECHONL | t.ICANON | t.ISIG | t.IEXTEN)
    cflag = cflag & ~(t.CSIZE | t.PARENB) | t.CS8
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]


class Signals:
    """Signals that reach us, as bytes of a pipe: the loop below is the only place that acts."""

    def __init__(self) -> None:
        self.numbers = {
            number for name, number in SIGNALS.items() if name not in NOT_FORWARDED and number < 34
        } | {SIGNALS["WINCH"], SIGNALS["CHLD"]}
        self.read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in self.numbers:
            on_signal(number, _note)
        pthread_sigmask(SIG_UNBLOCK, self.numbers)

    def pending(self) -> bytes:
        """The numbers that came since."""
        try:
            return os.read(self.read_end, 256)
        except BlockingIOError:
            return b""


def _note(_number: int, _frame: object) -> None:
    """The wakeup descriptor has it."""


def hold_signals() -> None:
    """From before the program starts until Signals is there, none may be lost or kill us."""
    pthread_sigmask(SIG_BLOCK, set(SIGNALS.values()) - {SIGNALS["KILL"], SIGNALS["STOP"]})


def wait_status(child: Child, master: int, proxy: Proxy | None) -> int:
    """Wait for the init's end. Returns its status, as wait(2) has it.

    `master` is our end of its terminal, or -1; `proxy` that of its NOTIFY_SOCKET.
    """
    terminal = Terminal(master) if master >= 0 else None
    signals = Signals()
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    poll.register(signals.read_end, select.POLLIN)
    if proxy:
        poll.register(proxy.socket.fileno(), select.POLLIN)
    if terminal:
        terminal.start()
    try:
        _loop(child, poll, signals, (terminal, proxy))
    finally:
        if terminal:
            terminal.stop()
    _, status = os.waitpid(child.pid, 0)
    return status


def _loop(
    child: Child,
    poll: select.poll,
    signals: Signals,
    ends: tuple[Terminal | None, Proxy | None],
) -> None:
    terminal, proxy = ends
    while True:
        if terminal:
            terminal.watch(poll)
        ready = dict(poll.poll())
        if signals.read_end in ready:
            for number in signals.pending():
                _act(number, child, terminal)
        if proxy and proxy.socket.fileno() in ready and proxy.is_ready():
            proxy.tell(os.getpid())  # it is we whom the manager has started
        if terminal and terminal.master in ready and not terminal.show():
            poll.unregister(terminal.master)
            terminal.open = False
        if terminal and terminal.master in ready:
            terminal.feed()
        if terminal and 0 in ready:
            terminal.type()
        if child.pidfd in ready:
            if terminal and terminal.open:
                _drain(terminal)
            return


def _act(number: int, child: Child, terminal: Terminal | None) -> None:
    if number == SIGNALS["CHLD"]:
        _reap_others(child.pid)
    elif number != SIGNALS["WINCH"]:
        init.signal(child.pidfd, number)
    elif terminal:
        terminal.resize()


def _reap_others(init_pid: int) -> None:
    """Orphans that we were given (PR_SET_CHILD_SUBREAPER); the init's status is wait()'s."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        while (found := os.waitid(os.P_ALL, 0, flags)) and found.si_pid != init_pid:
            os.waitpid(found.si_pid, 0)
    except ChildProcessError:
        return


def _drain(terminal: Terminal) -> None:
    """What the container had printed before it ended."""
    poll = select.poll()
    poll.register(terminal.master, select.POLLIN)
    while poll.poll(0) and terminal.show():
        pass
