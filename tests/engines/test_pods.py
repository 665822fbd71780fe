# SPDX-License-Identifier: Apache-2.0
"""Pods as a kubelet makes them, by containerd's CRI, of version 1 and 2: what a pod's containers
share, what each has for itself, and how they end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from needs import needs

from .cri import CONTAINER, EXITED, NODE, ON_NODE, POD, RUNNING, Cri
from .host import Host, eventually
from .machine import new_host
from .pairs import Pair

pytestmark = needs("root", "busybox", "containerd", "runc")
Both = Pair[Cri]

STATUS = ["grep", "-E", "Cap(Eff|Bnd)|NoNewPrivs|Seccomp:|Groups|Uid", "/proc/self/status"]
# A machine's own containerd, and one that has to be fetched.
VERSIONS = [1, pytest.param(2, marks=pytest.mark.long)]


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: f"containerd{version}")
def pods_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """One with that containerd; its CRI, and nothing else."""
    host = new_host()
    try:
        Cri.prepare(host, request.param)
        before = host.processes()
        yield host
        eventually(lambda: host.processes() == before, 20)
        assert host.processes() == before
        state = host.path("/run/containerd/runc/k8s.io")
        if state.exists():
            assert [path.name for path in state.iterdir() if path.name[0] != "."] == []
    finally:
        host.end()


@pytest.fixture
def both(pods_host: Host) -> Iterator[Both]:
    """Its CRI with a peer and with pyrun."""
    made: list[Cri] = []

    def make(runtime: str) -> Cri:
        made.append(Cri(pods_host, runtime))
        return made[-1]

    yield Pair(make)
    for one in made:
        one.clean()


def test_a_life(both: Both) -> None:
    """Run, look, exec, logs, stop, remove."""

    def exercise(engine: Cri) -> list[object]:
        pod = engine.pod()
        asked = engine.ask("PodSandboxStatus", pod_sandbox_id=pod)["status"]
        script = "trap 'echo bye; exit 5' TERM; echo up; echo no >&2; while :; do sleep 0.1; done"
        name = engine.started(pod, "sh", "-c", script)
        assert eventually(lambda: len(engine.log(pod)) == 2)
        seen = [asked["runtime_handler"] == engine.runtime, engine.status(name)["state"]]
        told = engine.exec(name, "sh", "-c", "hostname; echo wrong >&2; exit 3")
        engine.ask("StopContainer", container_id=name, timeout=20)
        ended = engine.status(name)
        log = sorted(engine.log(pod))
        engine.ask("RemoveContainer", container_id=name)
        gone = engine("ContainerStatus", {"container_id": name}).err.split(":")[0]
        engine.end(pod)
        left = engine.ask("ListPodSandbox", filter={"id": pod})
        return [seen, tuple(told), ended["state"], ended["exit_code"], log, gone, left]

    assert both(exercise) == [
        [True, RUNNING], (3, "boxed\n", "wrong\n"), EXITED, 5,
        ["stderr no", "stdout bye", "stdout up"], "NOT_FOUND", {},
    ]  # fmt: skip


@pytest.mark.long
def test_a_program_that_is_not_there(both: Both) -> None:
    """A kubelet shows these words to the user. The pod is as good as before."""

    def exercise(engine: Cri) -> list[object]:
        pod = engine.pod()
        with pytest.raises(AssertionError) as caught:
            engine.started(pod, "/no/such/program")
        said = str(caught.value)
        name = engine.started(pod)
        return ["no such file or directory" in said, engine.status(name)["state"]]

    assert both(exercise) == [True, RUNNING]


@pytest.mark.long
@pytest.mark.parametrize(("pid", "shared"), [(CONTAINER, False), (POD, True), (NODE, False)])
def test_namespaces(both: Both, pods_host: Host, pid: int, shared: bool) -> None:
    """Network, ipc and names are the pod's; processes are if it is asked for."""

    def exercise(engine: Cri) -> list[object]:
        pod = engine.pod(security_context={"namespace_options": {"pid": pid}})
        context = {"security_context": {"namespace_options": {"pid": pid}}}
        names = [engine.started(pod, linux=context) for _ in range(2)]
        script = "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done"
        one, other = (engine.exec(name, "sh", "-c", script).out.split() for name in names)
        same = [a.split(":")[0] for a, b in zip(one, other, strict=True) if a == b]
        first = engine.exec(names[0], "cat", "/proc/1/comm").out.strip()
        address = engine.exec(names[1], "ip", "-o", "address").out
        return [same, first, "10.9.8.7" in address]

    same, first, address = both(exercise)
    assert same == ["net", "ipc", "uts", *(["pid"] if shared or pid == NODE else [])]
    assert first == (pods_host.ask("cat", "/proc/1/comm") if pid == NODE else "sleep")
    assert address is True


