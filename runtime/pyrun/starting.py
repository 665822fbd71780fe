# SPDX-License-Identifier: Apache-2.0
"""Starting what waits at the exec fifo, and what comes after the user's program runs."""

from __future__ import annotations

import errno
import os
import select
from _struct import Struct

from pyrun import init, teardown
from pyrun.errors import Error, from_os
from pyrun.state import EXEC_FIFO, HOOKS_LOG, RESULT_FIFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.notify import Proxy
    from pyrun.state import Container
    from pyrun.types import Config, Step

_REPORT = Struct("=Iiii")
OUTPUT_SHOWN = 1024  # bytes of a failed hook's output that an error quotes


def rest(steps: list[Step], config: Config) -> Config:
    """What `start` needs to explain a failure of the operations after the exec fifo: the index of
    the first, and (pointer, name, operands without data) of each."""
    first = next(i for i, (_, op) in enumerate(steps) if op[0] == "wait_start")
    return {
        "first": first,
        "program": config["process"]["args"][0],
        "ops": [
            [pointer, op[0], [x if isinstance(x, int | str) else None for x in op[1]]]
            for pointer, op in steps[first:]
        ],
    }


def start(container: Container) -> None:
    """Let a created container's program run; the container's lock is held. Raises Error."""
    report = _pending(container)
    if report:
        raise _failed(container, report)
    status = init.status(container)
    if status == init.RUNNING:
        raise Error("cannot start an already running container")
    if status == init.PAUSED:
        raise Error("cannot start a container in the paused state", hint="resume it first")
    if status == init.STOPPED:
        raise Error("cannot start a container that has stopped")
    if status == init.CREATING:
        raise Error("cannot start a container that is being created")
    proxy = notify_proxy(container)
    flags = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        result = os.open(RESULT_FIFO, flags | os.O_RDONLY, dir_fd=container.fd)
        fifo = os.open(EXEC_FIFO, flags | os.O_WRONLY, dir_fd=container.fd)
        os.write(fifo, b"0")
        os.close(fifo)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EPIPE):
            raise Error("cannot start a container that has stopped") from None
        raise from_os(error, f"open {container.path}/{EXEC_FIFO}") from None
    report = _wait(result)
    report += _evidence(result) if report else b""
    os.close(result)
    # Not before: a fifo that is still there says that the byte was not taken.
    for name in (EXEC_FIFO, RESULT_FIFO):
        os.unlink(name, dir_fd=container.fd)
    if report:
        raise _failed(container, report)
    poststart(container)
    if proxy is not None:
        from pyrun import notify

        notify.wait_ready(container, proxy)


def notify_proxy(container: Container) -> Proxy | None:
    """Our end of the container's NOTIFY_SOCKET, where both have one. Raises Error."""
    if not container.intent.get("notify") or not os.environ.get("NOTIFY_SOCKET"):
        return None
    from pyrun import notify

    return notify.Proxy(container)


def _pending(container: Container) -> bytes:
    """A report that the launcher left unread when it let the init go (fast.c): it holds the fifo
    open for us. The init has ended by then, or is about to."""
    try:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(RESULT_FIFO, flags, dir_fd=container.fd)
    except OSError:
        return b""  # there is none, and who can't open it now will say so later
    try:
        report = os.read(fd, _REPORT.size)
        report += _evidence(fd) if report else b""
    except BlockingIOError:
        return b""
    finally:
        os.close(fd)
    if report:
        for name in (EXEC_FIFO, RESULT_FIFO):
            os.unlink(name, dir_fd=container.fd)
    return report


def _wait(result: int) -> bytes:
    """The init's report, or nothing once its program runs (or it was killed)."""
    poll = select.poll()
    poll.register(result, select.POLLIN)
    poll.poll()
    return os.read(result, _REPORT.size)


def _evidence(result: int) -> bytes:
    """What follows a report."""
    from pyrun import evidence

    return evidence.receive(result)


def _failed(container: Container, report: bytes) -> Error:
    from pyrun import failure

    rest = container.state["rest"]
    _, index, number, detail = _REPORT.unpack(report[: _REPORT.size])
    pointer, name, operands = rest["ops"][index - rest["first"]]
    where = rest["program"] if name == "execve" else pointer.strip("/")
    report_of = (number, detail, report[_REPORT.size :])
    error = failure.sentence(pointer, where, (name, tuple(operands), 0), report_of)
    if name == "run_hook":
        error.message += hook_output(container)
        # runtime.md, lifecycle: a startContainer hook that fails ends the container for good
        teardown.undo(container)
    return error


def hook_output(container: Container) -> str:
    """The end of what hooks in the container printed, for an error."""
    try:
        fd = os.open(HOOKS_LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=container.fd)
    except OSError:
        return ""  # none, or no descriptor is left: the error is worth more than its addition
    size = os.fstat(fd).st_size
    data = os.pread(fd, OUTPUT_SHOWN, max(0, size - OUTPUT_SHOWN))
    os.close(fd)
    text = data.decode("utf-8", "replace").strip()
    return f", output: {text}" if text else ""


def poststart(container: Container) -> None:
    """The user's program runs. A hook that fails now stops and removes the container: runtime.md,
    lifecycle, since 1.3. Raises Error."""
    wanted = (container.intent.get("hooks") or {}).get("poststart") or []
    if not wanted:
        return
    from pyrun import lifecycle_hooks

    pid = container.state["init_process_pid"]
    try:
        lifecycle_hooks.run(container, "poststart", wanted, init.RUNNING, pid)
    except Error:
        teardown.undo(container)
        raise
