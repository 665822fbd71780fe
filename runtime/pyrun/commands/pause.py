# SPDX-License-Identifier: Apache-2.0
"""pause: freeze every process of a container."""

from __future__ import annotations

from pyrun import init, state
from pyrun.cgroup import procs
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Returns once they stand still; if they do not, they go on. Raises Error, in the words of
    runc."""
    container = state.hold(opts, opts["id"])
    status = init.status(container)
    if status == init.PAUSED:
        raise Error("container not running", hint="it is paused already")
    if status not in (init.CREATED, init.RUNNING):
        raise Error("container not running")
    procs.freeze(container.intent["cgroup"])
    return 0
