# SPDX-License-Identifier: Apache-2.0
"""Landlock by hand-made plans: a ruleset, its rules, and what they deny the executor."""

from __future__ import annotations

import errno

import pytest

from executor.stage import END, Outcome, run
from needs import needs
from pyrun import ops
from pyrun.compile import landlock
from pyrun.linux import O_PATH, O_RDONLY
from pyrun.types import Op

pytestmark = needs("userns", "landlock")

A, B = 13, 14
READ_FILE, READ_DIR = landlock.FS["read_file"][0], landlock.FS["read_dir"][0]
BIND = landlock.NET["bind_tcp"][0]


def confined(*rules: Op, fs: int = READ_FILE, net: int = 0) -> list[Op]:
    return [ops.landlock_ruleset(fs, net, 0, A), *rules, ops.landlock_restrict(A)]


def test_denied_but_where_allowed() -> None:
    allowed = [*confined(ops.landlock_path(A, "/proc/..//etc", READ_FILE))]
    works = [*allowed, ops.open_host("/etc/passwd", O_RDONLY, B), ops.open_host("/usr", O_PATH, B)]
    assert run(works) == Outcome(None, END << 8, [])
    fails = [*allowed, ops.open_host("/proc/self/comm", O_RDONLY, B)]
    assert run(fails).failed == (3, errno.EACCES, 0)


@pytest.mark.parametrize(
    ("listed", "number"),
    [
        (confined(ops.landlock_path(A, "/no/such", READ_FILE)), errno.ENOENT),
        (confined(ops.landlock_path(A, "/etc", READ_DIR)), errno.EINVAL),  # is not handled
        (confined(ops.landlock_path(A, "/etc/passwd", READ_DIR), fs=READ_DIR), errno.EINVAL),
        (confined(ops.landlock_path(A, "/proc/self/root/etc", READ_FILE)), errno.ELOOP),
        (confined(ops.landlock_port(A, 1 << 16, BIND), net=BIND), errno.EINVAL),
    ],
)
def test_rules_that_are_refused(listed: list[Op], number: int) -> None:
    assert run(listed).failed == (1, number, 0)


def test_a_right_that_no_kernel_knows() -> None:
    assert run([ops.landlock_ruleset(1 << 60, 0, 0, A)]).failed == (0, errno.EINVAL, 0)
