# SPDX-License-Identifier: Apache-2.0
"""Waiting in the foreground, which takes no interpreter: `run`, `exec` and `restore` become the
launcher for it (runtime/launcher/waiter.c), which forwards signals and the terminal, and takes the
container away at the end.
"""

from __future__ import annotations

import os
import select
import time

from pyrun import interruption
from pyrun.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import NoReturn

    from pyrun.launch import Child
    from pyrun.notify import Proxy
    from pyrun.state import Container
    from pyrun.types import Options

NAME = "pyrun:wait"
DELETE, WAIT = "delete", "wait"
TRIES, PAUSE = (
    20,
    0.05,
)  # how often the launcher is tried after the child's end, and seconds between
# The package is in <prefix>/lib/pythonX.Y/site-packages, as the launcher knows as well.
LAUNCHER = f"{__file__.rsplit('/', 5)[0]}/bin/pyrun"


def prepare() -> int:
    """The launcher, open; and from here on no signal may be lost or kill us. To be called when the
    program has not been started yet, so that a failure can be undone. Raises Error."""
    try:
        launcher = os.open(LAUNCHER, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise from_os(error, f"open {LAUNCHER}") from None
    interruption.hand_on()
    return launcher


def at_the_end(opts: Options, container: Container, verb: str) -> list[str]:
    """The command line by which the container is taken away, or its end put on record: DELETE,
    WAIT. By then somebody else may have deleted it, and made another of its name."""
    words = ["pyrun", "--root", opts["root"], "--log-format", opts["log_format"]]
    if opts["log"]:
        words += ["--log", opts["log"]]
    if opts["log_level"] != "error":
        words += ["--log-level", opts["log_level"]]
    words.append(verb)
    if verb == DELETE:
        words += ["--force", "--init", str(container.state["init_process_pid"])]
    return [*words, container.id]


def become(
    launcher: int, child: Child, master: int, proxy: Proxy | None, at_the_end: list[str]
) -> NoReturn:
    """Wait for the child's end as the launcher does, with its status as the exit code.

    `master` is our end of its terminal, or -1; `proxy` that of its NOTIFY_SOCKET. The child runs,
    and nobody else waits for it: what fails, as for want of memory, is tried again until it has
    ended, and a while after. Raises Error.
    """
    manager = proxy.reach_manager() if proxy else None
    fds = (child.pidfd, master, _number(proxy.socket if proxy else None), _number(manager))
    counts = at_the_end[-2:-1] != [WAIT]  # whose exit code is the program's
    words = [NAME, *map(str, (child.pid, *fds, int(counts))), *at_the_end]
    poll = select.poll()
    poll.register(child.pidfd, select.POLLIN)
    tries = 0
    while True:
        try:
            for fd in fds:
                if fd >= 0:
                    os.set_inheritable(fd, True)  # noqa: FBT003 - its own only argument
            os.execve(launcher, words, os.environ)  # noqa: S606 - no shell is wanted
        except OSError as error:
            tries += bool(poll.poll(0))
            if tries > TRIES:
                raise from_os(error, f"execve {LAUNCHER}") from None
        time.sleep(PAUSE)


def _number(connection: socket | None) -> int:
    return connection.fileno() if connection else -1
