# SPDX-License-Identifier: Apache-2.0
"""exec: filters, agents, labels and shares of a process that joins."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle, Config
from life.exec_steps import NOT_STARTED, by_file, process_file, sets
from life.runtimes import Container, eventually
from life.seccomp_agent import MKDIR, Answer, agent
from life.test_seccomp import getpid, profile
from needs import excuse, needs

pytestmark = pytest.mark.again

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


@with_peers
@pytest.mark.parametrize(
    "nnp", [pytest.param(True, marks=differs(crun="1.8 passes over noNewPrivileges")), False]
)
def test_filter(container: Container, bundle: Bundle, nnp: bool) -> None:
    bundle.process["noNewPrivileges"] = nnp
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid", errnoRet=42)
    container.started("sleep 100")
    assert container.exec_ask(getpid(), "status Seccomp", "nnp") == [
        "error: ENOMSG", "2", str(int(nnp)),
    ]  # fmt: skip


@with_peers
def test_filter_of_the_container_as_it_was_made(container: Container, bundle: Bundle) -> None:
    """Whatever the bundle says by now, and for a process as JSON as well."""
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid", errnoRet=42)
    container.started("sleep 100")
    del bundle.linux["seccomp"]
    bundle.save()
    assert by_file(container, getpid()).answers() == ["error: ENOMSG"]
    assert container.exec_ask(getpid()) == ["error: ENOMSG"]


@pytest.mark.parametrize("nnp", [True, False])
def test_filter_of_a_user_without_rights(container: Container, bundle: Bundle, nnp: bool) -> None:
    """It takes CAP_SYS_ADMIN to load it, which is given up before the program runs."""
    bundle.process["noNewPrivileges"] = nnp
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "getpid")
    container.started("sleep 100")
    answer, caps = container.exec_ask(getpid(), "caps")
    assert answer == "error: EPERM"
    assert set(sets(caps).values()) == {0}


@with_peers
def test_filter_that_kills(container: Container, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = profile("SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "getsid")
    container.started("sleep 100")
    result = container.exec("print before", "pids", "print after")
    assert result.code == 128 + signal.SIGSYS
    assert result.answers() == ["before"]


@pyrun_only("runc 1.1 wants no filter at all to be in its own way")
def test_filter_that_allows_little(container: Container, bundle: Bundle) -> None:
    """Nothing but execve follows it."""
    refused = profile("SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "close_range", "prctl", "setsid")
    bundle.linux["seccomp"] = refused
    container.started("sleep 100")
    assert container.exec_ask("hostname") == ["box"]


def with_agent(bundle: Bundle) -> Path:
    """A profile whose mkdir is an agent's; its socket."""
    path = bundle.path / "agent"
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(path),
        "listenerMetadata": "MKDIR=/tmp",
        "syscalls": [{"names": [MKDIR], "action": "SCMP_ACT_NOTIFY"}],
    }
    return path


@pytest.mark.once
@with_peers
@pytest.mark.parametrize("nnp", [True, False])
@differs(crun="1.8 connects to no agent")
def test_agent(
    container: Container, bundle: Bundle, detached: Callable[..., int], nnp: bool
) -> None:
    """It is told of each process by a message of its own: config-linux.md."""
    bundle.process["noNewPrivileges"] = nnp
    path = with_agent(bundle)
    with agent(path):
        container.started("sleep 100")
    with agent(path, **{MKDIR: Answer(error=errno.ENOMSG)}) as found:
        assert container.exec_ask("mkdir /tmp/a") == ["error: ENOMSG"]
        message = found.told()
    assert message["fds"] == ["seccompFd"]
    assert message["metadata"] == "MKDIR=/tmp"
    assert message["state"]["id"] == container.id
    assert message["state"]["status"] == "running"
    assert message["state"]["pid"] == container.pid
    assert found.descriptors == ["anon_inode:seccomp notify"]
    with agent(path) as found:
        pid = detached("sleep 100")
        assert found.told()["pid"] == pid


@pyrun_only("the text")
def test_agent_that_is_not_there(container: Container, bundle: Bundle) -> None:
    with agent(with_agent(bundle)):
        container.started("sleep 100")
    result = container.exec("id")
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "linux/seccomp/listenerPath" in result.err
    assert "no such file or directory" in result.err


@pyrun_only("newer than the peers")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"initial": "0"}, "0"),
        ({"final": "1"}, "1"),
        ({"initial": "0", "final": "1"}, "1"),
        ({"initial": "", "final": ""}, "0-1"),
    ],
)
def test_cpu_affinity(container: Container, bundle: Bundle, wanted: Config, found: str) -> None:
    if os.sched_getaffinity(0) != {0, 1}:
        excuse("it has not two CPUs")
    bundle.process["execCPUAffinity"] = wanted
    container.started("status Cpus_allowed_list", "sleep 100")
    assert container.exec_ask("status Cpus_allowed_list") == [found]
    assert eventually(container.answers)
    assert container.answers()[0] == "0-1", "it is not for the init"


