# SPDX-License-Identifier: Apache-2.0
"""Several containers together under podman: pods, kube play, networks, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from needs import needs

from .host import Host, eventually
from .image import NAME
from .pairs import Pair
from .podman import Podman

pytestmark = needs("root", "busybox", "podman", "runc", "crun")
Both = Pair[Podman]

KINDS = "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done"
MANIFEST = """
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  restartPolicy: Never
  containers:
  - name: web
    image: {image}
    imagePullPolicy: Never
    command: ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]
    volumeMounts: [{{name: common, mountPath: /common, readOnly: true}}]
    resources: {{limits: {{memory: 64Mi, cpu: 250m}}}}
    securityContext: {{runAsUser: 1000, readOnlyRootFilesystem: true}}
  - name: side
    image: {image}
    imagePullPolicy: Never
    command: ["sh", "-c", "trap exit TERM; echo served > /common/file; while :; do sleep 0.1; done"]
    env: [{{name: ASKED, value: "yes"}}]
    volumeMounts: [{{name: common, mountPath: /common}}]
  volumes: [{{name: common, emptyDir: {{}}}}]
"""


@pytest.fixture(scope="module", autouse=True)
def without_pods(podman_host: Host) -> Iterator[None]:
    """In the end."""
    yield
    podman_host("podman", "pod", "rm", "--all", "--force", "--time=0")


def test_pod_with_shared_namespaces(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        pod = f"pod-{podman.runtime}"
        podman.ask("pod", "create", "--name", pod, "--share=net,ipc,uts", "--hostname=podded")
        one = podman.started(f"--pod={pod}")
        two = podman.started(f"--pod={pod}")
        first = podman.exec(one, "sh", "-c", KINDS).splitlines()
        second = podman.exec(two, "sh", "-c", KINDS).splitlines()
        name = podman.exec(two, "hostname")
        same = [a.split(":")[0] for a, b in zip(first, second, strict=True) if a == b]
        podman.ask("pod", "stop", "--time=0", pod)
        state = podman.ask("pod", "inspect", "--format", "{{.State}}", pod)
        podman.ask("pod", "rm", "--force", "--time=0", pod)
        return [same, name, state, podman("pod", "exists", pod).code]

    assert both(exercise) == [["net", "ipc", "uts"], "podded", "Exited", 1]


@pytest.mark.long
def test_pod_with_one_pid_namespace(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        pod = f"pids-{podman.runtime}"
        podman.ask("pod", "create", "--name", pod, "--share=pid")
        one = podman.started(f"--pod={pod}", "--", "sleep", "1234")
        two = podman.started(f"--pod={pod}")
        sees = "sleep 1234" in podman.exec(two, "ps", "-o", "args")
        podman.ask("kill", one)
        code = podman.wait(one)
        podman.ask("pod", "rm", "--force", "--time=0", pod)
        return [sees, code]

    assert both(exercise) == [True, 137]


@pytest.mark.long
def test_pod_is_paused(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        pod = f"still-{podman.runtime}"
        podman.ask("pod", "create", "--name", pod)
        name = podman.started(f"--pod={pod}")
        podman.ask("pod", "pause", pod)
        paused = podman.inspect(name, "{{.State.Status}}")
        podman.ask("pod", "unpause", pod)
        running = podman.inspect(name, "{{.State.Status}}")
        podman.ask("pod", "rm", "--force", "--time=0", pod)
        return [paused, running]

    assert both(exercise) == ["paused", "running"]


@pytest.mark.long
def test_kube_play(both: Both) -> None:
    """A manifest of Kubernetes': two containers, a common volume, limits, a user, read-only."""

    def exercise(podman: Podman) -> list[object]:
        name = f"kube-{podman.runtime}"
        manifest = MANIFEST.format(name=name, image=NAME)
        place = podman.host.write(f"/run/{name}.yaml", manifest)
        podman.ask("kube", "play", place)
        web, side = f"{name}-web", f"{name}-side"
        limit = (
            "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null"
        )
        assert eventually(lambda: podman("exec", side, "test", "-s", "/common/file").code == 0)
        tried = "touch /x 2>/dev/null || echo read-only"
        seen = [
            podman.exec(web, "sh", "-c", f"id -u; {limit}; {tried}; cat /common/file"),
            podman.exec(side, "sh", "-c", "echo $ASKED"),
        ]
        podman.ask("kube", "down", place)
        return [*seen, podman("pod", "exists", name).code]

    assert both(exercise) == ["1000\n67108864\nread-only\nserved", "yes", 1]


