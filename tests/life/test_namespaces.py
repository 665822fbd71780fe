# SPDX-License-Identifier: Apache-2.0
"""linux.namespaces, id maps, time offsets, names and sysctl."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from life.bundles import Bundle, bind
from life.runtimes import Container, eventually

pytestmark = pytest.mark.warmed
with_peers = pytest.mark.with_peers
differs = pytest.mark.differs

FILES = {"network": "net", "mount": "mnt"}  # names in /proc/<pid>/ns, where they are others
KINDS = ("cgroup", "ipc", "mount", "network", "pid", "uts")


def file(kind: str) -> str:
    """The name in /proc/<pid>/ns."""
    return FILES.get(kind, kind)


def ours() -> dict[str, str]:
    """The test's own namespaces."""
    return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in os.listdir("/proc/self/ns")}


def of(answer: str) -> dict[str, str]:
    """The container's, of the payload's verb ns."""
    return dict(line.split(" ", 1) for line in answer.splitlines())


@pytest.fixture
def other() -> Iterator[int]:
    """A process in namespaces of its own of every kind, its pid; in pid, its only child."""
    process = subprocess.Popen(
        ["unshare", "--net", "--uts", "--ipc", "--cgroup", "--pid", "--fork", "--kill-child"]
        + ["sh", "-c", "hostname other; exec sleep 100"]
    )
    place = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    assert eventually(lambda: place.read_text())
    pid = int(place.read_text())
    assert eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
    yield pid
    process.kill()
    process.wait()
    assert eventually(lambda: not Path(f"/proc/{pid}").exists() or _reaped(pid))


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


@with_peers
def test_all_new(container: Container) -> None:
    host, inside = ours(), of(container.ask("ns")[0])
    for kind in KINDS:
        assert inside[file(kind)] != host[file(kind)], kind
    assert inside["user"] == host["user"]


@with_peers
@pytest.mark.parametrize("absent", ["cgroup", "ipc", "network", "pid", "uts"])
def test_all_but_one(container: Container, bundle: Bundle, absent: str) -> None:
    """What is not listed is the runtime's own."""
    if absent == "uts":
        del bundle.config["hostname"]
    if absent == "network":  # another /sys would not be this network's to mount
        bundle.without_mount("/sys")
    if absent == "ipc":
        bundle.without_mount("/dev/mqueue")
    bundle.namespaces(*(kind for kind in KINDS if kind != absent))
    host, inside = ours(), of(container.ask("ns")[0])
    assert {kind for kind in KINDS if inside[file(kind)] == host[file(kind)]} == {absent}


@with_peers
@pytest.mark.parametrize(
    "joined",
    [
        names
        for count in (1, 2, 4)
        for names in itertools.combinations(("ipc", "network", "pid", "uts"), count)
    ],
    ids="-".join,
)
def test_joined_by_path(
    container: Container, bundle: Bundle, other: int, joined: tuple[str, ...]
) -> None:
    if "uts" in joined:
        del bundle.config["hostname"]
    new = [kind for kind in KINDS if kind not in joined]
    bundle.namespaces(*new, **{kind: f"/proc/{other}/ns/{file(kind)}" for kind in joined})
    inside = of(container.ask("ns")[0])
    for kind in KINDS:
        theirs = os.readlink(f"/proc/{other}/ns/{file(kind)}")
        assert (inside[file(kind)] == theirs) == (kind in joined), kind


@with_peers
def test_pid_joined(container: Container, bundle: Bundle, other: int) -> None:
    """It is a process beside the other, sees it in /proc, and the pid file has it by the host's."""
    new = [kind for kind in KINDS if kind != "pid"]
    bundle.namespaces(*new, pid=f"/proc/{other}/ns/pid")
    container.started("pids", "cat /proc/1/comm", "sleep 100")
    assert eventually(lambda: len(container.answers()) == 2)
    pids, comm = container.answers()
    assert pids.split()[0] != "1"
    assert comm == "sleep"
    inside = Path(f"/proc/{container.pid}/status").read_text()
    assert f"NSpid:\t{container.pid}\t{pids.split()[0]}\n" in inside
    assert container.kill().code == 0
    assert container.wait() == -signal.SIGKILL


def test_pid_namespace_ends_with_its_init(container: Container) -> None:
    container.started("spawn 3", "sleep 100")
    assert eventually(lambda: container.answers() == ["ok"])
    container.kill()
    assert container.wait() == -signal.SIGKILL
    container.wait_stopped()
    assert container.delete().code == 0


