# SPDX-License-Identifier: Apache-2.0
"""Docker, containerd with its own client and as a kubelet drives it, and buildah on a machine that
was booted with systemd: the units that they ask for, their limits, AppArmor's profiles. For podman,
test_booted.py has that."""

from __future__ import annotations

from pathlib import Path

import pytest

from needs import excuse, needs

from .buildah import Buildah
from .containerd import Ctr
from .cri import Cri
from .docker import Docker
from .host import Host
from .image import NAME
from .test_booted import properties

pytestmark = needs(
    "root", "systemd", "cgroup_v2", "apparmor", "busybox", "docker", "containerd", "buildah", "runc"
)  # fmt: skip
RUNTIMES = pytest.mark.parametrize("runtime", ["pyrun", "runc"])
MIB = 1 << 20
READ = ("cat", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max")
PROFILE = ("cat", "/proc/1/attr/current")


@pytest.fixture(autouse=True)
def _whose(host: Host) -> None:
    if host.driver != "systemd":
        excuse("its configuration is not the tests'")


def unit_of(host: Host, pid: int | str) -> str:
    """The path of a process's cgroup."""
    return host.path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


def is_gone(unit: str) -> bool:
    """Neither systemd has it nor the kernel."""
    return (
        properties(Path(unit).name)["ActiveState"] == "inactive"
        and not Path(f"/sys/fs/cgroup/{unit}").exists()
    )


@RUNTIMES
def test_ctr(cri_host: Host, runtime: str) -> None:
    """`--runc-systemd-cgroup` with a cgroup of the form slice:prefix:name, and ctr's profile."""
    ctr = Ctr(cri_host, runtime)
    try:
        flags = (f"--memory-limit={64 * MIB}", "--apparmor-default-profile=ctr-boxed")
        name = ctr.started(*flags)
        unit = unit_of(ctr.host, ctr.pid(name))
        assert unit == f"system.slice/ctr-{name}.scope"
        assert properties(Path(unit).name)["MemoryMax"] == str(64 * MIB)
        assert ctr.file(name, "/proc/1/attr/current").strip("\0\n") == "ctr-boxed (enforce)"
        assert ctr.limit(name, "memory.max") == str(64 * MIB)
        ctr.end(name)
        assert is_gone(unit)
    finally:
        ctr.clean()


@RUNTIMES
def test_pods(cri_host: Host, runtime: str) -> None:
    """`SystemdCgroup = true`: a scope in the pod's slice, which a kubelet names."""
    engine = Cri(cri_host, runtime)
    try:
        pod = engine.pod()
        limits = {"memory_limit_in_bytes": 64 * MIB}
        container = engine.started(pod, linux={"resources": limits})
        own = ("/proc/self/cgroup", "/proc/self/attr/current")  # the first process is the pod's
        seen = engine.exec(container, "cat", *own).out.split("\n")
        assert seen[0] == "0::/"
        assert seen[1].strip("\0") == "cri-containerd.apparmor.d (enforce)"
        found = next(Path("/sys/fs/cgroup").rglob(f"cri-containerd-{container}.scope"))
        assert found.parent.name.startswith("boxed-pod")
        assert properties(found.name)["MemoryMax"] == str(64 * MIB)
        more = {"memory_limit_in_bytes": 96 * MIB}
        engine.ask("UpdateContainerResources", container_id=container, linux=more)
        assert properties(found.name)["MemoryMax"] == str(96 * MIB)
        assert (found / "memory.max").read_text().strip() == str(96 * MIB)
        engine.end(pod)
        assert not found.exists()
    finally:
        engine.clean()


@RUNTIMES
def test_docker(docker_host: Host, runtime: str) -> None:
    """A scope with the limits, also after an update; docker's profile; paused and gone."""
    docker = Docker(docker_host, runtime)
    try:
        name = docker.started("--memory=64m", "--pids-limit=33", "--network=none")
        unit = unit_of(docker.host, docker.inspect(name, "{{.State.Pid}}"))
        assert unit == f"system.slice/docker-{docker.inspect(name, '{{.Id}}')}.scope"
        assert docker.exec(name, *READ).split() == [str(64 * MIB), "33"]
        assert docker.exec(name, *PROFILE).strip("\0\n") == "docker-default (enforce)"
        wanted = {"MemoryMax": str(64 * MIB), "TasksMax": "33", "ActiveState": "active"}
        assert properties(Path(unit).name) == wanted
        docker.ask("update", "--memory=96m", "--memory-swap=96m", name)
        assert properties(Path(unit).name)["MemoryMax"] == str(96 * MIB)
        assert docker.exec(name, *READ).split()[0] == str(96 * MIB)
        docker.ask("pause", name)
        assert docker.inspect(name, "{{.State.Status}}") == "paused"
        docker.ask("unpause", name)
        docker.ask("rm", "--force", name)
        assert is_gone(unit)
    finally:
        docker.clean()


@RUNTIMES
def test_docker_reports_the_oom_killer(docker_host: Host, runtime: str) -> None:
    docker = Docker(docker_host, runtime)
    try:
        script = "head -c 100m /dev/zero | tail; s=$?; sleep 1; exit $s"
        name = docker.started("--network=none", "--memory=24m", "--memory-swap=24m", sh=script)
        assert docker.wait(name) == 137
        assert docker.inspect(name, "{{.State.OOMKilled}}") == "true"
    finally:
        docker.clean()


@RUNTIMES
def test_buildah(buildah_host: Host, runtime: str) -> None:
    """A build from nothing, with COPY and RUN."""
    buildah = Buildah(buildah_host, runtime)
    text = (
        f"FROM {NAME} AS first\nRUN cat /proc/self/cgroup > /seen\n"
        "FROM scratch\nCOPY busybox /bin/busybox\nCOPY --from=first /seen /seen\n"
        'RUN ["/bin/busybox", "touch", "/made"]\n'
    )
    try:
        container = buildah.begun(buildah.build(text, "--network=none"))
        seen = buildah.run(container, "/bin/busybox", "cat", "/seen", "/made")
        assert (seen.code, seen.out) == (0, "0::/\n")
    finally:
        buildah.clean()
