# SPDX-License-Identifier: Apache-2.0
"""podman as an ordinary user. Where cgroups are v1, or not his, podman itself sets no limits."""

from __future__ import annotations

import pytest

from needs import needs

from .host import Result, eventually
from .image import NAME
from .pairs import Pair
from .rootless import COUNT, FIRST, UID, Rootless
from .screens import screen

pytestmark = needs("root", "userns", "newuidmap", "busybox", "podman", "crun", "runc")
Both = Pair[Rootless]


@pytest.fixture
def both(rootless: Both) -> Both:
    """The engine of this module."""
    return rootless


def test_output_and_exit_code(both: Both) -> None:
    def exercise(podman: Rootless) -> Result:
        return podman.run(sh="echo out; echo err >&2; exit 7")

    assert both(exercise, peer="crun") == Result(7, "out\n", "err\n")


def test_who_root_is(both: Both) -> None:
    """Root of the container is the user, and the others have ids of his range."""

    def exercise(podman: Rootless) -> list[str]:
        return podman.sees("--", "cat", "/proc/self/uid_map").split()

    assert both(exercise, peer="crun") == ["0", str(UID), "1", "1", str(FIRST), str(COUNT)]


def test_a_life(both: Both) -> None:
    def exercise(podman: Rootless) -> list[object]:
        script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done"
        name = podman.started(sh=script)
        assert eventually(lambda: podman.ask("logs", name) == "up")
        seen = podman.ask("exec", "--user=box", "--workdir=/tmp", name, "sh", "-c", "id -u; pwd")
        podman.ask("stop", name)
        ended = podman.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")
        podman.ask("rm", name)
        return [seen.split(), ended]

    assert both(exercise, peer="crun") == [["1000", "/tmp"], "exited 3"]


def test_programs_that_are_not_there(both: Both) -> None:
    def exercise(podman: Rootless) -> list[int]:
        return [podman.run("--", "/no/such/program").code, podman.run("--", "/etc/passwd").code]

    assert both(exercise, peer="crun") == [127, 126]


def test_terminal(both: Both) -> None:
    def exercise(podman: Rootless) -> int:
        line = podman.words("run", "--rm", "-it", NAME, "sh")
        with screen(podman.host, line, rows=21, columns=90) as shell:
            shell.wait_for(b"# ")
            shell.type(b"stty size; tty\n")
            shell.wait_for(b"21 90")
            shell.wait_for(b"/dev/pts/0")
            shell.type(b"exit 5\n")
            return shell.end()

    assert both(exercise, peer="crun") == 5


def test_keep_id(both: Both) -> None:
    """The user has his own id inside, and his files are his."""

    def exercise(podman: Rootless) -> list[str]:
        folder = f"/run/user/{UID}/work-{podman.runtime}"
        assert podman.try_("mkdir", folder).code == 0
        flags = ("--userns=keep-id", f"--volume={folder}:/work")
        inside = podman.sees(*flags, sh="id -u; touch /work/file; stat -c %u /work/file").split()
        return [*inside, str(podman.host.path(f"{folder}/file").stat().st_uid)]

    assert both(exercise, peer="crun") == [str(UID)] * 3


def test_files_and_confinement(both: Both) -> None:
    def exercise(podman: Rootless) -> list[str]:
        flags = ("--read-only", "--tmpfs=/data:size=1m", "--cap-drop=ALL", "--hostname=boxed",
                 "--security-opt=no-new-privileges", "--env=A=b")  # fmt: skip
        script = (
            "touch /x 2>/dev/null; echo $?; touch /data/x; echo $?; hostname; echo $A;"
            " grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status | cut -f2"
        )
        return podman.sees(*flags, sh=script).split()

    assert both(exercise, peer="crun") == ["1", "0", "boxed", "b", "0" * 16, "1", "2"]


@pytest.mark.long
def test_pod(both: Both) -> None:
    def exercise(podman: Rootless) -> bool:
        pod = f"pod-{podman.runtime}"
        podman.ask("pod", "create", "--name", pod, "--network=none")
        one, two = podman.started(f"--pod={pod}"), podman.started(f"--pod={pod}")
        ask = ("readlink", "/proc/self/ns/net")
        same = podman.exec(one, *ask) == podman.exec(two, *ask)
        podman.ask("pod", "rm", "--force", "--time=0", pod)
        return same

    assert both(exercise, peer="crun") is True


def test_host_network_and_none(both: Both) -> None:
    def exercise(podman: Rootless) -> list[str]:
        ask = ("--", "ls", "/sys/class/net")
        return [podman.sees("--network=none", *ask), podman.sees("--network=host", *ask)]

    none, host = both(exercise, peer="crun")
    assert none == "lo" and "lo" in host


def test_build(both: Both) -> None:
    def exercise(podman: Rootless) -> str:
        made = f"localhost/made-{podman.runtime}"
        text = f"FROM {NAME}\nRUN id -u > /who; echo built >> /who\n"
        podman.host.write("/run/build/Containerfile", text)
        podman.ask("build", "--quiet", "-t", made, "/run/build")
        seen = podman.sees("--", "cat", "/who", of=made)
        podman.ask("rmi", made)
        return seen

    assert both(exercise, peer="crun") == "0\nbuilt"
