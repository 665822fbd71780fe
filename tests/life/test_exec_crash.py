# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of exec at any of its system calls, and calls that fail: the process that was to join is
gone, or is the program; the container does not notice. (By Python: test_exec_templates.py has the
same of the short way.)"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from life import leftovers
from life.bundles import Bundle
from life.exec_steps import NOT_STARTED, cgroup_of, end
from life.runtimes import Container, eventually
from life.test_crash import Victim, points
from needs import needs

pytestmark = [
    needs("strace"),
    pytest.mark.pyrun_only("no peer keeps this promise"),
    pytest.mark.one_way("Python's calls; the launcher's are in test_exec_templates_crash.py"),
]

FAILURES = {
    "memfd_create": "EMFILE",
    "socketpair": "EMFILE",
    "clone3": "EAGAIN",
    "sendmsg": "ENOBUFS",
    "openat": "EMFILE",
    "pidfd_open": "EMFILE",
    "write": "ENOSPC",
    "recvmsg": "ENOMEM",
    "rename": "ENOSPC",
    "fchmod": "EPERM",
    "readlink": "ENOMEM",
    "prlimit64": "EPERM",
}


def words(container: Container, pid_file: Path) -> list[str]:
    """A detached exec, with all that it may leave."""
    found = ["exec", "--detach", "--pid-file", str(pid_file), container.id]
    return [*found, "/payload", "sleep", "1000"]


def processes(container: Container) -> dict[int, str]:
    """Those of the container's cgroups, init and zombies aside: their names."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if pid != container.pid and container.id in cgroup_of(pid) and state(pid) != "Z":
            try:
                found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                continue
    return found


def settled(container: Container) -> bool:
    """Whether whoever is left is the program."""
    return all(name == "payload" for name in processes(container).values())


def check(container: Container, where: str, code: int, pid_file: Path) -> None:
    """After an exec that was disturbed."""
    assert container.status() == "running", where
    assert eventually(lambda: settled(container)), f"{where}: {processes(container)}"
    for pid in processes(container):
        assert end(pid) == -signal.SIGKILL, where
    if code not in (0, -signal.SIGKILL):
        assert not pid_file.exists(), where
    for path in pid_file.parent.glob("*exec.pid*"):
        path.unlink()
    for pid in leftovers.children():
        if pid != container.pid:
            assert eventually(lambda pid=pid: gone(pid)), where  # type: ignore[misc]


def gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


@pytest.fixture
def victim(container: Container, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Victim:
    """A container that runs, with much for exec to do."""
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    bundle.process["oomScoreAdj"] = 10
    container.started("sleep 1000")
    return Victim(container)


def trace(victim: Victim, pid_file: Path) -> None:
    container, null = victim.container, subprocess.DEVNULL
    process = container.runtime.popen(
        *words(container, pid_file), prefix=victim.strace(), stdin=null, stdout=null, stderr=null
    )
    assert process.wait(20) == 0
    check(container, "trace", 0, pid_file)


@pytest.mark.parametrize("kind", ["plain", "user namespace"])
def test_killed(victim: Victim, kind: str, bundle: Bundle) -> None:
    container = victim.container
    pid_file = bundle.path / "exec.pid"
    if kind != "plain":
        container.delete("--force")
        end(container.pid)
        bundle.map_ids()
        container.started("sleep 1000")
    trace(victim, pid_file)
    places = points(victim.trace, "flock(", 40)
    for call, number in places:
        code = victim.kill_at(call, number, *words(container, pid_file))
        check(container, f"{call} {number}", code, pid_file)
    assert victim.killed > len(places) * 0.8
    assert container.exec_ask("hostname") == ["box"]


def run(victim: Victim, pid_file: Path, *options: str) -> tuple[subprocess.Popen[bytes], Path]:
    """A traced exec. Its program would hold a pipe open: what it says goes to a file."""
    container, null = victim.container, subprocess.DEVNULL
    path = container.bundle.path / "err"
    with path.open("wb") as err:
        process = container.runtime.popen(
            *words(container, pid_file), prefix=victim.strace(*options),
            stdin=null, stdout=null, stderr=err,
        )  # fmt: skip
    return process, path


def test_calls_that_fail(victim: Victim, bundle: Bundle) -> None:
    """One line, 255, and nothing left; or it works all the same."""
    container, pid_file = victim.container, bundle.path / "exec.pid"
    trace(victim, pid_file)
    places = points(victim.trace, "flock(", 1000)
    failed = 0
    for call, number in [place for place in places if place[0] in FAILURES]:
        fault = f"inject={call}:error={FAILURES[call]}:when={number}"
        process, path = run(victim, pid_file, "-e", f"trace={call}", "-e", fault)
        code, where = process.wait(20), f"{call} {number}"
        text = path.read_text()
        assert code in (0, NOT_STARTED), f"{where}: {text}"
        if code:
            failed += 1
            assert re.fullmatch(r"pyrun: .+\n", text), f"{where}: {text}"
            assert "internal error" not in text, f"{where}: {text}"
        check(container, where, code, pid_file)
    assert failed > 10
    assert container.exec_ask("hostname") == ["box"]


def test_init_that_ends_meanwhile(victim: Victim, bundle: Bundle) -> None:
    """Its namespaces are gone, or it is somebody else's pid by then: never the wrong ones."""
    container, pid_file = victim.container, bundle.path / "exec.pid"
    trace(victim, pid_file)
    container.delete("--force")
    end(container.pid)
    for call, number in points(victim.trace, "flock(", 12):
        container.started("sleep 1000")
        stop = f"inject={call}:signal=STOP:when={number}"
        process, path = run(victim, pid_file, "-e", f"trace={call}", "-e", stop)
        runtime = child_of(process)
        assert eventually(lambda: state(runtime) in "TtZX")  # noqa: B023
        os.kill(container.pid, signal.SIGKILL)
        assert eventually(lambda: continued(process, runtime), 20)  # noqa: B023
        code, where = process.wait(), f"{call} {number}"
        text = path.read_text()
        assert code in (0, NOT_STARTED), f"{where}: {text}"
        assert "internal error" not in text, f"{where}: {text}"
        if code:
            assert not pid_file.exists(), where
        for child in leftovers.children():
            assert eventually(lambda child=child: gone(child)), where  # type: ignore[misc]
        assert container.delete("--force").code == 0, where


def continued(process: subprocess.Popen[bytes], runtime: int) -> bool:
    """Whether it has ended: it may stop only after the first of these. (Strace does not cope with
    many of them.)"""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.3)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(runtime, signal.SIGCONT)
    return process.poll() is not None


def child_of(process: subprocess.Popen[bytes]) -> int:
    """The runtime under strace, which has had other children: each tries out what ptrace offers."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found: list[int] = []

    def look() -> bool:
        for pid in map(int, path.read_text().split()):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text() != "strace\n":
                    found.append(pid)
        return bool(found)

    assert eventually(look)
    return found[0]


def state(pid: int) -> str:
    """The letter of proc_pid_stat(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
