# SPDX-License-Identifier: Apache-2.0
"""run: create, start, and (unless detached) wait and delete."""

from __future__ import annotations

import os

from pyrun import interruption, launch, starting, sync, template
from pyrun.creation import Creation
from pyrun.errors import Error
from pyrun.prepare import prepare
from pyrun.terminal_rules import check_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.launch import Child
    from pyrun.notify import Proxy
    from pyrun.types import Options


def run(opts: Options) -> int:
    """The exit code of the container's program, or 0 at once with --detach."""
    prepared = prepare(opts, fifo=False)
    check_terminal(prepared.config, opts, detach=opts["detach"])
    creation = Creation(prepared)
    child = creation.create()
    proxy = _notify_proxy(creation)
    if opts["detach"]:
        _start(creation, child)
        creation.container.unlock()
        template.leave(prepared, fifo=False)
        if proxy:
            interruption.allow()
            proxy.wait(child.pidfd, child.pid)
        return 0
    from pyrun import waiter  # only who waits needs it

    launcher = _prepare_to_wait(creation)
    if not opts["no_subreaper"]:
        launch.become_subreaper(yes=True)
    _start(creation, child)
    creation.container.unlock()  # for the verbs of others, as long as it runs
    template.leave(prepared, fifo=False)
    last = waiter.WAIT if opts["keep"] else waiter.DELETE
    words = waiter.at_the_end(opts, creation.container, last)
    return waiter.become(launcher, child, creation.master, proxy, words)


def _notify_proxy(creation: Creation) -> Proxy | None:
    try:
        return starting.notify_proxy(creation.container)
    except Error:
        creation.undo()
        raise


def _prepare_to_wait(creation: Creation) -> int:
    from pyrun import waiter

    try:
        return waiter.prepare()
    except Error:
        creation.undo()
        raise


def _start(creation: Creation, child: Child) -> None:
    """Past the point START, until the program runs; any failure undoes the container."""
    try:
        launch.serve(child, {}, sync.START, creation.prepared.steps, creation.config)
        launch.go(child, creation.prepared.steps, creation.config)
        launch.serve(child, {}, 0, creation.prepared.steps, creation.config)
        launch.check_begun(child)
    except BaseException as error:  # noqa: BLE001 - also an interrupt is undone, and raised
        why = creation.why(error)
        creation.undo()
        raise why from None
    os.close(child.socket)
    creation.tell_of_hooks()
    starting.poststart(creation.container)
