# SPDX-License-Identifier: Apache-2.0
"""create: everything up to the user's program, which waits for start."""

from __future__ import annotations

from pyrun import template
from pyrun.creation import Creation
from pyrun.prepare import prepare
from pyrun.terminal_rules import check_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Create the container and return; it waits at its exec fifo."""
    prepared = prepare(opts, fifo=True)
    check_terminal(prepared.config, opts, detach=True)
    creation = Creation(prepared)
    creation.create()
    creation.container.unlock()
    template.leave(prepared, fifo=True)
    return 0