@with_peers
def test_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.map_ids(host=100000, size=1000)
    bundle.process["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    identity, uids, gids, ns, owner = container.ask(
        "id", "cat /proc/self/uid_map", "cat /proc/self/gid_map", "ns", "stat /data"
    )
    assert identity == "5 6 7"
    assert uids.split() == gids.split() == ["0", "100000", "1000"]
    assert of(ns)["user"] != ours()["user"]
    assert owner.startswith("d 0755 0 0 ")


@with_peers
def test_user_namespace_with_two_ranges(container: Container, bundle: Bundle) -> None:
    bundle.map_ids(host=100000, size=10)
    bundle.linux["uidMappings"].append({"containerID": 1000, "hostID": 300000, "size": 5})
    bundle.process["user"]["uid"] = 1003
    identity, _, stat = container.ask("id", "write /tmp/x y", "stat /tmp/x")
    assert identity == "1003 0"
    assert stat.split()[2] == "1003"
    assert (bundle.rootfs / "tmp/x").stat().st_uid == 300003


def test_user_namespace_gets_its_devices(container: Container, bundle: Bundle) -> None:
    bundle.map_ids()
    for answer, name in zip(
        container.ask(*(f"stat /dev/{name}" for name in ("null", "zero", "tty"))),
        ("null", "zero", "tty"),
        strict=True,
    ):
        assert answer.split()[0] == "c", name
    assert container.ask("write /dev/null x", "read /dev/zero") == ["ok", "ok"]


def test_user_namespace_binds_what_its_root_may_not_reach(
    container: Container, bundle: Bundle, tmp_path: Path
) -> None:
    """The runtime opens the sources: a path through a folder of root's alone will do."""
    (tmp_path / "shut/inner").mkdir(parents=True)
    (tmp_path / "shut/inner/file").write_text("text")
    (tmp_path / "shut").chmod(0o700)
    bundle.map_ids()
    bundle.config["mounts"].append(bind(tmp_path / "shut/inner", "/data"))
    assert container.ask("cat /data/file") == ["text"]


@differs(runc="1.1 wants the maps too")
def test_joined_user_namespace(
    make_container: Callable[[], Container],
) -> None:
    """As the containers of a pod: the second joins all that the first has."""
    first, second = make_container(), make_container()
    first.bundle.map_ids()
    first.started("sleep 100")
    paths = {k: f"/proc/{first.pid}/ns/{file(k)}" for k in ("user", "network", "ipc", "uts")}
    second.bundle.map_ids()
    for kind in ("uidMappings", "gidMappings"):
        del second.bundle.linux[kind]
    del second.bundle.config["hostname"]
    second.bundle.namespaces("pid", "mount", "cgroup", **paths)
    inside = of(second.ask("ns")[0])
    for kind in ("user", "network", "ipc", "uts"):
        assert inside[file(kind)] == os.readlink(f"/proc/{first.pid}/ns/{file(kind)}")


def test_new_user_namespace_beside_joined_ones(
    container: Container, bundle: Bundle, other: int
) -> None:
    del bundle.config["hostname"]
    bundle.without_mount("/sys")  # the other's network is not this user namespace's
    bundle.namespaces("pid", "mount", "ipc", "cgroup", network=f"/proc/{other}/ns/net")
    bundle.map_ids()
    inside = of(container.ask("ns")[0])
    assert inside["net"] == os.readlink(f"/proc/{other}/ns/net")
    assert inside["user"] != ours()["user"]


@pytest.mark.pyrun_only("runc 1.1 and crun 1.8 have no time namespaces")
def test_time_offsets_to_the_nanosecond(container: Container, bundle: Bundle) -> None:
    """Also below zero: a clock then shows less than the host's."""
    bundle.linux["namespaces"].append({"type": "time"})
    monotonic, boottime = {"secs": -1, "nanosecs": 250}, {"nanosecs": 999999999}
    bundle.linux["timeOffsets"] = {"monotonic": monotonic, "boottime": boottime}
    lines = container.ask("cat /proc/self/timens_offsets")[0].splitlines()
    assert [line.split() for line in lines] == [
        ["monotonic", "-1", "250"],
        ["boottime", "0", "999999999"],
    ]


