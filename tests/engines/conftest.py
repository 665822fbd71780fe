# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with engines. Each module has a host for itself; what the engine leaves on
it, or on the machine, fails the module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .host import Host, eventually
from .pairs import Pair
from .podman import Podman


def pytest_configure(config: pytest.Config) -> None:
    """The marker of what `make engines` runs and `make test` leaves out."""
    config.addinivalue_line("markers", "long: takes seconds, and little depends on the runtime")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without PYRUN_ENGINES, the long ones are not chosen."""
    if os.environ.get("PYRUN_ENGINES"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host without an engine."""
    found = Host()
    yield found
    found.end()


@pytest.fixture(scope="module")
def podman_host(host: Host) -> Iterator[Host]:
    """One with podman, the image and nothing else."""
    Podman.prepare(host)
    before = host.processes()
    yield host
    host("podman", "rm", "--all", "--force", "--time=0")
    eventually(lambda: not host.cgroups_of("libpod-") and host.processes() == before, 10)
    assert host.cgroups_of("libpod-") == []
    assert host.processes() == before
    for name in ("pyrun", "runc", "crun"):
        folder = host.path(f"/run/{name}")
        assert not folder.exists() or [p for p in folder.iterdir() if p.name[0] != "."] == []


@pytest.fixture
def both(podman_host: Host) -> Iterator[Pair[Podman]]:
    """podman with a peer and with pyrun."""
    made: list[Podman] = []

    def make(runtime: str) -> Podman:
        made.append(Podman(podman_host, runtime))
        return made[-1]

    yield Pair(make)
    for podman in made:
        podman.clean()
