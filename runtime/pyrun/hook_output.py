# SPDX-License-Identifier: Apache-2.0
"""What hooks print and how they went: quoted in errors, told in the log, kept in files that the
annotations run.oci.hooks.stdout and run.oci.hooks.stderr name.

Hooks in the container have no runtime beside them: the executor leaves a record of each in the
state folder (struct hook_record of runtime/executor/plan.h).
"""

from __future__ import annotations

import os
from _struct import Struct

from pyrun import failure, jsonscan, log
from pyrun.compile.hooks import STREAMS
from pyrun.errors import Error, from_os
from pyrun.state import HOOKS_LOG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.state import Container

    Record = tuple[float, int, int, str]  # seconds, an errno or 0, the wait status, output

_RECORD = Struct("=QiiII")


def records(container: Container) -> list[Record]:
    """Of the hooks in the container that have run so far, in their order."""
    try:
        fd = os.open(HOOKS_LOG, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=container.fd)
    except OSError:
        return []  # none, or no descriptor is left: the error is worth more than its addition
    try:
        data = os.read(fd, os.fstat(fd).st_size)
    finally:
        os.close(fd)
    found = []
    while len(data) >= _RECORD.size:
        nanoseconds, number, status, size, _ = _RECORD.unpack(data[: _RECORD.size])
        end = _RECORD.size + size
        text = data[_RECORD.size : end].decode("utf-8", "replace").strip()
        found.append((nanoseconds / 1e9, number, status, text))
        data = data[end:]
    return found


def explain(container: Container, error: Error) -> None:
    """Add to an error what the last hook in the container has printed, if that is what failed."""
    found = records(container)
    if found and (found[-1][1] or found[-1][2]):
        error.message += quote(found[-1][3])
        error.hint = error.hint or elsewhere(container.intent.get("annotations") or {})


def quote(text: str) -> str:
    """The end of an error."""
    return f", output: {text}" if text else ""


def elsewhere(annotations: dict[str, str]) -> str:
    """Where else the output is, as a hint."""
    places = [annotations[name] for name in STREAMS if annotations.get(name)]
    return f"what it printed is in {' and '.join(dict.fromkeys(places))}" if places else ""


def tell(container: Container, calls: list[Any], first: int) -> int:
    """Debug records of the hooks in the container, from this one on: `calls` has (pointer of the
    hook, its path and arguments) of each. How many there were."""
    ended = records(container)[first:]
    for (pointer, command), (seconds, number, status, text) in zip(
        calls[first:], ended, strict=False
    ):
        kind, _, index = pointer.removeprefix("/hooks/").partition("/")
        how = failure.end_of_hook(number, status)
        log.debug(line(kind, int(index), command, seconds, how) + quote(text))
    return len(ended)


def line(kind: str, index: int, command: list[str], seconds: float, how: str) -> str:
    """How a call went: `command` is the path and the arguments."""
    words = jsonscan.dumps(command[1:])
    return f"{kind} hook #{index}: {command[0]} {words}: {how} after {seconds * 1000:.1f} ms"


def open_file(annotations: dict[str, str], name: str) -> int:
    """The file that an annotation names, to append to; -1 where there is none. Raises Error."""
    path = annotations.get(name)
    if not path:
        return -1
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
    try:
        # Not to wait for the reader of a FIFO, which may never come.
        fd = os.open(path, flags | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise from_os(error, f"open {path}", f"/annotations/{name}") from None
    os.set_blocking(fd, True)
    return fd


def open_files(annotations: dict[str, str]) -> tuple[int, int]:
    """Both, for stdout and stderr. Raises Error."""
    out = open_file(annotations, "run.oci.hooks.stdout")
    try:
        return out, open_file(annotations, "run.oci.hooks.stderr")
    except Error:
        if out >= 0:
            os.close(out)
        raise