def test_two_on_a_network(both: Both) -> None:
    """One serves, the other asks it by address."""

    def exercise(podman: Podman) -> str:
        network = f"net-{podman.runtime}"
        podman.ask("network", "create", network)
        script = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
        name = podman.started(f"--network={network}", sh=script)
        networks = podman.inspect(name)["NetworkSettings"]["Networks"]
        address = networks[network]["IPAddress"]
        ask = f"until wget -q -O - http://{address}/index.html; do sleep 0.1; done"
        seen = podman.sees(f"--network={network}", sh=ask)
        podman.clean()
        podman.ask("network", "rm", network)
        return seen

    assert both(exercise, unless="(?i)(iptables|nftables|netavark): .*") == "hello"


@pytest.mark.long
def test_published_port(both: Both) -> None:
    """The host's own end of a port leads to the container."""

    def exercise(podman: Podman) -> str:
        script = "echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp"
        podman.started("--publish=8080:80", sh=script)
        ask = "i=0; until busybox wget -q -O - http://127.0.0.1:8080/index.html; do sleep 0.1; i=$((i+1)); test $i -lt 100 || exit 1; done"  # noqa: E501
        seen = podman.host.ask("sh", "-c", ask)
        podman.clean()
        return seen

    assert both(exercise, unless="(?i)(iptables|nftables|netavark): .*") == "hello"


RESTORES = 3  # runc 1.1 with a CRIU of these days fails now and then, without a reason given
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"


def numbers(podman: Podman, name: str) -> list[int]:
    """What a container that counts has said."""
    return [int(line) for line in podman.ask("logs", name).split()]


@needs("criu")
def test_checkpoint_and_restore(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.started(sh=COUNT)
        assert eventually(lambda: len(numbers(podman, name)) > 3)
        podman.ask("container", "checkpoint", name)
        stopped = podman.inspect(name, "{{.State.Status}} {{.State.Checkpointed}}")
        before = numbers(podman, name)
        podman.ask("container", "restore", name)
        assert eventually(lambda: len(numbers(podman, name)) > len(before) + 3)
        after = numbers(podman, name)
        return [stopped, after == list(range(1, len(after) + 1))]

    assert both(exercise, patience=RESTORES) == ["exited true", True]


@needs("criu")
def test_checkpoint_of_one_that_goes_on_and_its_export(both: Both) -> None:
    def exercise(podman: Podman) -> list[object]:
        name = podman.started(sh=COUNT)
        assert eventually(lambda: len(numbers(podman, name)) > 3)
        archive = f"/run/export-{podman.runtime}.tar"
        podman.ask("container", "checkpoint", "--leave-running", f"--export={archive}", name)
        running = podman.inspect(name, "{{.State.Status}}")
        other = podman.name()
        podman.ask("container", "restore", f"--import={archive}", "--name", other)
        saved = len(numbers(podman, other))  # what the first one had said came along
        assert eventually(lambda: len(numbers(podman, other)) > saved + 3)
        last = numbers(podman, other)[-3:]
        script = "grep -c $(hostname) /etc/hosts; test $(cat /etc/hostname) = $(hostname); echo $?"
        mounts = podman.exec(other, "sh", "-c", script).split()
        return [running, last == list(range(last[0], last[0] + 3)), mounts]

    assert both(exercise, patience=RESTORES) == ["running", True, ["1", "0"]]


@pytest.mark.long
def test_generated_manifest(both: Both) -> None:
    def exercise(podman: Podman) -> bool:
        name = podman.started("--", "sleep", "1234")
        return "1234" in podman.ask("kube", "generate", name)

    assert both(exercise) is True


@pytest.mark.long
def test_events_tell_a_life(both: Both) -> None:
    def exercise(podman: Podman) -> list[str]:
        name = podman.name()
        podman.ask("run", "--name", name, NAME, "true")
        podman.ask("rm", name)
        lines = podman.ask(
            "events", "--stream=false", "--filter", f"container={name}", "--format", "{{json .}}"
        )
        return [json.loads(line)["Status"] for line in lines.splitlines()]

    seen = both(exercise)
    assert [word for word in seen if word in ("create", "start", "died", "remove")] == [
        "create", "start", "died", "remove"]  # fmt: skip
