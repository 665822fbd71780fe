# SPDX-License-Identifier: Apache-2.0
"""The same as test_docker.py with the Docker Engine of a later Debian, whose containerd is a 2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from needs import needs

from . import test_docker
from .docker import Docker
from .host import Host, eventually
from .pairs import Pair

pytestmark = [needs("root", "busybox", "docker", "runc"), pytest.mark.long]
PROGRAMS = ("dockerd", "docker-proxy", "docker-init", "containerd", "containerd-shim-runc-v2")

globals().update({name: test for name, test in vars(test_docker).items() if name[:5] == "test_"})


@pytest.fixture(scope="module")
def docker_host(host: Host) -> Iterator[Host]:
    """One with that engine, the image and nothing else."""
    host.take_later("docker.io", PROGRAMS)
    Docker.prepare(host)
    assert int(Docker(host, "runc").ask("version", "--format={{.Server.Version}}")[:2]) >= 28
    before = host.processes()
    yield host
    assert eventually(lambda: host.processes() == before, 20), host.processes()


@pytest.fixture
def both(docker: Pair[Docker]) -> Pair[Docker]:
    """The engine of this module."""
    return docker


@needs("criu")
def test_checkpoint(both: Pair[Docker]) -> None:
    """Docker 28 starts one with a network of its own from none, with any runtime."""
    test_docker.check_checkpoint(both, "host")
