# SPDX-License-Identifier: Apache-2.0
"""The signals by which a person or an engine ends a verb that makes a container."""

from __future__ import annotations

from _signal import SIG_DFL, SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal
from _signal import signal as on_signal

from pyrun.errors import Error


def catch() -> None:
    """What ends us is an Error from here on, so that all is undone."""
    for number in (SIGHUP, SIGTERM):
        if getsignal(number) != SIG_IGN:  # as under nohup
            on_signal(number, _interrupted)


def ignore() -> None:
    """What was begun is finished: those that a person or an engine ends us by have to wait."""
    for number in (SIGHUP, SIGINT, SIGTERM):
        on_signal(number, SIG_IGN)


def allow() -> None:
    """A person or an engine may end us again: what was begun is finished."""
    for number in (SIGINT, SIGTERM):
        on_signal(number, SIG_DFL)


def _interrupted(number: int, _frame: object) -> None:
    raise Error(f"interrupted by signal {number}", code=128 + number)
