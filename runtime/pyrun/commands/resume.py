# SPDX-License-Identifier: Apache-2.0
"""resume: let the processes of a paused container go on."""

from __future__ import annotations

from pyrun import init, state
from pyrun.cgroup import procs
from pyrun.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Raises Error, in the words of runc."""
    container = state.hold(opts, opts["id"])
    if init.status(container) != init.PAUSED:
        raise Error("container not paused")
    procs.thaw(container.intent["cgroup"])
    return 0
