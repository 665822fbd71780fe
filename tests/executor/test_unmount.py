# SPDX-License-Identifier: Apache-2.0
"""Taking a mount away by its descriptor, if it is the one that is meant."""

from __future__ import annotations

import errno

import pytest

from executor.stage import END, Outcome, run
from executor.test_operations import TREE, A, B, attached, tmpfs
from needs import needs
from pyrun import ops
from pyrun.linux import O_DIRECTORY, O_PATH
from pyrun.types import Op

pytestmark = needs("userns")

STATX_MNT_ID = 0x1000
PROC = ops.open_host("/proc", O_PATH | O_DIRECTORY, B)


def test_detached_once() -> None:
    again = ops.tolerate(errno.EINVAL, ops.detach(TREE, B))  # it has no place any more
    found = run([PROC, *attached(), ops.detach(TREE, B), again])
    assert found == Outcome(None, END << 8, [])


@pytest.mark.parametrize(
    ("listed", "number"),
    [
        ([PROC, *tmpfs(), ops.detach(TREE, B)], errno.EINVAL),  # never attached
        ([ops.open_host("/etc", O_PATH, A), PROC, ops.detach(A, B)], errno.EINVAL),  # no mount
        ([ops.open_host("/", O_PATH, A), ops.check_mount(A, STATX_MNT_ID, 1)], errno.ESTALE),
        ([ops.open_host("/", O_PATH, A), ops.check_mount(A, 0, 0)], errno.ESTALE),
    ],
)
def test_errors(listed: list[Op], number: int) -> None:
    assert run(listed).failed == (len(listed) - 1, number, 0)
