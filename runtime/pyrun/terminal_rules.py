# SPDX-License-Identifier: Apache-2.0
"""Who holds the other end of the container's terminal: the same rules as runc's."""

from __future__ import annotations

from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Options


def check_terminal(config: Config, opts: Options, detach: bool) -> None:
    """Raises Error where nobody could take the terminal, or a socket was given for nothing."""
    wanted = bool((config.get("process") or {}).get("terminal"))
    socket = opts.get("console_socket")
    if detach and wanted and not socket:
        raise Error(
            "cannot allocate tty if pyrun will detach without setting console socket",
            "/process/terminal",
            "pass --console-socket, or set it to false",
        )
    if socket and not (detach and wanted):
        raise Error(
            "cannot use console socket if pyrun will not detach or allocate tty",
            hint="--console-socket goes with process.terminal and a detached container",
        )
