# SPDX-License-Identifier: Apache-2.0
"""The smallest memory limit in which a container runs `true`, on cgroup v2.

There whatever a process takes in the cgroup is its own, wherever it goes; pyrun's init is in it
from its first instruction. v1 does not count what a process has when it is moved there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import contestants
import process

UNIFIED = Path("/sys/fs/cgroup/cgroup.controllers")
PAGE = 4  # KiB: the kernel rounds a limit down to pages
MOST = 64 * 1024
TRIES = 3  # a limit counts when so many runs in a row have succeeded


def obstacle() -> str:
    """Why it can't be measured here, "" if it can."""
    if not UNIFIED.exists():
        return "needs cgroup v2: tests/vm/machine.py and tests/vm/uml have it (docs/vm.md)"
    if "memory" not in UNIFIED.read_text().split():
        return "needs the memory controller"
    return ""


def measure(
    there: Sequence[contestants.Runtime], commands: process.Commands
) -> dict[str, int | None]:
    """{contestant: KiB}, None where it does not run in MOST either."""
    return {runtime.name: smallest(runtime, commands) for runtime in there}


def smallest(runtime: contestants.Runtime, commands: process.Commands) -> int | None:
    """By bisection, to a page."""
    low, high = 0, MOST // PAGE
    if not _runs(runtime, commands, high * PAGE):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if _runs(runtime, commands, middle * PAGE):
            high = middle
        else:
            low = middle
    return high * PAGE


def _runs(runtime: contestants.Runtime, commands: process.Commands, limit: int) -> bool:
    resources = {**runtime.config["linux"].get("resources", {}), "memory": {"limit": limit * 1024}}
    config = {**runtime.config, "linux": {**runtime.config["linux"], "resources": resources}}
    for number in range(TRIES):
        one = runtime.another(f"limit-{limit}-{number}", config)
        try:
            commands.time(one.run(contestants.BRIEF))
        except process.CommandError:
            one.clean(commands)
            return False
    return True
