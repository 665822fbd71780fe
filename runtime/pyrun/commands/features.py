# SPDX-License-Identifier: Apache-2.0
"""features: what this pyrun can do, as the specification's features document."""

from __future__ import annotations

import os

from pyrun.features import document
from pyrun.jsonscan import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Print it, for engines and for people."""
    os.write(1, f"{dumps(document(), '    ')}\n".encode())
    return 0
