# SPDX-License-Identifier: Apache-2.0
"""exec: run another process in a container that lives, and wait for it unless it is detached."""

from __future__ import annotations

from pyrun import exec_process, state
from pyrun.errors import Error
from pyrun.execution import Execution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """The exit code of the process, or 0 once it runs with --detach."""
    try:
        return _run(opts)
    except Error as error:
        if error.pointer:
            error.message = exec_process.place(opts, error.pointer) + error.message
            error.pointer = ""
        raise


def _run(opts: Options) -> int:
    container = state.require(opts, opts["id"])
    execution = Execution(container, opts)
    child = execution.join()
    if opts["detach"]:
        execution.run(child)
        return 0
    from pyrun import waiter  # only who waits needs it

    launcher = execution.prepare_to_wait()
    execution.run(child)
    return waiter.become(launcher, child, execution.master, None, [])
