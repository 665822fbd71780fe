# SPDX-License-Identifier: Apache-2.0
"""Docker Engine with userns-remap: root of each container is somebody else on the machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from needs import needs

from . import image
from .docker import Docker, client, configuration
from .host import Host, eventually
from .pairs import Pair
from .rootless import COUNT, FIRST, NAME, add_user

pytestmark = [needs("root", "busybox", "docker", "runc"), pytest.mark.long]
Both = Pair[Docker]


@pytest.fixture(scope="module")
def remapped_host(host: Host) -> Iterator[Host]:
    """One with such a daemon, the image and nothing else."""
    add_user(host)
    host.write(
        "/etc/docker/daemon.json", json.dumps({**configuration(host.driver), "userns-remap": NAME})
    )
    Docker.start(host)
    host.ask(client(), "load", "--quiet", "--input", image.write(host.folder / "box.tar"))
    before = host.processes()
    yield host
    assert eventually(lambda: host.processes() == before, 20), host.processes()


@pytest.fixture
def both(remapped_host: Host) -> Iterator[Both]:
    """docker with a peer and with pyrun."""
    made: list[Docker] = []

    def make(runtime: str) -> Docker:
        made.append(Docker(remapped_host, runtime))
        return made[-1]

    yield Pair(make)
    for one in made:
        one.clean()


def test_who_root_is(both: Both) -> None:
    """The map, the image's files, new ones, and the process as the machine sees it."""

    def exercise(docker: Docker) -> list[object]:
        script = "cat /proc/self/uid_map; stat -c %u /etc/passwd /srv/box; touch /x; stat -c %u /x"
        seen = docker.sees(sh=script).split()
        name = docker.started()
        pid = docker.inspect(name, "{{.State.Pid}}")
        return [seen, docker.host.path(f"/proc/{pid}").stat().st_uid]

    seen, owner = both(exercise)
    assert seen == ["0", str(FIRST), str(COUNT), "0", "1000", "0"]
    assert owner == FIRST


def test_exec_terminal_and_stop(both: Both) -> None:
    def exercise(docker: Docker) -> list[object]:
        name = docker.started("--tty", sh="trap 'exit 3' TERM; while :; do sleep 0.1; done")
        seen = docker.exec(name, "sh", "-c", "id -u; hostname boxed 2>/dev/null || echo held")
        user = docker.ask("exec", "--user=box", name, "id", "-un")
        docker.ask("stop", name)
        return [seen, user, docker.wait(name)]

    assert both(exercise) == ["0\nheld", "box", 3]


def test_files_of_the_machine(both: Both) -> None:
    """A folder of root's can be read, one of the mapped root's be written, as volumes are."""

    def exercise(docker: Docker) -> list[object]:
        folder = f"/run/tree-{docker.runtime}"
        docker.host.write(f"{folder}/roots/file", "text\n")
        docker.host.path(f"{folder}/ours").mkdir()
        os.chown(docker.host.path(f"{folder}/ours"), FIRST, FIRST)
        volume = f"vol-{docker.runtime}"
        flags = (f"--volume={folder}:/b", f"--volume={volume}:/v", "--tmpfs=/t")
        script = (
            "cat /b/roots/file; touch /b/roots/x 2>/dev/null || echo held;"
            " touch /b/ours/x /v/x /t/x && stat -c %u /b/roots /b/ours/x /v/x"
        )
        seen = docker.sees(*flags, sh=script).split()
        docker.ask("volume", "rm", volume)
        return [seen, docker.host.path(f"{folder}/ours/x").stat().st_uid]

    assert both(exercise) == [["text", "held", "65534", "0", "0"], FIRST]


def test_limits_devices_and_network(both: Both) -> None:
    def exercise(docker: Docker) -> str:
        script = (
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null;"
            " head -c 1 /dev/zero | od -An -tx1; ip -o link | wc -l; cat /proc/self/oom_score_adj"
        )
        return docker.sees("--memory=40m", "--oom-score-adj=300", sh=script)

    assert both(exercise).split() == [str(40 << 20), "00", "2", "300"]


def test_a_container_that_is_not_remapped(both: Both) -> None:
    seen = both(lambda d: d.sees("--userns=host", "--", "cat", "/proc/self/uid_map")).split()
    assert seen == ["0", "0", str(2**32 - 1)]
