# SPDX-License-Identifier: Apache-2.0
"""Starting what waits at the exec fifo, and what comes after the user's program runs."""

from __future__ import annotations

import errno
import os
import select
from _struct import Struct

from pyrun import init, log, teardown
from pyrun.errors import Error, from_os, reason
from pyrun.state import EXEC_FIFO, RESULT_FIFO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.notify import Proxy
    from pyrun.state import Container
    from pyrun.types import Config, Operand, Step

_REPORT = Struct("=Iiii")


def rest(steps: list[Step], config: Config) -> Config:
    """What `start` needs to explain a failure of the operations after the exec fifo: the index of
    the first, how many hooks come before it, and (pointer, name, operands without data) of each."""
    first = next(i for i, (_, op) in enumerate(steps) if op[0] == "wait_start")
    return {
        "first": first,
        "hooks": sum(op[0] == "run_hook" for _, op in steps[:first]),
        "program": config["process"]["args"][0],
        "ops": [
            [pointer, op[0], [_told(op[0], x) for x in op[1]]] for pointer, op in steps[first:]
        ],
    }


def _told(name: str, operand: Operand) -> Operand:
    """Of an operand what an error may say: numbers, strings, and the command of a hook."""
    told = isinstance(operand, int | str) or (name == "run_hook" and isinstance(operand, list))
    return operand if told else None


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
    load_hooks(container.intent.get("hooks"))
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
    report = b""
    try:
        report = _wait(result)
        report += _evidence(result) if report else b""
    except OSError as error:
        # The init has the byte: that nobody hears of it is no failure to start.
        log.warning(f"read {container.path}/{RESULT_FIFO}: {reason(error.errno or 0)}")
    os.close(result)
    # Not before: a fifo that is still there says that the byte was not taken.
    _forget_fifos(container)
    _tell_of_hooks(container)
    if report:
        raise _failed(container, report)
    if not init.has_begun(container.state["init_process_pid"]):
        raise Error("the container's init was killed before it became the program")
    poststart(container)
    if proxy is not None:
        from pyrun import notify

        notify.wait_ready(container, proxy)


def load_hooks(hooks: Config | None) -> None:
    """What runs them takes all of Python, which ends us where it can't be set up: that has to be
    before the first effect."""
    if hooks:
        __import__("pyrun.lifecycle_hooks")


def _tell_of_hooks(container: Container) -> None:
    """With --debug: how those went that have run since the exec fifo was opened."""
    rest = container.state["rest"]
    calls = [
        (pointer, operands[0]) for pointer, name, operands in rest["ops"] if name == "run_hook"
    ]
    if calls and log.debugging():
        from pyrun import hook_output

        hook_output.tell(container, [None] * rest["hooks"] + calls, rest["hooks"])


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
        _forget_fifos(container)
    return report


def _forget_fifos(container: Container) -> None:
    """One that stays misleads nobody, since it has no reader: no reason to tell a failure of what
    has happened."""
    for name in (EXEC_FIFO, RESULT_FIFO):
        try:
            os.unlink(name, dir_fd=container.fd)
        except OSError as error:
            log.warning(f"remove {container.path}/{name}: {reason(error.errno or 0)}")


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
    if name == "execve":
        failure.confined(error, number, [entry[1] for entry in rest["ops"]])
    if name == "run_hook":
        from pyrun import hook_output

        hook_output.explain(container, error)
        # runtime.md, lifecycle: a startContainer hook that fails ends the container for good
        teardown.undo(container)
    return error


def poststart(container: Container) -> None:
    """The user's program runs. A hook that fails now stops and removes the container: runtime.md,
    lifecycle, since 1.3. Raises Error."""
    wanted = (container.intent.get("hooks") or {}).get("poststart") or []
    if not wanted:
        return
    pid = container.state["init_process_pid"]
    try:
        from pyrun import lifecycle_hooks

        lifecycle_hooks.run(container, "poststart", wanted, init.RUNNING, pid)
    except Exception:  # also of what is not an Error: it has not run
        teardown.undo(container)
        raise
