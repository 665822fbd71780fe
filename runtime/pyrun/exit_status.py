# SPDX-License-Identifier: Apache-2.0
"""How a container's init ended, for others than its parent, to whom alone wait(2) tells it.

A zombie's status is in procfs. Of one that was reaped, Linux 6.15 and later tell it to whoever had
a pidfd before (PIDFD_INFO_EXIT). Who learns it puts it on record, for those who ask later.
"""

from __future__ import annotations

import os
import select

from pyrun import init, log
from pyrun.errors import Error, from_os
from pyrun.kernel._linux import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container

RECORD = "exit.json"
PAUSE = 0.05  # seconds between two looks


def code(status: int) -> int:
    """The exit code of a verb whose program ended so: 128+n if signal n killed it."""
    number = os.waitstatus_to_exitcode(status)
    return number if number >= 0 else 128 - number


def signal_of(status: int) -> int | None:
    """The signal that killed it, if one did."""
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None


def record(container: Container, status: int) -> None:
    """For whoever asks later. Who is busy with the container deletes it, or records the same."""
    if not container.lock(wait=False):
        return
    try:
        if not container.gone():
            container.write_record(RECORD, {"wait_status": status})
    except Error as error:
        log.warning(str(error))
    finally:
        container.unlock()


def recorded(container: Container) -> int | None:
    """What record() has kept. Raises Error if that is damaged."""
    status: int | None = container.read_record(RECORD, {"wait_status": int}).get("wait_status")
    return status


def open_init(container: Container) -> int:
    """As init.open_init, also of one that has ended and was not reaped; -1 if it is gone."""
    pid = container.state.get("init_process_pid", 0)
    if not pid or not init.is_of_this_boot(container):
        return -1
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    except OSError as error:
        raise from_os(error, f"pidfd_open {pid}") from None
    # After pidfd_open: what we compare now is what the descriptor stands for, or it is gone.
    if _is_there(container):
        return pidfd
    os.close(pidfd)
    return -1


def wait(container: Container, pidfd: int) -> int | None:
    """Wait for the init's end; its status, None if nobody tells it. Raises OSError."""
    _poll(pidfd, select.POLLIN, None)
    while True:
        # In this order: it may be reaped at any moment.
        status = _of_zombie(container)
        there = _is_there(container)
        if status is None:
            status = _of_reaped(pidfd)
        if status is not None or not there:
            return status
        _poll(pidfd, 0, PAUSE)  # we may not look at it: till it is reaped


def _poll(pidfd: int, events: int, seconds: float | None) -> None:
    """POLLIN: it has ended; POLLHUP, which comes unasked since Linux 6.9: it was reaped."""
    poll = select.poll()
    poll.register(pidfd, events)
    poll.poll(None if seconds is None else seconds * 1000)


def _of_reaped(pidfd: int) -> int | None:
    status = ffi.new("int *")
    return int(status[0]) if lib.pyrun_pidfd_exit(pidfd, status) == 1 else None


def _is_there(container: Container) -> bool:
    _, started = init.start_time(container.state["init_process_pid"])
    return bool(started == container.state["init_process_start"])


def _of_zombie(container: Container) -> int | None:
    """exit_code of proc_pid_stat(5). To those who may not see it, it is 0."""
    pid = container.state.get("init_process_pid", 0)
    try:
        os.readlink(f"/proc/{pid}/exe")
    except PermissionError:
        return None
    except OSError:
        pass  # a zombie has none
    try:
        text = init.read_text(f"/proc/{pid}/stat")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] != "Z" or int(fields[19]) != container.state.get("init_process_start"):
        return None
    return int(fields[49])
