# SPDX-License-Identifier: Apache-2.0
"""wait: until a container's init has ended, whoever started it; its status is the exit code."""

from __future__ import annotations

import os

from pyrun import exit_status, init, jsonscan, state
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Options

FAILED = 125  # neither a status that programs like, nor one that a shell makes


def run(opts: Options) -> int:
    """The status of the program, 128+n if signal n killed it. Raises Error, with a code of its own:
    there is no such container, or nobody knows the status."""
    try:
        return _wait(opts)
    except Error as error:
        error.code = FAILED
        raise


def _wait(opts: Options) -> int:
    container = state.require(opts, opts["id"])
    if container.state.get("phase") != init.CREATED:
        container = state.hold(opts, opts["id"])  # until it is made, or undone
        container.unlock()
        if container.state.get("phase") != init.CREATED:
            hint = "what is left of it goes by delete --force"
            raise Error(f"container {container.id} was not created to its end", hint=hint)
    pidfd = exit_status.open_init(container)
    status = exit_status.wait(container, pidfd) if pidfd >= 0 else None
    if status is None:
        status = exit_status.recorded(container)
    if opts["json"]:
        _print(container.id, status)
    if status is None:
        raise _unknown(container.id, in_time=pidfd >= 0)
    exit_status.record(container, status)
    return exit_status.code(status)


def _print(container_id: str, status: int | None) -> None:
    document: Config = {"id": container_id, "code": None, "signal": None}
    if status is not None:
        document["code"] = exit_status.code(status)
        document["signal"] = exit_status.signal_of(status)
    os.write(1, f"{jsonscan.dumps(document)}\n".encode())


def _unknown(container_id: str, *, in_time: bool) -> Error:
    if in_time:
        what = "has ended, and nobody told how: its parent took its status before us"
        hint = f"Linux 6.15 keeps it for others, this is {os.uname().release}"
    else:
        what = "has stopped, and how it ended is not on record"
        hint = "`wait` while it runs has it recorded, and so has `run --keep`"
    return Error(f"container {container_id} {what}", hint=hint)
