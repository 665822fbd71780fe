# SPDX-License-Identifier: Apache-2.0
"""start: let the program of a created container run."""

from __future__ import annotations

from pyrun import starting, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Returns when the program runs, or has failed to."""
    container = state.require(opts, opts["id"])
    container.lock(wait=True)
    container.read()
    if container.gone() or not container.intent:
        raise state.no_such(opts["id"])
    starting.start(container)
    return 0
