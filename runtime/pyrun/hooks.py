# SPDX-License-Identifier: Apache-2.0
"""Hooks of the runtime namespace: prestart, createRuntime, poststart and poststop.

A hook is a program of the host's owner, run with our privileges. It gets its own process group,
an environment and fds that are the config's alone, and cannot hold us longer than its timeout:
its output goes to a memfd, so that we wait for the process and never for the end of a pipe.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time

from pyrun.errors import Error, from_os, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from pyrun.types import Config
else:
    import _signal

TAIL = 1024  # bytes of a failed hook's output that the message quotes
LAST_FD = 2**31 - 1
LONGEST_POLL = 60_000  # milliseconds

# What the child could not do, as it says on the pipe.
CHDIR, EXECVE = 1, 2


def run(
    hooks: list[Config], kind: str, state: bytes, bundle: str, timeout: float | None = None
) -> None:
    """Run the hooks of one kind in order, and stop at the first that fails.

    `kind` is the key in config.json ("createRuntime"), `state` the JSON of the container's state
    that each hook reads from stdin, `bundle` the absolute path where it starts, `timeout` the
    seconds for hooks that name none (None: no limit). Raises Error with the pointer of the hook
    (runtime-spec, config.md, POSIX-platform hooks).
    """
    for index, hook in enumerate(hooks):
        _run(hook, kind, index, state, bundle, timeout)


def run_all(
    hooks: list[Config], kind: str, state: bytes, bundle: str, timeout: float | None = None
) -> list[Error]:
    """Run every hook of one kind, whatever the others did; the failures, to warn of.

    It is the rule for poststop: "the remaining hooks and lifecycle continue" (runtime.md).
    """
    failures = []
    for index, hook in enumerate(hooks):
        try:
            _run(hook, kind, index, state, bundle, timeout)
        except Error as failure:
            failures.append(failure)
    return failures


def _run(
    hook: Config, kind: str, index: int, state: bytes, bundle: str, default: float | None
) -> None:
    pointer, name = f"/hooks/{kind}/{index}", f"error running {kind} hook #{index}"
    seconds = hook.get("timeout", default)
    if seconds is not None and seconds <= 0:
        raise Error("must be greater than zero", f"{pointer}/timeout")
    if not hook["path"].startswith("/"):
        raise Error(f"{hook['path']!r} is not an absolute path", f"{pointer}/path")
    stdin = output = -1
    try:
        stdin, output = _memfd("hook state"), _memfd("hook output")
        left = memoryview(state)
        while left:
            left = left[os.write(stdin, left) :]
        os.lseek(stdin, 0, os.SEEK_SET)
        failure = _execute(hook, bundle, stdin, output, seconds)
        if failure:
            raise Error(f"{name}: {failure}{_quote(output)}", pointer)
    except OSError as error:
        raise from_os(error, name, pointer) from None
    finally:
        for fd in (stdin, output):
            if fd >= 0:
                os.close(fd)


def _execute(hook: Config, bundle: str, stdin: int, output: int, seconds: float | None) -> str:
    """Run one hook to its end, or to its timeout; what went wrong, "" for nothing."""
    deadline = None if seconds is None else time.monotonic() + seconds
    report, child_report = os.pipe()
    pid, pidfd, reaped = _fork(hook, bundle, (stdin, output, child_report)), -1, False
    try:
        os.close(child_report)
        pidfd = os.pidfd_open(pid)
        # The report ends when execve closes it: until then the group need not exist.
        if not (_readable(report, deadline) and _readable(pidfd, deadline)):
            return f"hook ran past specified timeout of {float(seconds or 0)}s"
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        reaped = True
        return _explain(hook, bundle, status, os.read(report, 2))
    finally:
        # Not reaped: a timeout, or a signal that interrupts us. The pid is still the hook's, and
        # so is the number of the group, until we have waited for it.
        if not reaped:
            _kill(pid)
        os.close(report)
        if pidfd >= 0:
            os.close(pidfd)


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # the group may not exist yet
        try:
            kill(pid, _signal.SIGKILL)
        except ProcessLookupError:
            pass
    os.waitpid(pid, 0)


def _fork(hook: Config, bundle: str, fds: tuple[int, int, int]) -> int:
    # No handler of ours may run in the child, which has none of what they act upon.
    mask = _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _child(hook, bundle, fds)
        return pid
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def _child(hook: Config, bundle: str, fds: tuple[int, int, int]) -> NoReturn:
    report, doing = fds[2], CHDIR
    try:
        os.setpgid(0, 0)
        # First out of the way of 0 to 3, whatever their numbers are.
        stdin, output, report = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in fds]
        for source, target in ((stdin, 0), (output, 1), (output, 2)):
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


def _readable(fd: int, deadline: float | None) -> bool:
    """Wait until the fd is readable or at its end; False when the deadline comes first."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        left = LONGEST_POLL
        if deadline is not None:
            left = min(left, max(0, round((deadline - time.monotonic()) * 1000)))
        if poll.poll(left):
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def _explain(hook: Config, bundle: str, status: int, report: bytes) -> str:
    if len(report) == 2:
        what = f"chdir {bundle}" if report[0] == CHDIR else f"exec {hook['path']}"
        return f"{what}: {reason(report[1])}"
    if status < 0:
        words = _signal.strsignal(-status) or str(-status)
        return f"signal: {words.lower()}"
    return f"exit status {status}" if status else ""


def _quote(output: int) -> str:
    size = os.fstat(output).st_size
    text = os.pread(output, TAIL, max(0, size - TAIL)).decode("utf-8", "replace").strip()
    return f", output: {text}" if text else ""


def _memfd(name: str) -> int:
    return os.memfd_create(name, os.MFD_CLOEXEC)
