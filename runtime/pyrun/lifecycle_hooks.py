# SPDX-License-Identifier: Apache-2.0
"""Hooks at their places in the lifecycle: with the container's state, and the caller's umask."""

from __future__ import annotations

import os

from pyrun import hooks, jsonscan
from pyrun.compile.hooks import STREAMS
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config


def state(container: Container, status: str, pid: int) -> Config:
    """The container's state (runtime.md); `pid` as the reader's namespace sees it, 0 for none."""
    intent = container.intent
    document = {
        "ociVersion": intent["ociVersion"],
        "id": container.id,
        "status": status,
        "bundle": intent["bundle"],
    }
    if pid:
        document["pid"] = pid
    if intent.get("annotations"):
        document["annotations"] = intent["annotations"]
    return document


def state_document(container: Container, status: str, pid: int) -> bytes:
    """The same as JSON."""
    return jsonscan.dumps(state(container, status, pid)).encode()


def run(container: Container, kind: str, wanted: list[Config], status: str, pid: int) -> None:
    """In the runtime's namespaces, one after the other. Raises Error at the first that fails."""
    notes = container.intent.get("annotations") or {}
    files = _open_files(notes)
    own = os.umask(container.intent["umask"])
    try:
        document = state_document(container, status, pid)
        hooks.run(wanted, kind, document, container.intent["bundle"], files)
    except Error as error:
        error.hint = error.hint or _elsewhere(notes, files)
        raise
    finally:
        os.umask(own)
        _close(files)


def run_all(
    container: Container, kind: str, wanted: list[Config], status: str, pid: int
) -> list[Error]:
    """The same, whatever fails on the way; the failures."""
    notes = container.intent.get("annotations") or {}
    failures = []
    try:
        files = _open_files(notes)
    except Error as error:
        files = (-1, -1)
        failures.append(error)
    own = os.umask(container.intent["umask"])
    try:
        document = state_document(container, status, pid)
        failures += hooks.run_all(wanted, kind, document, container.intent["bundle"], files)
    finally:
        os.umask(own)
        _close(files)
    for failure in failures:
        failure.hint = failure.hint or _elsewhere(notes, files)
    return failures


def _open_files(notes: Config) -> tuple[int, int]:
    """For what hooks print; -1 where no annotation names one. Raises Error."""
    if not any(notes.get(name) for name in STREAMS):
        return -1, -1
    # Only for containers with those annotations.
    from pyrun import hook_output

    return hook_output.open_files(notes)


def _elsewhere(notes: Config, files: tuple[int, int]) -> str:
    """Where else than in an error the output is."""
    if max(files) < 0:
        return ""
    from pyrun import hook_output

    return hook_output.elsewhere(notes)


def _close(files: tuple[int, int]) -> None:
    for fd in files:
        if fd >= 0:
            os.close(fd)
