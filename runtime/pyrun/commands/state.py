# SPDX-License-Identifier: Apache-2.0
"""state: a container's state as JSON, in runc's form."""

from __future__ import annotations

import os

from pyrun import state
from pyrun.jsonscan import dumps
from pyrun.report import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Prints it."""
    text = dumps(describe(state.require(opts, opts["id"])), "  ")
    os.write(1, text.encode())
    return 0
