# SPDX-License-Identifier: Apache-2.0
"""Hooks of the runtime namespace: prestart, createRuntime, poststart and poststop.

A hook is a program of the host's owner, run with our privileges. It gets its own process group,
an environment and fds that are the config's alone, and cannot hold us longer than its timeout:
we wait for the process and never for the end of its output, of which only the last part is kept.
Whatever it has started ends with it at a timeout, also what has left its group and its session.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time

from pyrun import descendants, log
from pyrun.errors import Error, from_os, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from pyrun.types import Config

    Files = tuple[int, int]
else:
    import _signal

TAIL = 1024  # bytes of a failed hook's output that the message quotes
PIPE = 1 << 16  # bytes that a pipe holds
LAST_FD = 2**31 - 1
LONGEST_POLL = 60_000  # milliseconds

# What the child could not do, as it says on the pipe.
CHDIR, EXECVE = 1, 2


class UnattendedError(Error):
    """We could not begin a hook or wait for it, for want of memory or the like; it has not ended by
    itself."""


def run(hooks: list[Config], kind: str, state: bytes, bundle: str, files: Files = (-1, -1)) -> None:
    """Run the hooks of one kind in order, and stop at the first that fails.

    `kind` is the key in config.json ("createRuntime"), `state` the JSON of the container's state
    that each hook reads from stdin, `bundle` the absolute path where it starts, `files` the
    descriptors for its stdout and stderr, -1 for the message of an error. Raises Error with the
    pointer of the hook (runtime-spec, config.md, POSIX-platform hooks).
    """
    for index, hook in enumerate(hooks):
        _run(hook, kind, index, state, bundle, files)


def run_all(
    hooks: list[Config], kind: str, state: bytes, bundle: str, files: Files = (-1, -1)
) -> list[Error]:
    """Run every hook of one kind, whatever the others did; the failures, to warn of.

    It is the rule for poststop: "the remaining hooks and lifecycle continue" (runtime.md). One that
    we could not see to its end is run once more: nobody else takes away what it would have.
    """
    failures = []
    for index, hook in enumerate(hooks):
        try:
            try:
                _run(hook, kind, index, state, bundle, files)
            except UnattendedError as failure:
                log.debug(f"{failure}: once more")
                _run(hook, kind, index, state, bundle, files)
        except Error as failure:
            failures.append(failure)
    return failures


def _run(hook: Config, kind: str, index: int, state: bytes, bundle: str, files: Files) -> None:
    pointer, name = f"/hooks/{kind}/{index}", f"error running {kind} hook #{index}"
    seconds = hook.get("timeout")
    if seconds is not None and seconds <= 0:
        raise Error("must be greater than zero", f"{pointer}/timeout")
    if not hook["path"].startswith("/"):
        raise Error(f"{hook['path']!r} is not an absolute path", f"{pointer}/path")
    stdin = -1
    output: Output | None = None
    try:
        output = Output()
        stdin = os.memfd_create("hook state", os.MFD_CLOEXEC)
        left = memoryview(state)
        while left:
            left = left[os.write(stdin, left) :]
        os.lseek(stdin, 0, os.SEEK_SET)
        start = time.monotonic()
        failure = _execute(hook, bundle, stdin, output, files, seconds)
        if log.debugging():
            _tell(hook, kind, index, time.monotonic() - start, failure, output)
        if failure:
            raise Error(f"{name}: {failure}{output.quote()}", pointer)
    except OSError as error:
        found = from_os(error, name, pointer)
        if output is None or not output.ended:
            raise UnattendedError(found.message, found.pointer, found.hint) from None
        raise found from None
    finally:
        if output is not None:
            output.close()
        if stdin >= 0:
            os.close(stdin)


def _tell(
    hook: Config, kind: str, index: int, seconds: float, failure: str, output: Output
) -> None:
    from pyrun import hook_output

    command = [hook["path"], *(hook.get("args") or [hook["path"]])]
    how = failure or "exit status 0"
    log.debug(hook_output.line(kind, index, command, seconds, how) + output.quote())


class Output:
    """What a hook prints: a pipe, and the end of what came through it."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self.tail = b""
        self.ended = False  # the hook, by itself

    def take(self) -> bool:
        """Read what is there now; False when there is nothing, or no more."""
        try:
            data = os.read(self.read_end, PIPE)
        except BlockingIOError:
            return False
        self.tail = (self.tail + data)[-TAIL:]
        return bool(data)

    def quote(self) -> str:
        """For the message."""
        text = self.tail.decode("utf-8", "replace").strip()
        return f", output: {text}" if text else ""

    def close(self) -> None:
        """A process that the hook has left may go on to print: nobody reads that."""
        os.close(self.read_end)
        self.close_write_end()

    def close_write_end(self) -> None:
        """Once the hook has it."""
        if self.write_end >= 0:
            os.close(self.write_end)
        self.write_end = -1


