# SPDX-License-Identifier: Apache-2.0
"""What podman asks for again and again takes no Python (docs/fast.md)."""

from __future__ import annotations

import pytest

from needs import needs

from .host import Host
from .podman import Podman
from .watched import Watched

pytestmark = needs("root", "busybox", "podman", "strace")
# podman names the image's variables, and its own bind mounts, in an order by chance, and each order
# has a template: after a few runs most have been there, but no single run is sure to be known.
RUNS, AGAIN = 60, 3


@pytest.fixture
def watched(podman_host: Host) -> Watched:
    return Watched(podman_host, "/run/pyrun")


def test_podman(podman_host: Host, watched: Watched) -> None:
    podman = Podman(podman_host, str(watched.path))
    creates: list[bool] = []
    while creates.count(False) < AGAIN:
        assert len(creates) < RUNS, creates
        word = str(len(creates))
        assert podman.sees("--network=none", "--", "echo", word) == word
        creates += watched.by_python("create")
        assert len(creates) == int(word) + 1
    assert creates[0], "there was a template before the first"


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
