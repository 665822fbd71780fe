# SPDX-License-Identifier: Apache-2.0
"""exec into containers with all mixes of namespaces: the process is where the init is, and who it
is to be there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from life.bundles import Bundle
from life.exec_steps import NOT_STARTED, OWN, end, process_file, sets
from life.runtimes import Container, eventually
from life.test_namespace_mixes import FOR_PEERS, JOINED, ROWS, links, mix

pytestmark = pytest.mark.again

with_peers = pytest.mark.with_peers
differs = pytest.mark.differs
pyrun_only = pytest.mark.pyrun_only


# runc 1.1 joins the user namespace first, and then has no right to the others any more.
RUNC_FAILS = "NNNJNJN"


def check(container: Container, row: str, pid_file: Path) -> None:
    """Start one, join it, and compare from outside, where every kind can be seen."""
    container.created("sleep 100")
    assert container.start().code == 0
    flags = ["--detach", "--pid-file", pid_file]
    result = container.exec("id", "clock 7", "sleep 100", flags=flags)
    assert (result.code, result.err) == (0, "")
    pid = int(pid_file.read_text())
    assert links(pid) == links(container.pid)
    root, own = (Path(f"/proc/{number}/root/payload") for number in (container.pid, pid))
    assert own.samefile(root), "and its root is the container's"
    # A zombie would keep the pid namespace from ending.
    assert end(pid) == -signal.SIGKILL
    assert container.kill().code == 0
    container.wait()


@pyrun_only("time namespaces and joined user namespaces without maps")
@pytest.mark.parametrize("row", ROWS)
def test_mix(container: Container, bundle: Bundle, pod: int, row: str) -> None:
    mix(bundle, row, pod)
    check(container, row, bundle.path / "exec.pid")


@with_peers
@pytest.mark.parametrize("row", [row for row in FOR_PEERS if row[1] != "-" and row != RUNC_FAILS])
def test_mix_of_the_older_kinds(container: Container, bundle: Bundle, pod: int, row: str) -> None:
    mix(bundle, row, pod)
    check(container, row, bundle.path / "exec.pid")


def test_the_rows_have_what_matters() -> None:
    assert any(row[0] == JOINED for row in ROWS)
    assert "--------" in ROWS


@pyrun_only("the peers stay in the root of the host")
def test_without_a_mount_namespace(container: Container, bundle: Bundle) -> None:
    """Its root is the container's all the same."""
    bundle.namespaces("pid", "ipc", "uts")
    bundle.config["mounts"] = []
    container.started("sleep 100")
    root, cwd = container.exec_ask("ls /", "cwd")
    assert "payload" in root.splitlines()
    assert "usr" not in root.splitlines()
    assert cwd == "/"


@pyrun_only("the peers have no time namespaces")
def test_clocks_of_a_time_namespace(container: Container, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 500000}}
    container.started("sleep 100")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert 499900 < int(container.exec_ask("clock 7")[0]) - uptime < 500100


@pytest.fixture
def mapped(container: Container, bundle: Bundle) -> Container:
    """A running container in a user namespace."""
    bundle.map_ids()
    bundle.process["user"]["additionalGids"] = [5]
    return container.started("sleep 100")


@with_peers
@differs(crun="1.8 leaves the groups out")
def test_in_a_user_namespace(mapped: Container, detached: Callable[..., int]) -> None:
    answers = mapped.exec_ask("id", "caps", "cat /proc/self/uid_map", extra_groups=[7])
    assert answers[0] == "0 0 5"
    assert sets(answers[1])["effective"] == OWN
    assert answers[2].split() == ["0", "100000", "65536"]
    pid = detached("sleep 1000")
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t100000\t100000\t100000\t100000\n" in status
    assert "Groups:\t100005 \n" in status


@with_peers
def test_user_in_a_user_namespace(mapped: Container, detached: Callable[..., int]) -> None:
    pid = detached("sleep 1000", flags=["-u", "1000:1001"])
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t101000\t101000\t101000\t101000\n" in status
    assert "Gid:\t101001\t101001\t101001\t101001\n" in status


@pyrun_only("the text")
def test_user_that_is_not_mapped(mapped: Container) -> None:
    result = mapped.exec("id", flags=["-u", "70000"])
    assert (result.code, result.out) == (NOT_STARTED, "")
    assert "process.user.uid" in result.err
    assert "the user namespace does not map this user" in result.err


@with_peers
def test_limits_in_a_user_namespace(mapped: Container) -> None:
    """Its root might not raise one: the runtime does."""
    # Not of files: as runc's own process starts, Go may raise the soft limit of these.
    limits = [{"type": "RLIMIT_SIGPENDING", "soft": 400, "hard": 500}]
    path = process_file(mapped, "rlimit 11", "id", rlimits=limits)
    result = mapped.exec(flags=["-p", path])
    assert (result.code, result.answers()) == (0, ["400 500", "0 0"])


@with_peers
@differs(runc="1.1 gives it other permissions", crun="1.8 does not find it")
def test_keyring_of_a_user_namespace(container: Container, bundle: Bundle) -> None:
    bundle.map_ids()
    container.started("keyring", "sleep 100")
    assert eventually(container.answers)
    assert container.exec_ask("keyring") == container.answers()


@with_peers
def test_in_the_pid_namespace_of_the_host(container: Container, bundle: Bundle) -> None:
    """It is an ordinary child of the runtime, known by the pid that everybody sees."""
    bundle.namespaces("mount", "uts", "ipc", "network", "cgroup")
    container.started("sleep 100")
    pid, parent, *_ = container.exec_ask("pids")[0].split()
    assert int(pid) > 2
    assert parent != "0"
    assert container.exec("kill-self 9").code == 128 + signal.SIGKILL


@with_peers
def test_init_that_has_moved(container: Container, bundle: Bundle) -> None:
    """Who joins goes where the init is now, not where it once began: CVE-2016-9962 and its like
    live from that difference."""
    bundle.process["capabilities"] = {
        kind: ["CAP_SYS_ADMIN"] for kind in ("bounding", "effective", "permitted")
    }
    unshare, new_uts = {"x86_64": 272, "aarch64": 97}[os.uname().machine], 0x04000000
    container.started(f"syscall {unshare} {new_uts}", "sleep 100")
    assert eventually(container.answers)
    assert container.answers() == ["ok"]
    assert f"uts {os.readlink(f'/proc/{container.pid}/ns/uts')}" in container.exec_ask("ns")[0]
