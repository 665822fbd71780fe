# SPDX-License-Identifier: Apache-2.0
"""Ending all that a program has started, whatever groups and sessions it is in by now.

While we are a child subreaper, prctl(2), a process whose parent has ended becomes our child and not
that of init: none gets out of sight.
"""

from __future__ import annotations

import os
from _signal import SIGKILL

from pyrun.kernel._linux import ffi, lib
from pyrun.linux import PR_GET_CHILD_SUBREAPER, PR_SET_CHILD_SUBREAPER

ROUNDS = 1000  # of a program that starts others as fast as we end them


class Adoption:
    """From here to end(), orphans of the program that is started next are our children."""

    def __init__(self) -> None:
        self.before = _children()  # of others: the container's init, what earlier programs left
        found = ffi.new("int *")
        lib.pyrun_prctl(PR_GET_CHILD_SUBREAPER, int(ffi.cast("uintptr_t", found)))
        self.changed = not found[0] and lib.pyrun_prctl(PR_SET_CHILD_SUBREAPER, 1) == 0

    def kill(self) -> None:
        """End what is left of the program, which itself was ended and waited for."""
        for _ in range(ROUNDS):
            found = _children() - self.before
            if not found:
                return
            for pid in found:
                try:
                    os.kill(pid, SIGKILL)
                    os.waitpid(pid, 0)  # then its own children are ours
                except PermissionError:
                    self.before.add(pid)  # another user's: a caller without privileges can't

    def end(self) -> None:
        """As it was. Who is our child by now remains so until we end."""
        if self.changed:
            lib.pyrun_prctl(PR_SET_CHILD_SUBREAPER, 0)


def _children() -> set[int]:
    """Ours, zombies too; none where the kernel does not tell (CONFIG_PROC_CHILDREN)."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb", 0) as file:
            return set(map(int, file.read().split()))
    except FileNotFoundError:
        return set()
