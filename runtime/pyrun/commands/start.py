# SPDX-License-Identifier: Apache-2.0
"""start: let the program of a created container run."""

from __future__ import annotations

from pyrun import starting, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Returns when the program runs, or has failed to."""
    starting.start(state.hold(opts, opts["id"]))
    return 0
