# SPDX-License-Identifier: Apache-2.0
"""linux.seccomp.listenerPath: the agent gets the listener, and is told whose it is."""

from __future__ import annotations

from pyrun import console, init, jsonscan, lifecycle_hooks
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.state import Container
    from pyrun.types import Config


def send(
    container: Container, config: Config, pid: int, listener: int, status: str = init.CREATING
) -> None:
    """One connection, one container process state (config-linux.md), one descriptor: the notify
    listener of the process `pid`, as the runtime sees it. The container is in `status`. Raises
    Error."""
    profile = config["linux"]["seccomp"]
    process_state = {
        "ociVersion": container.intent["ociVersion"],
        "fds": ["seccompFd"],
        "pid": pid,
        "state": lifecycle_hooks.state(container, status, container.state["init_process_pid"]),
    }
    if profile.get("listenerMetadata"):
        process_state["metadata"] = profile["listenerMetadata"]
    try:
        console.send(profile["listenerPath"], listener, jsonscan.dumps(process_state))
    except Error as error:
        error.pointer = "/linux/seccomp/listenerPath"
        raise
