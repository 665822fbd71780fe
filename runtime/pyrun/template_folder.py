# SPDX-License-Identifier: Apache-2.0
"""Where templates are kept: below the folder of all containers, for it may be the only one that is
ours."""

from __future__ import annotations

import os
import time

from pyrun import state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options

CREATE, EXEC = f"{state.CACHE}/create", f"{state.CACHE}/exec"
MOST = 32  # in a folder
PAUSE = 100_000_000  # ns between two that are made: what changes each time costs little then


def path(opts: Options, kind: str) -> str:
    """The folder of this kind, CREATE or EXEC, whether there is one or not."""
    return os.path.join(state.root_path(opts), kind)


def is_time(folder: str) -> bool:
    """Whether the last one there is not too new. Raises OSError."""
    try:
        return time.time_ns() - os.stat(folder).st_mtime_ns > PAUSE
    except FileNotFoundError:
        return True
