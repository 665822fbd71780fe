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

# With any runtime, Docker 28 gives 127 for an exec of what may not be executed, and can't start a
# networked container from a checkpoint.
NOT_HERE = ("test_exec", "test_checkpoint")
FOUND = {name: test for name, test in vars(test_docker).items() if name.startswith("test_")}
globals().update({name: test for name, test in FOUND.items() if name not in NOT_HERE})


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
