# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests with engines. Each module has a host for itself; what the engine leaves on
it, or on the machine, fails the module."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from . import cri, load
from .buildah import Buildah
from .containerd import Ctr
from .cri import Cri
from .docker import Docker
from .host import Host
from .machine import new_host
from .pairs import Pair
from .podman import Podman
from .rootless import NAME as ROOTLESS
from .rootless import UID, Rootless


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
    found = new_host()
    yield found
    found.end()


def _left(host: Host, before: list[str], prefix: str, *roots: str) -> None:
    """Fails when there is more than before: processes, cgroups of containers, state of runtimes."""
    assert load.left(host, before, prefix, roots) == []
    assert host.processes() == before


@pytest.fixture(scope="module")
def podman_host(host: Host) -> Iterator[Host]:
    """One with podman, the image and nothing else."""
    Podman.prepare(host)
    before = host.processes()
    yield host
    host("podman", "rm", "--all", "--force", "--time=0")
    _left(host, before, "libpod-", "/run/pyrun", "/run/runc", "/run/crun")


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


@pytest.fixture(scope="module")
def containerd_host(host: Host) -> Iterator[Host]:
    """One with containerd, the image and nothing else."""
    Ctr.prepare(host)
    before = host.processes()
    yield host
    prefix = "box" if host.driver == "cgroupfs" else "ctr-"
    _left(host, before, prefix, "/run/containerd/runc/default")


@pytest.fixture
def ctr(containerd_host: Host) -> Iterator[Pair[Ctr]]:
    """ctr with a peer and with pyrun."""
    made: list[Ctr] = []

    def make(runtime: str) -> Ctr:
        made.append(Ctr(containerd_host, runtime))
        return made[-1]

    yield Pair(make)
    for one in made:
        one.clean()


@pytest.fixture(scope="module")
def cri_host(host: Host) -> Iterator[Host]:
    """One that serves `ctr` and the CRI, whose handlers are those of the page."""
    daemon = Cri.prepare(host, 1)
    host.ask("ctr", "images", "import", host.folder / "box.tar")
    yield host
    host.stop(daemon)
    cri.end()


@pytest.fixture(scope="module")
def docker_host(host: Host) -> Iterator[Host]:
    """One with Docker, the image and nothing else."""
    daemon = Docker.prepare(host)
    before = host.processes()
    yield host
    roots = [f"/run/docker/runtime-{name}/moby" for name in ("runc", "pyrun", "crun")]
    _left(host, before, "docker-", *roots)
    for hierarchy in host.cgroup.below():
        assert not hierarchy.startswith("docker/"), hierarchy
    host.stop(daemon)


@pytest.fixture
def docker(docker_host: Host) -> Iterator[Pair[Docker]]:
    """docker with a peer and with pyrun."""
    made: list[Docker] = []

    def make(runtime: str) -> Docker:
        made.append(Docker(docker_host, runtime))
        return made[-1]

    yield Pair(make)
    for one in made:
        one.clean()


@pytest.fixture(scope="module")
def buildah_host(host: Host) -> Iterator[Host]:
    """One with buildah, the image and nothing else."""
    Buildah.prepare(host)
    before = host.processes()
    yield host
    _left(host, before, "buildah-", "/run/pyrun", "/run/runc")


@pytest.fixture
def buildah(buildah_host: Host) -> Iterator[Pair[Buildah]]:
    """buildah with a peer and with pyrun."""
    made: list[Buildah] = []

    def make(runtime: str) -> Buildah:
        made.append(Buildah(buildah_host, runtime))
        return made[-1]

    yield Pair(make)
    for one in made:
        one.clean()


@pytest.fixture(scope="module")
def rootless_host(host: Host) -> Iterator[Host]:
    """One with an ordinary user, podman, his image and nothing else."""
    before = host.processes()
    Rootless.prepare(host)
    yield host
    user = Rootless(host, "pyrun")
    user("rm", "--all", "--force", "--time=0")
    host("kill", *host.path(f"/run/user/{UID}/libpod/tmp/pause.pid").read_text().split())
    if host.driver == "systemd":
        host.ask("loginctl", "disable-linger", ROOTLESS)
        host.ask("loginctl", "terminate-user", ROOTLESS)
    roots = [f"/run/user/{UID}/{name}" for name in ("pyrun", "runc", "crun")]
    _left(host, before, "libpod-", *roots)


@pytest.fixture
def rootless(rootless_host: Host) -> Iterator[Pair[Rootless]]:
    """podman of this user, with a peer and with pyrun."""
    made: list[Rootless] = []

    def make(runtime: str) -> Rootless:
        made.append(Rootless(rootless_host, runtime))
        return made[-1]

    yield Pair(make)
    for one in made:
        one.clean()