def _execute(
    hook: Config, bundle: str, stdin: int, output: Output, files: Files, seconds: float | None
) -> str:
    """Run one hook to its end, or to its timeout; what went wrong, "" for nothing."""
    deadline = None if seconds is None else time.monotonic() + seconds
    report, child_report = os.pipe()
    descent = descendants.Adoption() if deadline is not None else None
    out, err = (output.write_end if fd < 0 else fd for fd in files)
    pid = pidfd = -1
    reaped = False
    try:
        # No handler of ours may run in the child, which has none of what they act upon; and none
        # here before `pid` is what ends with us.
        mask = _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _child(hook, bundle, (stdin, out, err, child_report))
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        os.close(child_report)
        child_report = -1
        output.close_write_end()
        pidfd = os.pidfd_open(pid)
        if not _ends(pidfd, output, deadline):
            why = f"hook ran past specified timeout of {float(seconds or 0)}s"
            return f"{why} ({hook['path']})"
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        reaped = output.ended = True
        output.take()
        # It can't block: exec closes it, and so does the end of a hook that did not come so far.
        return _explain(hook, bundle, status, os.read(report, 2))
    finally:
        # Not reaped: a timeout, or a signal that interrupts us. The pid is still the hook's, and
        # so is the number of the group, until we have waited for it.
        if pid > 0 and not reaped:
            _kill(pid)
            if descent:
                descent.kill()
        for fd in (report, child_report, pidfd):
            if fd >= 0:
                os.close(fd)
        if descent:
            descent.end()


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group may not exist yet
        try:
            kill(pid, _signal.SIGKILL)
        except ProcessLookupError:
            pass
    os.waitpid(pid, 0)


def _child(hook: Config, bundle: str, fds: tuple[int, int, int, int]) -> NoReturn:
    report, doing = fds[3], CHDIR
    try:
        os.setpgid(0, 0)
        # First out of the way of 0 to 3, whatever their numbers are.
        stdin, out, err, report = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in fds]
        for source, target in ((stdin, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        report = os.dup2(report, 3, inheritable=False)
        os.closerange(4, LAST_FD)
        for number in _signal.valid_signals() - {_signal.SIGKILL, _signal.SIGSTOP}:
            _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        os.chdir(bundle)
        doing = EXECVE
        os.execve(hook["path"], hook.get("args") or [hook["path"]], _environment(hook))  # noqa: S606 - that is a hook
    except OSError as error:
        os.write(report, bytes((doing, error.errno or errno.EIO)))
    except ValueError:  # a NUL in a string
        os.write(report, bytes((doing, errno.EINVAL)))
    finally:
        os._exit(127)


def _environment(hook: Config) -> dict[str, str]:
    """The hook's env and nothing else; what is not NAME=VALUE is no variable to any program."""
    pairs = [entry.partition("=") for entry in hook.get("env", ())]
    return {name: value for name, equals, value in pairs if name and equals}


def _ends(pidfd: int, output: Output, deadline: float | None) -> bool:
    """Wait until the hook has ended; False when the deadline comes first."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(output.read_end, select.POLLIN)
    while True:
        left = LONGEST_POLL
        if deadline is not None:
            left = min(left, max(0, round((deadline - time.monotonic()) * 1000)))
        ready = dict(poll.poll(left))
        if output.read_end in ready and not output.take():
            poll.unregister(output.read_end)
        if pidfd in ready:
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def _explain(hook: Config, bundle: str, status: int, report: bytes) -> str:
    if len(report) == 2:
        what = f"chdir {bundle}" if report[0] == CHDIR else f"exec {hook['path']}"
        return f"{what}: {reason(report[1])}"
    if status < 0:
        words = _signal.strsignal(-status) or str(-status)
        return f"signal: {words.lower()} ({hook['path']})"
    return f"exit status {status} ({hook['path']})" if status else ""
