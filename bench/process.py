# SPDX-License-Identifier: Apache-2.0
"""Starting a command and timing it: one posix_spawn, one wait, nothing in between."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
PR_SET_CHILD_SUBREAPER = 36
PATIENCE, IDLE = 1.5, 0.1  # seconds; the part of the processors that may be busy
FEW = 50
SHOWN = 400  # bytes of a failed command's words that are quoted


class CommandError(Exception):
    """A command that had to succeed did not: its words and what it said."""


class Commands:
    """Runs commands with /dev/null as their input and output; what they complain of is kept.

    Containers are reaped here, as under an engine's shim: while this exists, orphans are ours.
    """

    def __init__(self, peak: Path) -> None:
        self.peak = str(peak)
        self.null = os.open("/dev/null", os.O_RDWR)
        self.errors = os.memfd_create("errors", os.MFD_CLOEXEC)
        self.result = os.memfd_create("peak", os.MFD_CLOEXEC)
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.actions = [
            (os.POSIX_SPAWN_DUP2, self.null, 0),
            (os.POSIX_SPAWN_DUP2, self.null, 1),
            (os.POSIX_SPAWN_DUP2, self.errors, 2),
        ]

    def time(self, words: list[str], code: int = 0) -> int:
        """The nanoseconds from before the start to the end of a command that exits with `code`.

        `words[0]` is a full path: nothing is looked up. Raises CommandError for another exit code.
        """
        begin = time.perf_counter_ns()
        pid = os.posix_spawn(words[0], words, ENVIRONMENT, file_actions=self.actions)
        _, status = os.waitpid(pid, 0)
        end = time.perf_counter_ns()
        if os.waitstatus_to_exitcode(status) != code:
            raise self._failed(words, os.waitstatus_to_exitcode(status))
        return end - begin

    def many(self, lines: list[list[str]], jobs: int) -> int:
        """The nanoseconds from the first start to the last end of commands, so many at a time.

        Raises CommandError for the first that fails, when all have ended.
        """
        waiting = lines[::-1]
        running: dict[int, list[str]] = {}
        failure: CommandError | None = None
        begin = time.perf_counter_ns()
        while waiting or running:
            while waiting and len(running) < jobs:
                words = waiting.pop()
                pid = os.posix_spawn(words[0], words, ENVIRONMENT, file_actions=self.actions)
                running[pid] = words
            pid, status = os.waitpid(-1, 0)
            if pid not in running:
                continue  # a container's init, which is ours as well
            words = running.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code != 0 and failure is None:
                failure = self._failed(words, code)
        end = time.perf_counter_ns()
        if failure is not None:
            raise failure
        return end - begin

    def memory(self, words: list[str], code: int = 0) -> int:
        """The peak resident memory in KiB of a command and of the children it waited for."""
        os.ftruncate(self.result, 0)
        os.lseek(self.result, 0, os.SEEK_SET)
        all_words = [self.peak, *words]
        actions = [*self.actions, (os.POSIX_SPAWN_DUP2, self.result, 3)]
        pid = os.posix_spawn(self.peak, all_words, ENVIRONMENT, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        if os.waitstatus_to_exitcode(status) != code:
            raise self._failed(words, os.waitstatus_to_exitcode(status))
        return int(os.pread(self.result, 32, 0))

    def output(self, words: list[str], code: int = 0) -> str:
        """What a command prints. Raises CommandError."""
        out = os.memfd_create("output", os.MFD_CLOEXEC)
        try:
            actions = [*self.actions, (os.POSIX_SPAWN_DUP2, out, 1)]
            pid = os.posix_spawn(words[0], words, ENVIRONMENT, file_actions=actions)
            _, status = os.waitpid(pid, 0)
            if os.waitstatus_to_exitcode(status) != code:
                raise self._failed(words, os.waitstatus_to_exitcode(status))
            return os.pread(out, 1 << 16, 0).decode()
        finally:
            os.close(out)

    def _failed(self, words: list[str], code: int) -> CommandError:
        size = os.fstat(self.errors).st_size
        said = os.pread(self.errors, SHOWN, max(0, size - SHOWN)).decode("utf-8", "replace")
        os.ftruncate(self.errors, 0)
        os.lseek(self.errors, 0, os.SEEK_SET)
        return CommandError(
            f"{' '.join(words)}: exit code {code}: {said.strip() or 'it said nothing'}"
        )


def call(*words: str) -> None:
    """Run a program of the PATH, whose output is ours. Raises CommandError."""
    pid = os.posix_spawn("/usr/bin/env", ["/usr/bin/env", *words], ENVIRONMENT)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code != 0:
        raise CommandError(f"{' '.join(words)}: exit code {code}")


def end(pids: list[int]) -> None:
    """Kill inits of ours and wait for them."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        reap(pid)


def settle(containers: int) -> None:
    """Wait until the processors have been idle for a moment, or for PATIENCE seconds: the kernel
    takes namespaces apart after the last process has left them, at the cost of who comes next.
    Of a few `containers` there is nothing to wait for."""
    if containers < FEW:
        return
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = _processor_times()
        time.sleep(0.1)
        busy, idle = (now - old for now, old in zip(_processor_times(), before, strict=True))
        if busy <= IDLE * (busy + idle):
            return


def _processor_times() -> tuple[int, int]:
    """(busy, idle) of all processors since the boot, in ticks: proc_stat(5)."""
    words = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    ticks = [int(word) for word in words]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, idle


def reap(pid: int) -> None:
    """Wait for a container's init, which is ours since its runtime has ended."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return  # the runtime waited for it, or whoever else was its parent


def build(source: Path, folder: Path) -> Path:
    """The static program that `source` makes, compiled again only if it changed.

    Raises CommandError.
    """
    program = folder / source.stem
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    folder.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-static", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    call("cc", *flags, "-o", str(program), str(source))
    return program