def test_cpus_are_those_of_the_container(container: Container) -> None:
    """Not those that the caller is kept on."""
    if os.sched_getaffinity(0) != {0, 1}:
        excuse("it has not two CPUs")
    container.started("sleep 100")
    assert container.exec_ask("status Cpus_allowed_list", prefix=["taskset", "1"]) == ["0-1"]


@pyrun_only("newer than the peers")
def test_the_runtime_itself_is_kept_on_the_initial_cpus(
    container: Container, bundle: Bundle
) -> None:
    """While the process is brought in, and no longer."""
    if os.sched_getaffinity(0) != {0, 1}:
        excuse("it has not two CPUs")
    bundle.process["execCPUAffinity"] = {"initial": "1"}
    container.started("sleep 100")
    trace = bundle.path / "trace"
    prefix = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=sched_setaffinity,clone3"]
    assert container.exec_ask("id", prefix=prefix) == ["0 0"]
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    calls = [line.split("(")[0] for line in lines if line.startswith(("sched", "clone3"))]
    at = calls.index("sched_setaffinity")
    assert calls[at : at + 3] == ["sched_setaffinity", "clone3", "sched_setaffinity"]


@pyrun_only("newer than the peers; the text")
@pytest.mark.parametrize("kind", ["initial", "final"])
def test_cpu_that_is_not_there(running: Container, kind: str) -> None:
    path = process_file(running, "id", execCPUAffinity={kind: "4000"})
    result = running.exec(flags=["--process", path])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert f"execCPUAffinity/{kind}" in result.err.replace(".", "/")
    assert "invalid argument" in result.err


@pyrun_only("newer than the peers")
def test_scheduler_and_io_priority(container: Container, bundle: Bundle) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    container.started("scheduler", "ioprio", "sleep 100")
    assert eventually(lambda: len(container.answers()) == 2)
    own = container.exec_ask("scheduler", "ioprio")
    assert own == container.answers()[:2]
    assert own[0].startswith("3 0 7 0")
    result = by_file(container, "scheduler", scheduler={"policy": "SCHED_IDLE"})
    assert result.answers()[0].startswith("5 ")  # whose nice value is the caller's


@pyrun_only("newer than the peers")
def test_memory_policy(container: Container, bundle: Bundle) -> None:
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_LOCAL"}
    result = container.create("mempolicy", "sleep 100")
    if "CONFIG_NUMA" in result.err:
        excuse("its kernel has no memory policies")
    assert container.start().code == 0
    assert eventually(container.answers)
    assert container.exec_ask("mempolicy") == container.answers()[:1]


@pytest.fixture
def apparmor(place: Path) -> Iterator[str]:
    """A profile that allows everything but to write below /data."""
    name = "pyrun-exec-test"
    rules = "file, capability, network, mount, signal, ptrace, unix, deny /data/** w,"
    source = place / "exec-profile"
    source.write_text(f"profile {name} flags=(attach_disconnected) {{ {rules} }}\n")
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", source], check=True)
    yield name
    subprocess.run(["apparmor_parser", "--remove", source], check=True)


@with_peers
@needs("apparmor")
@pytest.mark.parametrize(
    "way", ["config", pytest.param("file", marks=differs(runc="1.1 leaves it unconfined")), "flag"]
)
@pytest.mark.parametrize("kind", ["", "user"])
def test_apparmor(container: Container, bundle: Bundle, apparmor: str, way: str, kind: str) -> None:
    bundle.process["noNewPrivileges"] = False
    if kind:
        bundle.map_ids()
    if way != "flag":
        bundle.process["apparmorProfile"] = apparmor
    container.started("sleep 100")
    verbs = ("cat /proc/self/attr/current", "write /data/x y", "write /tmp/x y")
    if way == "file":
        label, *answers = by_file(container, *verbs).answers()
    else:
        flags = ["--apparmor", apparmor] if way == "flag" else []
        label, *answers = container.exec_ask(*verbs, flags=flags)
    assert label == f"{apparmor} (enforce)"
    assert answers == ["error: EACCES", "ok"]


@needs("apparmor")
@pytest.mark.parametrize("kind", ["host pid", "masked"])
def test_apparmor_wherever_proc_is(
    container: Container, bundle: Bundle, apparmor: str, kind: str
) -> None:
    """The label is written to a procfs of our own."""
    bundle.process["apparmorProfile"] = apparmor
    if kind == "host pid":
        bundle.namespaces("mount", "uts", "ipc")
    else:
        bundle.map_ids()
        bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/timer_list"]
        bundle.linux["readonlyPaths"] = ["/proc/sys"]
    container.started("sleep 100")
    assert container.exec_ask("cat /proc/self/attr/current") == [f"{apparmor} (enforce)"]


@pyrun_only("runc passes over apparmor here, crun over selinux")
@pytest.mark.parametrize(
    ("flag", "module"), [("--apparmor", "AppArmor"), ("--process-label", "SELinux")]
)
def test_label_that_nobody_would_enforce(running: Container, flag: str, module: str) -> None:
    """CVE-2019-16884"""
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    if module == "AppArmor" and enabled.exists():
        excuse("it has AppArmor")
    result = running.exec("id", flags=[flag, "some:label"])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert result.err.startswith(f"pyrun: {flag}: some:label: {module} is not enabled")
