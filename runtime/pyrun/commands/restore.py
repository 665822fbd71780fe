# SPDX-License-Identifier: Apache-2.0
"""restore: make a container of what `checkpoint` has saved, and let it run on."""

from __future__ import annotations

import os

from pyrun import launch, waiter
from pyrun.criu.restoration import Restoration
from pyrun.errors import Error
from pyrun.prepare import prepare
from pyrun.terminal_rules import check_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """The exit code of the container's program, or 0 at once with --detach."""
    if os.geteuid() != 0:
        raise Error("restore: only root can: criu needs its rights")
    prepared = prepare(opts, fifo=False)
    check_terminal(prepared.config, opts, detach=opts["detach"])
    restoration = Restoration(prepared)
    child = restoration.restore()
    if opts["detach"]:
        return 0
    if not opts["no_subreaper"]:
        launch.become_subreaper(yes=True)
    restoration.container.unlock()  # for the verbs of others, as long as it runs
    last = waiter.at_the_end(opts, restoration.container, waiter.DELETE)
    return waiter.become(restoration.launcher, child, restoration.master, None, last)
