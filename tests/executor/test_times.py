# SPDX-License-Identifier: Apache-2.0
"""The file in which the executor notes when each operation has ended."""

from __future__ import annotations

import os
import struct
import time

import pytest

from executor.stage import END, end, spawned
from needs import needs
from pyrun import launch, ops
from pyrun.compile import seccomp
from pyrun.types import Op

pytestmark = needs("userns")

ALLOW = struct.pack("=HBBI", 0x06, 0, 0, seccomp.ALLOW)


def traced(listed: list[Op], room: int) -> list[int]:
    """The times after a plan: as many as there is room for."""
    fd = os.memfd_create("times", os.MFD_CLOEXEC)
    os.ftruncate(fd, 8 * room)
    try:
        with spawned() as child:
            launch.send_times(child, fd)
            launch.send_plan(child, [("", op) for op in listed], [])
            assert launch._receive(child)[0] in (0, launch.FAILED)
            assert end(child) == END << 8
        return memoryview(os.pread(fd, 8 * room, 0)).cast("Q").tolist()
    finally:
        os.close(fd)


def test_one_for_each_operation() -> None:
    """By the clock that Python reads, too."""
    before = time.monotonic_ns()
    times = traced([ops.umask(0)] * 3, 5)
    assert [*sorted(times[:4]), 0] == times
    assert before < times[0]
    assert times[3] < time.monotonic_ns()


def test_also_for_one_that_fails() -> None:
    times = traced([ops.umask(0), ops.setresuid(1234), ops.umask(0)], 4)
    assert 0 < times[1] <= times[2]
    assert times[3] == 0


def test_none_from_a_filter_on() -> None:
    """It might not let us ask for the time."""
    times = traced([ops.prctl(38, 1), ops.seccomp(0, ALLOW), ops.umask(0)], 4)
    assert times[1] > 0
    assert times[2:] == [0, 0]


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_file_that_is_too_small(room: int) -> None:
    times = traced([ops.umask(0)] * 50, room)
    assert len(times) == room
    assert all(times)


def test_a_message_without_a_file_ends_it() -> None:
    with spawned() as child:
        launch._send(child, launch.TIMES, [])
        assert launch._receive(child)[0] == 0
        assert end(child) == END << 8
