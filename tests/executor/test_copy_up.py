# SPDX-License-Identifier: Apache-2.0
"""copy_up at its limits. What it copies: tests/life/test_unusual_mounts.py."""

from __future__ import annotations

import errno

import pytest

from executor.stage import END, Outcome, run
from executor.test_operations import FILE, FOLDER, TREE, A, B, tmpfs
from needs import needs
from pyrun import ops
from pyrun.linux import O_PATH, S_IFDIR
from pyrun.types import Op

pytestmark = needs("userns")


def copied(*made: Op) -> list[Op]:
    return [*tmpfs(A), *made, *tmpfs(), ops.copy_up(TREE, A)]


@pytest.mark.parametrize(("depth", "number"), [(127, None), (128, errno.ENAMETOOLONG)])
def test_nested_folders(depth: int, number: int | None) -> None:
    path = "/d" * depth
    plan = copied(ops.make_in_root(A, path, FOLDER, 0, B))
    found = run([*plan, ops.open_in_root(TREE, path, O_PATH, 0, B)])
    assert found.failed == (None if number is None else (len(plan) - 1, number, 0))


def test_a_folder_that_nobody_may_read() -> None:
    """As root of the container, who may."""
    plan = copied(ops.make_in_root(A, "/d", S_IFDIR, 0, B), ops.make_in_root(A, "/d/f", FILE, 0, B))
    found = run([*plan, ops.open_in_root(TREE, "/d/f", O_PATH, 0, B)])
    assert found == Outcome(None, END << 8, [])


def test_its_own_folder_of_names() -> None:
    """An image that has one is refused, and nothing of it overwritten."""
    plan = copied(ops.make_in_root(A, "/.pyrun-links", FOLDER, 0, B))
    assert run(plan).failed == (len(plan) - 1, errno.EEXIST, 0)
