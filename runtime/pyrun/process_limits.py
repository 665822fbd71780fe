# SPDX-License-Identifier: Apache-2.0
"""What the runtime sets of the executor's process from outside, where that has the rights: its
place on the OOM killer's list, and in a user namespace its limits."""

from __future__ import annotations

import errno

from pyrun import idmaps, launch
from pyrun.compile import rlimits
from pyrun.compile.donations import namespace
from pyrun.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Config


def write_oom_score(pid: int, config: Config) -> None:
    """process.oomScoreAdj; unset keeps the caller's."""
    score = (config.get("process") or {}).get("oomScoreAdj")
    if score is not None:
        hint = "lowering it below the caller's own needs CAP_SYS_RESOURCE"
        idmaps.write(f"/proc/{pid}/oom_score_adj", str(score), "/process/oomScoreAdj", hint)


def set_rlimits(pid: int, config: Config) -> None:
    """process.rlimits, when the process has opened its last descriptor. In a user namespace it
    could not raise one itself; everywhere else the executor does it (compile/rlimits.py)."""
    if not namespace(config, "user"):
        return
    for pointer, resource, soft, hard in rlimits.limits(config):
        try:
            launch.prlimit(pid, resource, soft, hard)
        except OSError as error:
            hint = "above the caller's own hard limit" if error.errno == errno.EPERM else ""
            raise from_os(error, "prlimit", pointer, hint) from None
