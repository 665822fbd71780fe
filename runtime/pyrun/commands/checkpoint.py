# SPDX-License-Identifier: Apache-2.0
"""checkpoint: save a running container to images, and (unless told otherwise) end it."""

from __future__ import annotations

from pyrun import state, teardown
from pyrun.criu import dump

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """When it returns 0 the images are whole. A failure leaves the container as it was."""
    container = state.hold(opts, opts["id"])
    dump.dump(container, opts)
    if not (opts["leave_running"] or opts["pre_dump"]):
        # As runc and crun do: what is left of it is deleted.
        teardown.kill(container)
        teardown.finish(container)
    return 0
