# SPDX-License-Identifier: Apache-2.0
"""Nothing is mounted into a procfs but by the operation that says so."""

from __future__ import annotations

import errno

from executor.stage import END, Outcome, run
from needs import needs
from pyrun import ops
from pyrun.linux import AT_RECURSIVE, MS_PRIVATE, O_DIRECTORY, O_PATH

pytestmark = needs("userns")

HOST, NULL, TARGET = 10, 11, 12
PREPARED = [
    ops.open_host("/", O_PATH | O_DIRECTORY, HOST),
    ops.mount_setattr(HOST, AT_RECURSIVE, 0, 0, MS_PRIVATE),
    ops.open_tree(HOST, "/dev/null", 0, NULL),
    ops.open_host("/proc/self/comm", O_PATH, TARGET),
]


def test_move_mount_refuses_it() -> None:
    found = run([*PREPARED, ops.move_mount(NULL, TARGET)])
    assert found == Outcome((4, errno.EXDEV, 0), END << 8, [])


def test_cover_proc_does_it() -> None:
    again = ops.open_host("/proc/self/comm", O_PATH, TARGET)
    found = run([*PREPARED, ops.cover_proc(NULL, TARGET), again, ops.check_device(TARGET, 1, 3)])
    assert found == Outcome(None, END << 8, [])
