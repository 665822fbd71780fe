# SPDX-License-Identifier: Apache-2.0
"""A full screen of a terminal with lines that are replaced at intervals, by ECMA-48's sequences."""

from __future__ import annotations

import os
import select
import termios
import time
from _signal import SIGHUP, SIGTERM, default_int_handler, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

ENTER = "\x1b[?1049h\x1b[?25l"  # the other screen (xterm, and all since), no cursor
LEAVE = "\x1b[?25h\x1b[?1049l"
HOME, LINE_END, BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
QUIT = b"qQ\x03\x04"


def show(lines: Callable[[], list[str]], interval: float) -> None:
    """Draws what `lines` gives every `interval` seconds, until q or an interrupt. The terminal is
    then as it was, whatever was raised."""
    keys = os.isatty(0)
    before = termios.tcgetattr(0) if keys else []
    for number in (SIGHUP, SIGTERM):
        signal(number, default_int_handler)  # they too leave the terminal as it was
    try:
        if keys:
            _read_keys()
        _write(ENTER)
        while True:
            drawn = lines()
            _write(HOME + frame(drawn, *os.get_terminal_size(1)))
            if _asked_to_end(interval, keys=keys):
                return
    except KeyboardInterrupt:
        return
    finally:
        _write(LEAVE)
        if keys:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def frame(lines: list[str], columns: int, rows: int) -> str:
    """As much as fits, and nothing of what was there before."""
    shown = [f"{line[:columns]}{LINE_END}" for line in lines[:rows]]
    return "\r\n".join(shown) + BELOW


def _read_keys() -> None:
    """Each key at once, and not shown; a stop (Ctrl-Z) would leave the other screen behind."""
    mode = termios.tcgetattr(0)
    mode[3] &= ~(termios.ICANON | termios.ECHO)
    mode[6][termios.VSUSP] = b"\0"  # _POSIX_VDISABLE
    termios.tcsetattr(0, termios.TCSADRAIN, mode)


def _asked_to_end(seconds: float, *, keys: bool) -> bool:
    """Waits that long at most."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if not select.select([0] if keys else [], [], [], left)[0]:
            continue
        pressed = os.read(0, 64)
        if not pressed or any(key in QUIT for key in pressed):
            return True
    return False


def _write(text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(1, data) :]
