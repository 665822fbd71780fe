# SPDX-License-Identifier: Apache-2.0
"""A container described for callers: what `state` and `list` print."""

from __future__ import annotations

from pyrun import init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config


def describe(container: Container) -> Config:
    """The members of runtime.md's state, and runc's rootfs, created and owner besides."""
    return describe_as(container, init.status(container))


def describe_as(container: Container, status: str) -> Config:
    """The same, in a status that the caller knows."""
    intent = container.intent
    found = {
        "ociVersion": intent["ociVersion"],
        "id": container.id,
        "pid": 0 if status == init.STOPPED else container.state.get("init_process_pid", 0),
        "status": status,
        "bundle": intent["bundle"],
        "rootfs": intent["rootfs"],
        "created": intent["created"],
    }
    if intent.get("annotations"):
        found["annotations"] = intent["annotations"]
    found["owner"] = ""
    return found
