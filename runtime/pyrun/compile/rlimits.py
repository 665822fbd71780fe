# SPDX-License-Identifier: Apache-2.0
"""process.rlimits: by the init, which has the runtime's privileges until it changes its user. In a
user namespace it has not: there the runtime sets them from outside (process_limits.py)."""

from __future__ import annotations

from pyrun import ops
from pyrun.compile.donations import namespace
from pyrun.linux import RLIMITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config, Facts, Steps

UNLIMITED = 0xFFFF_FFFF_FFFF_FFFF


def limits(config: Config) -> list[tuple[str, int, int, int]]:
    """(JSON pointer, RLIMIT_*, soft, hard) of each; -1 is unlimited."""
    entries = (config.get("process") or {}).get("rlimits") or []
    return [
        (
            f"/process/rlimits/{index}",
            RLIMITS[entry["type"]],
            entry["soft"] & UNLIMITED,
            entry["hard"] & UNLIMITED,
        )
        for index, entry in enumerate(entries)
    ]


def limit(config: Config, facts: Facts) -> Steps:
    """Where the init can do it itself."""
    if not namespace(config, "user"):
        for pointer, resource, soft, hard in limits(config):
            yield pointer, ops.setrlimit(resource, soft, hard)
