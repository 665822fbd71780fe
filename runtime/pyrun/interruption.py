# SPDX-License-Identifier: Apache-2.0
"""The signals by which a person or an engine ends a verb that makes something.

They are held back as long as only half of Python is there (pyrun/pack.py), which knows no handlers:
whoever waits long asks for them. With all of it they interrupt whatever is being done.
"""

from __future__ import annotations

import select

from pyrun import pack
from pyrun.errors import Error, reason
from pyrun.kernel._linux import ffi, lib

NUMBERS = (1, 2, 15)  # SIGHUP, SIGINT, SIGTERM: signal(7)
_held = -1  # a signalfd(2) of them
_ignored = False
_handed_on = False
_told = False


def catch() -> None:
    """What ends us is an Error from here on, so that all is undone."""
    global _held, _ignored
    _ignored = False
    if pack.is_whole():
        _handle()
        return
    _held = lib.pyrun_hold_signals(ffi.new("int[]", NUMBERS), len(NUMBERS))
    if _held < 0:
        raise Error(f"signalfd: {reason(-_held)}")
    pack.later(_handle)


def wait(*fds: int) -> list[int]:
    """Those of them where there is something to be read, or end of file, as soon as there are any.
    Raises Error when one of the signals comes before."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    if _held >= 0:  # else it interrupts the waiting
        poll.register(_held, select.POLLIN)
    ready = [fd for fd, _ in poll.poll()]
    if _held in ready:
        pack.complete()
    return ready


def ignore() -> None:
    """What was begun is finished: those that a person or an engine ends us by have to wait."""
    global _held, _ignored
    _ignored = True
    _held = -1  # blocked they stay
    if pack.is_whole():
        _handle()


def hand_on() -> None:
    """From here on no signal may be lost or end us: who waits in the foreground takes over what
    comes, which stays blocked until then. Raises Error."""
    global _handed_on
    _handed_on = True
    failed = lib.pyrun_block_signals()
    if failed:
        raise Error(f"sigprocmask: {reason(-failed)}")


def allow() -> None:
    """A person or an engine may end us again: what was begun is finished."""
    from _signal import SIG_DFL, SIG_UNBLOCK, pthread_sigmask, signal

    for number in NUMBERS:
        signal(number, SIG_DFL)
    pthread_sigmask(SIG_UNBLOCK, NUMBERS)


def _handle() -> None:
    """By handlers, which all of Python has; what was held back comes now."""
    from _signal import SIG_IGN, SIG_UNBLOCK, getsignal, pthread_sigmask, signal

    global _held
    _held = -1
    if _handed_on:
        return  # to ignore one would take those that wait
    for number in NUMBERS:
        if _ignored:
            signal(number, SIG_IGN)
        elif getsignal(number) != SIG_IGN:  # as under nohup
            signal(number, _interrupted)
    pthread_sigmask(SIG_UNBLOCK, NUMBERS)


def _interrupted(number: int, _frame: object) -> None:
    """Once: what comes behind the first must not interrupt its being undone."""
    global _told
    if _told:
        return
    _told = True
    raise Error(f"interrupted by signal {number}", code=128 + number)