@differs(runc="1.1 has no time namespaces", crun="1.8 has no time namespaces")
def test_time_namespace(container: Container, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {
        "boottime": {"secs": 500000, "nanosecs": 500000000},
        "monotonic": {"secs": 250000},
    }
    monotonic, boottime, ns = container.ask("clock 1", "clock 7", "ns")
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    assert 499900 < int(boottime) - uptime < 500100
    assert 249900 < int(monotonic) - uptime < 250100
    assert of(ns)["time"] != ours()["time"]


@differs(crun="1.8 has no time namespaces", runc="1.1 has no time namespaces")
def test_time_namespace_without_offsets(container: Container, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    assert of(container.ask("ns")[0])["time"] != ours()["time"]


@differs(crun="1.8 has no time namespaces", runc="1.1 has no time namespaces")
def test_time_and_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.map_ids()
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 7777777}}
    assert int(container.ask("clock 7")[0]) > 7777777


@with_peers
def test_names(container: Container, bundle: Bundle) -> None:
    bundle.config["hostname"] = "here"
    assert container.ask("hostname") == ["here"]
    assert os.uname().nodename != "here"


@with_peers
@differs(runc="1.1 knows no domainname")
def test_domainname(container: Container, bundle: Bundle) -> None:
    bundle.config["domainname"] = "there"
    assert container.ask("domainname") == ["there"]


@with_peers
def test_loopback_is_up(container: Container) -> None:
    answer = container.ask("network")[0].splitlines()
    assert answer[0] == "lo up"


@with_peers
def test_sysctl(container: Container, bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {
        "net.ipv4.ip_forward": "1",
        "kernel.shmmax": "12345678",
        "fs.mqueue.msg_max": "17",
        "net.ipv4.ping_group_range": "1 5",
    }
    assert container.ask(
        "cat /proc/sys/net/ipv4/ip_forward",
        "cat /proc/sys/kernel/shmmax",
        "cat /proc/sys/fs/mqueue/msg_max",
        "cat /proc/sys/net/ipv4/ping_group_range",
    ) == ["1", "12345678", "17", "1\t5"]


@with_peers
def test_sysctl_with_slashes(container: Container, bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"net/ipv4/conf/lo/forwarding": "1", "fs/mqueue/msg_max": "17"}
    forwarding, most = container.ask(
        "cat /proc/sys/net/ipv4/conf/lo/forwarding", "cat /proc/sys/fs/mqueue/msg_max"
    )
    assert (forwarding, most) == ("1", "17")


@with_peers
def test_sysctl_of_the_domain_name(container: Container, bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"kernel.domainname": "there"}
    assert container.ask("domainname", "hostname") == ["there", "box"]


@pytest.mark.pyrun_only("both: 1.1 and 1.8 know no domainname")
def test_sysctl_is_written_after_the_names(container: Container, bundle: Bundle) -> None:
    bundle.config["domainname"] = "field"
    bundle.linux["sysctl"] = {"kernel.domainname": "parameter"}
    assert container.ask("domainname") == ["parameter"]


@with_peers
@differs(runc="1.1 allows none of user", crun="1.8 allows none of user")
def test_sysctl_of_a_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.map_ids()
    bundle.linux["sysctl"] = {"user.max_user_namespaces": "17", "user/max_net_namespaces": "18"}
    assert container.ask(
        "cat /proc/sys/user/max_user_namespaces", "cat /proc/sys/user/max_net_namespaces"
    ) == ["17", "18"]


@with_peers
def test_sysctl_of_the_host_name(container: Container, bundle: Bundle) -> None:
    """Refused, for hostname is there for it."""
    bundle.linux["sysctl"] = {"kernel.hostname": "there"}
    result = container.run("print x")
    assert result.code == 1
    assert "hostname" in result.err


@pytest.mark.parametrize(
    ("name", "absent"), [("net.ipv4.ip_forward", "network"), ("kernel.shmmax", "ipc")]
)
def test_sysctl_of_the_host_is_refused(
    container: Container, bundle: Bundle, name: str, absent: str
) -> None:
    path = Path("/proc/sys", name.replace(".", "/"))
    before = path.read_text()
    bundle.namespaces(*(kind for kind in KINDS if kind != absent))
    bundle.linux["sysctl"] = {name: before.strip()}
    result = container.run("print x")
    assert result.code == 1
    assert name in result.err
    assert path.read_text() == before


def test_sysctl_that_no_namespace_has(container: Container, bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"vm.swappiness": "60"}
    result = container.run("print x")
    assert result.code == 1
    assert "vm.swappiness" in result.err


@pytest.mark.pyrun_only("the text")
def test_path_that_is_no_namespace(container: Container, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in ("/nowhere", str(tmp_path / "file"), "/proc/self/ns/uts"):
        bundle.namespaces("pid", "ipc", "uts", "mount", network=path)
        result = container.run("print x")
        assert result.code == 1
        assert "/linux/namespaces" in result.err or "namespaces[" in result.err, result.err
