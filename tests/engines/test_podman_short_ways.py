# SPDX-License-Identifier: Apache-2.0
"""What podman asks for again and again takes no Python (docs/fast.md)."""

from __future__ import annotations

import pytest

from needs import needs

from .host import Host
from .podman import Podman
from .watched import Watched

pytestmark = needs("root", "busybox", "podman", "strace")
RUNS = 12
# podman names its own bind mounts in one of four or five orders, each time another; each of these
# has a template.
AGAIN = 3


@pytest.fixture
def watched(podman_host: Host) -> Watched:
    return Watched(podman_host, "/run/pyrun")


def test_podman(podman_host: Host, watched: Watched) -> None:
    podman = Podman(podman_host, str(watched.path))
    for number in range(RUNS):
        assert podman.sees("--network=none", "--", "echo", f"{number}") == f"{number}"
    creates = watched.by_python("create")
    assert (creates[0], len(creates)) == (True, RUNS)
    assert creates.count(False) >= AGAIN


def test_podman_exec(podman_host: Host, watched: Watched) -> None:
    """Its health checks are the same."""
    podman = Podman(podman_host, str(watched.path))
    name = podman.started("--network=none")
    try:
        for number in range(4):
            assert podman.exec(name, "echo", f"{number}") == f"{number}"
        assert watched.by_python("exec") == [True, False, False, False]
    finally:
        podman.clean()
