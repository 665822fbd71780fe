# SPDX-License-Identifier: Apache-2.0
"""buildah: images are built, and each RUN of them is a container."""

from __future__ import annotations

import pytest

from needs import needs

from .buildah import Buildah
from .image import NAME
from .pairs import Pair
from .screens import screen

pytestmark = needs("root", "busybox", "buildah", "runc")
Both = Pair[Buildah]

SCRATCH = """
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo made by $A > /made; mkdir -p /deep/er"]
ENV A=b
WORKDIR /deep/er
RUN ["/bin/busybox", "sh", "-c", "pwd > /place; echo $A >> /place"]
"""
USERS = f"""
FROM {NAME}
USER box
RUN id -u > /tmp/user; grep Cap /proc/self/status > /tmp/caps; exit 0
USER root
RUN grep Cap /proc/self/status > /tmp/rootcaps; cat /tmp/user
"""
STAGES = f"""
FROM {NAME} AS first
RUN echo of the first > /file
FROM {NAME}
COPY --from=first /file /copied
RUN cat /copied
"""


@pytest.fixture
def both(buildah: Both) -> Both:
    """The engine of this module."""
    return buildah


def test_from_scratch(both: Both) -> None:
    """FROM scratch, COPY, RUN, and what RUN sees of ENV and WORKDIR."""

    def exercise(buildah: Buildah) -> list[str]:
        container = buildah.begun(buildah.build(SCRATCH))
        cat = ("/bin/busybox", "cat")
        return [buildah.run(container, *cat, f"/{name}").out for name in ("made", "place")]

    assert both(exercise) == ["made by\n", "/deep/er\nb\n"]


def test_users_and_capabilities(both: Both) -> None:
    def exercise(buildah: Buildah) -> list[str]:
        container = buildah.begun(buildah.build(USERS))
        names = ("user", "caps", "rootcaps")
        return [buildah.run(container, "cat", f"/tmp/{name}").out for name in names]

    user, caps, root = both(exercise)
    assert user == "1000\n"
    assert "CapEff:\t0000000000000000" in caps and "CapEff:\t0000000000000000" not in root


@pytest.mark.long
def test_stages(both: Both) -> None:
    def exercise(buildah: Buildah) -> str:
        container = buildah.begun(buildah.build(STAGES))
        return buildah.run(container, "cat", "/copied").out

    assert both(exercise) == "of the first\n"


def test_step_that_fails(both: Both) -> None:
    """The build ends with the code of the step's program."""

    def exercise(buildah: Buildah) -> int:
        return buildah.try_to_build(f"FROM {NAME}\nRUN exit 7\n").code

    assert both(exercise) == 7


def test_program_that_is_not_there(both: Both) -> None:
    def exercise(buildah: Buildah) -> list[bool]:
        result = buildah.try_to_build(f'FROM {NAME}\nRUN ["/no/such/program"]\n')
        said = result.err.lower()
        return [result.code != 0, "no such file or directory" in said]

    assert both(exercise) == [True, True]


@pytest.mark.long
def test_limits_of_a_step(both: Both) -> None:
    place = "/sys/fs/cgroup"
    text = (
        f"FROM {NAME}\nRUN ulimit -Sn > /limits; cd {place};"
        " cat memory/memory.limit_in_bytes memory.max cpu/cpu.shares cpu.weight >> /limits"
        " 2>/dev/null; true\n"
    )

    def exercise(buildah: Buildah) -> list[str]:
        flags = ("--memory=64m", "--cpu-shares=262144", "--ulimit=nofile=500:600")
        container = buildah.begun(buildah.build(text, *flags))
        return buildah.run(container, "cat", "/limits").out.split()

    files, memory, share = both(exercise)
    assert (files, memory) == ("500", "67108864")
    assert share in ("262144", "10000")  # the most, of which runtimes of any age make the most


def test_run(both: Both) -> None:
    """Output, codes, a user, a volume, a network of its own or the host's."""

    def exercise(buildah: Buildah) -> list[object]:
        container = buildah.begun()
        folder = f"/run/bound-{buildah.runtime}"
        buildah.host.write(f"{folder}/file", "from the host\n")
        return [
            buildah.run(container, "sh", "-c", "echo out; echo err >&2; exit 7"),
            buildah.run(container, "id", "-u", flags=("--user=box",)).out,
            buildah.run(container, "cat", "/b/file", flags=(f"--volume={folder}:/b:ro",)).out,
            buildah.run(container, "sh", "-c", "ls /sys/class/net", flags=("--network=none",)).out,
        ]

    result, user, bound, network = both(exercise)
    assert (result.code, result.out) == (7, "out\n") and "err" in result.err
    assert [user, bound, network] == ["1000\n", "from the host\n", "lo\n"]


def test_run_at_a_terminal(both: Both) -> None:
    def exercise(buildah: Buildah) -> int:
        container = buildah.begun()
        with screen(buildah.host, buildah.line(container, "sh")) as shell:
            shell.wait_for(b"# ")
            shell.type(b"tty; test -t 0 && echo ter''minal\n")
            shell.wait_for(b"terminal")
            shell.type(b"exit 5\n")
            return shell.end()

    assert both(exercise) == 5


def test_no_descriptor_of_the_engine_gets_in(both: Both) -> None:
    """buildah leaves pipes open for whoever it starts."""

    def exercise(buildah: Buildah) -> list[str]:
        return buildah.run(buildah.begun(), "ls", "/proc/self/fd").out.split()

    assert both(exercise) == ["0", "1", "2", "3"]


@pytest.mark.long
def test_debugging_flag_for_the_runtime(both: Both) -> None:
    """--runtime-flag: buildah puts it before each verb."""

    def exercise(buildah: Buildah) -> list[object]:
        result = buildah.run(buildah.begun(), "echo", "on", flags=("--runtime-flag=debug",))
        return [result.code, result.out]

    assert both(exercise) == [0, "on\n"]
