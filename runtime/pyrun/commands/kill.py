# SPDX-License-Identifier: Apache-2.0
"""kill: send a signal to a container's init, or to all of its processes."""

from __future__ import annotations

from pyrun import init, state
from pyrun.errors import Error
from pyrun.linux import SIGNALS, signal_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyrun.types import Options


def run(opts: Options) -> int:
    """Raises Error with the words that engines take for "it has ended" or "there is none"."""
    if opts["regex"]:
        from pyrun import pattern  # rare, and re takes 4 ms

        return pattern.each_match(opts, "kill", run)
    number = signal_number(opts["signal"] or "TERM")
    if number is None:
        raise Error(f"unknown signal {opts['signal']!r}", hint="a number, or a name as in kill -l")
    container = state.require(opts, opts["id"])
    pidfd = init.open_init(container)
    record = container.intent["cgroup"]
    has_cgroup = record["paths"] and init.is_of_this_boot(container)
    deadly = number == SIGNALS["KILL"]
    if pidfd < 0 and not opts["all"]:
        raise Error("container not running")
    # Any other signal comes to it from its cgroup, with the rest, and only once.
    alone = deadly or not (opts["all"] and has_cgroup)
    if pidfd >= 0 and alone and not init.signal(pidfd, number) and not opts["all"]:
        raise Error("container not running")
    if has_cgroup and (opts["all"] or (deadly and not container.intent["own_pids"])):
        # Without a pid namespace the others would go on.
        from pyrun.cgroup import procs

        procs.kill(record, number)
    elif has_cgroup and deadly and record["layout"] != "v2":
        # A frozen v1 cgroup keeps even SIGKILL waiting.
        from pyrun.cgroup import procs

        if procs.frozen(record):
            procs.thaw(record)
    return 0