@pytest.mark.long
def test_a_pod_on_the_machines_network(both: Both) -> None:
    def exercise(engine: Cri) -> bool:
        name = engine.started(engine.pod(**ON_NODE), linux=ON_NODE)
        inside = engine.exec(name, "readlink", "/proc/self/ns/net").out
        return inside.strip() == engine.host.ask("readlink", "/proc/1/ns/net")

    assert both(exercise) is True


@pytest.mark.long
def test_limits_and_their_update(both: Both) -> None:
    def exercise(engine: Cri) -> list[str]:
        pod = engine.pod()
        limits = {"memory_limit_in_bytes": 32 << 20, "cpu_period": 100000, "cpu_quota": 50000}
        name = engine.started(pod, linux={"resources": limits})
        script = (
            "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null;"
            " cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null; true"
        )
        before = engine.exec(name, "sh", "-c", script).out.split()
        more = {"memory_limit_in_bytes": 48 << 20, "cpu_period": 100000, "cpu_quota": 70000}
        engine.ask("UpdateContainerResources", container_id=name, linux=more)
        return [*before, *engine.exec(name, "sh", "-c", script).out.split()]

    found = both(exercise)
    assert [word for word in found if word != "100000"] == [
        str(32 << 20), "50000", str(48 << 20), "70000",
    ]  # fmt: skip


@pytest.mark.long
def test_confinement(both: Both) -> None:
    """As the strictest of Kubernetes' pod security standards has it, and files of the node's."""

    def exercise(engine: Cri) -> list[object]:
        folder = f"/run/node-{engine.runtime}"
        engine.host.write(f"{folder}/file", "from the node\n")
        pod = engine.pod(sysctls={"net.ipv4.ip_unprivileged_port_start": "77"})
        context = {
            "capabilities": {"drop_capabilities": ["ALL"], "add_capabilities": ["CHOWN"]},
            "run_as_user": {"value": 1000},
            "supplemental_groups": [77],
            "no_new_privs": True,
            "readonly_rootfs": True,
            "seccomp": {"profile_type": 0},
        }
        name = engine.started(
            pod,
            linux={"security_context": context},
            mounts=[{"container_path": "/b", "host_path": folder, "readonly": True}],
            envs=[{"key": "A", "value": "b c"}],
            working_dir="/srv/box",
        )
        script = (
            "pwd; echo $A; cat /b/file /proc/sys/net/ipv4/ip_unprivileged_port_start;"
            " touch /b/x 2>/dev/null || echo held; touch /x 2>/dev/null || echo held"
        )
        seen = engine.exec(name, "sh", "-c", script).out.split("\n")[:-1]
        return [seen, engine.exec(name, *STATUS).out.split()]

    seen, status = both(exercise)
    assert seen == ["/srv/box", "b c", "from the node", "77", "held", "held"]
    assert status[status.index("CapBnd:") + 1] == "0000000000000001"
    assert status[status.index("Uid:") + 1] == "1000"
    assert status[status.index("NoNewPrivs:") + 1] == "1"
    assert status[status.index("Seccomp:") + 1] == "2"
    assert "77" in status


@pytest.mark.long
def test_a_pod_with_users_of_its_own(both: Both, pods_host: Host) -> None:
    """Root of the pod is nobody on the node; the image's files are root's all the same, by
    id-mapped mounts. containerd 1.6 knows no such pods. It is pyrun alone: containerd wants to be
    told of those mounts by the runtime's features, and runc before 1.2 says nothing."""
    engine = both.make("pyrun")
    ids = [{"host_id": 700000, "container_id": 0, "length": 65536}]
    own = {"namespace_options": {"userns_options": {"mode": POD, "uids": ids, "gids": ids}}}
    pod = engine.pod(security_context=own)
    name = engine.started(pod, linux={"security_context": own})
    script = "cat /proc/self/uid_map; stat -c %u /etc/passwd; touch /x; stat -c %u /x; id -u"
    seen = engine.exec(name, "sh", "-c", script).out.split()
    known = not pods_host.ask("containerd", "--version").split()[2].startswith("1.6")
    assert seen[:3] == (["0", "700000", "65536"] if known else ["0", "0", str(2**32 - 1)])
    assert seen[3:] == ["0", "0", "0"]
