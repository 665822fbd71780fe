# SPDX-License-Identifier: Apache-2.0
"""Why an init could not be started, or ended before it was ready: what its cgroup and its config
tell of it. Loaded when that has happened."""

from __future__ import annotations

import errno

from pyrun import launch
from pyrun.cgroup import procs
from pyrun.compile import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyrun.errors import Error
    from pyrun.types import Config, Facts

# In the words of runc, which engines' users look for.
TOO_LOW = "container init was OOM-killed (memory limit too low?)"
# E2BIG: of a cgroup that has no page for the arguments of execve
NO_MEMORY = (errno.ENOMEM, errno.E2BIG)


def explain(error: Error, cgroup: dict[str, Any], config: Config, facts: Facts) -> None:
    """Give an error of a create its reason, while the cgroup is still there."""
    no_memory = isinstance(error, launch.NoSpawnError) and error.number in NO_MEMORY
    died = isinstance(error, launch.DiedError)
    pointer = memory_limit(config)
    if (no_memory and pointer) or (died and procs.out_of_memory(cgroup)):
        # A call that failed says which; one who was killed could not.
        error.message = f"{TOO_LOW}: {error.message}" if no_memory else TOO_LOW
        error.pointer = pointer
        error.hint = "the init itself takes a few hundred KiB before the program's first"
    elif died and process.has_listener(facts):
        error.hint = "does the seccomp profile allow what a listener takes? " + process.TAKEN
    elif died and facts["seccomp"]:
        error.hint = "by somebody, or for a call that the seccomp profile does not allow (execve?)"


def memory_limit(config: Config) -> str:
    """The field that limits the container's memory, "" for none (a parent cgroup may do it)."""
    resources = (config.get("linux") or {}).get("resources") or {}
    if ((resources.get("memory") or {}).get("limit") or 0) > 0:
        return "/linux/resources/memory/limit"
    if "memory.max" in (resources.get("unified") or {}):
        return "/linux/resources/unified/memory.max"
    return ""
