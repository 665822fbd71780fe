# SPDX-License-Identifier: Apache-2.0
"""Hooks at their places in the lifecycle: with the container's state, and the caller's umask."""

from __future__ import annotations

import os

from pyrun import hooks, jsonscan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.errors import Error
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
    own = os.umask(container.intent["umask"])
    try:
        document = state_document(container, status, pid)
        hooks.run(wanted, kind, document, container.intent["bundle"])
    finally:
        os.umask(own)


def run_all(
    container: Container, kind: str, wanted: list[Config], status: str, pid: int
) -> list[Error]:
    """The same, whatever fails on the way; the failures."""
    own = os.umask(container.intent["umask"])
    try:
        document = state_document(container, status, pid)
        return hooks.run_all(wanted, kind, document, container.intent["bundle"])
    finally:
        os.umask(own)
