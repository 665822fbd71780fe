# SPDX-License-Identifier: Apache-2.0
"""delete tells systemd before it removes the cgroup: of one that goes at once systemd does not hear
that it is empty, and the unit would stay, and keep its name."""

from __future__ import annotations

import errno

import pytest

from faults.stops import Stop, Stopped
from life.runtimes import Container
from life.systemd_units import BY_SYSTEMD, units
from needs import needs

pytestmark = [
    needs("systemd"),
    pytest.mark.usefixtures("in_our_slice"),
    pytest.mark.pyrun_only("peers have no library to load"),
    pytest.mark.one_way("no short way speaks with systemd"),
]


@pytest.mark.parametrize(
    ("call", "path"), [("openat", "_sdbus"), ("recvmsg", "")], ids=["library", "answer"]
)
def test_a_failure_that_passes(container: Container, call: str, path: str) -> None:
    """It begins anew with systemd, whatever of that failed."""
    container.created("sleep 100", options=BY_SYSTEMD)
    assert container.kill().code == 0
    container.wait()
    failed: list[Stop] = []

    def decide(stop: Stop) -> int | None:
        if failed or stop.call != call or path not in stop.path:
            return None
        failed.append(stop)
        return errno.ENOMEM

    words = container.runtime.command(*BY_SYSTEMD, "delete", container.id)
    ended = Stopped(words, ("openat", "connect", "recvmsg"), decide).run()
    assert (ended.code, ended.errors) == (0, "")
    assert "connect" in [stop.call for stop in ended.stops[failed[0].index :]]
    assert not units()
