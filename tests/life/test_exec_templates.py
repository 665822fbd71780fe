# SPDX-License-Identifier: Apache-2.0
"""The next exec of a shape takes no Python, and brings in the same process as one that did. (The
tests that are marked `again` ask the same of everything that exec does.)"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from life.bundles import Bundle, sentence
from life.exec_steps import NOT_STARTED, cgroup_of, end, process_file
from life.runtimes import Container, Result, eventually
from life.templates import damage
from life.test_crash import Victim, points
from life.test_exec_crash import FAILURES, check, child_of, processes
from needs import needs

pytestmark = [needs("root", "strace"), pytest.mark.pyrun_only("no peer has templates")]

LOOK = (
    "mounts", "env", "hostname", "caps", "id", "umask", "cwd", "nnp", "status Seccomp", "fds",
    "keyring", "rlimit 7", "cat /proc/self/cmdline", "cat /proc/self/cgroup", "ioprio",
    "cat /proc/self/oom_score_adj", "status SigBlk", "status SigIgn", "status Cpus_allowed",
)  # fmt: skip


class Joiner:
    """Brings processes in, and tells which programs that took."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.trace = container.bundle.path / "trace"
        self.folder = container.runtime.root / container.id

    def exec(
        self, *verbs: str, flags: Sequence[str | Path] = (), options: Sequence[str] = (), **how: Any
    ) -> tuple[Result, bool]:
        """The result, and whether Python was started for it."""
        prefix = ["strace", "-qq", "-e", "trace=execve", "-o", str(self.trace), *options]
        result = self.container.exec(*verbs, flags=flags, prefix=prefix, **how)
        lines = [line for line in self.trace.read_text().splitlines() if "execve(" in line]
        return result, any("/interpreter" in line or "/python3" in line for line in lines)

    def prime(self, *verbs: str, flags: Sequence[str | Path] = (), **how: Any) -> Result:
        """Leave a template of this shape."""
        time.sleep(0.3)  # exec_template.PAUSE
        before = self.templates()
        result = self.container.exec(*verbs, flags=flags, **how)
        assert self.templates() != before, "there is no template"
        return result

    def templates(self) -> dict[str, int]:
        """Their names, and when they were made."""
        return {path.name: path.stat().st_mtime_ns for path in self.folder.glob("exec.[0-9]")}


@pytest.fixture
def joiner(container: Container, bundle: Bundle) -> Joiner:
    bundle.process["oomScoreAdj"] = 10
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["syslog"], "action": "SCMP_ACT_ERRNO"}],
    }
    container.started("sleep 1000")
    return Joiner(container)


def test_the_same_process(joiner: Joiner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its namespaces, identity, confinement, limits, descriptors."""
    joiner.prime(*LOOK)
    found, python = joiner.exec(*LOOK)
    assert not python
    assert (found.code, found.err) == (0, "")
    monkeypatch.setenv("PYRUN_NO_FAST", "1")
    by_python, python = joiner.exec(*LOOK)
    assert python
    # A temporary file without a name is another one each time.
    one, other = (
        [re.sub(r"#\d+ ", "", answer) for answer in result.answers()]
        for result in (found, by_python)
    )
    assert one == other
    assert len(found.answers()) == len(LOOK)


def test_what_may_differ(joiner: Joiner) -> None:
    """Arguments, and values of the environment in a file of --process."""
    assert joiner.prime("hostname").answers() == ["box"]
    result, python = joiner.exec("umask")
    assert not python
    assert result.answers() == ["0022"] or result.answers()[0].endswith("22")
    for number, value in enumerate(("a", "b c", "x=y", "%")):
        path = process_file(joiner.container, "env", env=["PATH=/", f"ONE={value}", "TWO=2"])
        if not number:
            joiner.prime(flags=["--process", path])
            continue
        result, python = joiner.exec(flags=["--process", path])
        assert not python, value
        assert f"ONE={value}" in result.answers()[0], value


@pytest.mark.parametrize(
    "members",
    [
        {"env": ["PATH=/", "ONE=1", "THREE=3"]},
        {"env": ["PATH=/x", "ONE=1"]},
        {"env": ["PATH=/", 'ONE="']},
        {"env": ["PATH=/", "ONE=\n"]},
        {"env": ["PATH=/", "ONE="]},
        {"env": ["PATH=/", "ONE=1"], "cwd": "/tmp"},
        {"env": ["PATH=/", "ONE=1"], "user": {"uid": 5, "gid": 0}},
        {"env": ["PATH=/", "ONE=1"], "noNewPrivileges": True},
        {"env": ["PATH=/", "ONE=1"], "capabilities": {}},
    ],
)
def test_what_is_another_shape(joiner: Joiner, members: dict[str, Any]) -> None:
    path = process_file(joiner.container, "env", env=["PATH=/", "ONE=1"])
    joiner.prime(flags=["--process", path])
    assert not joiner.exec(flags=["--process", path])[1]
    path = process_file(joiner.container, "env", **members)
    result, python = joiner.exec(flags=["--process", path])
    assert python
    assert result.code == 0


def test_other_arguments_are_another_shape(joiner: Joiner) -> None:
    joiner.prime("hostname")
    for words in (("hostname", "id"), ('print "x"',)):
        assert joiner.exec(*words)[1], words
    flags = ["--cwd", "/"]
    assert joiner.exec("hostname", flags=flags)[1]
    before = os.umask(0o77)
    try:
        assert joiner.exec("umask")[0].answers()[0].endswith("77")
    finally:
        os.umask(before)


def test_detached_with_a_pid_file(joiner: Joiner, bundle: Bundle) -> None:
    flags = ["--detach", "--pid-file", bundle.path / "exec.pid"]
    joiner.prime("sleep 1000", flags=flags)
    first = int((bundle.path / "exec.pid").read_text())
    result, python = joiner.exec("sleep 1001", flags=flags)
    assert (result, python) == ((0, "", ""), False)
    second = int((bundle.path / "exec.pid").read_text())
    assert (bundle.path / "exec.pid").stat().st_mode & 0o777 == 0o644
    assert cgroup_of(first) == cgroup_of(second) != cgroup_of("self")
    assert Path(f"/proc/{second}/cmdline").read_bytes().split(b"\0")[2] == b"1001"
    assert [end(pid) for pid in (first, second)] == [-signal.SIGKILL] * 2


def test_exit_codes(joiner: Joiner) -> None:
    joiner.prime("exit 3")
    for code in (0, 7, 255):
        result, python = joiner.exec(f"exit {code}")
        assert (result.code, python) == (code, False)


def test_signals_are_forwarded(joiner: Joiner) -> None:
    container = joiner.container
    joiner.prime("umask")
    words = container.runtime.command("exec", container.id, "/payload", "trap")
    prefix = ["strace", "-qq", "-e", "trace=execve", "-o", str(joiner.trace)]
    process = subprocess.Popen([*prefix, *words], stdout=subprocess.PIPE)
    assert process.stdout
    with process.stdout as out:
        assert out.readline() == b"ready\n"
        os.kill(child_of(process), signal.SIGUSR1)
        assert out.readline() == b"USR1\n"
        os.kill(child_of(process), signal.SIGTERM)
        assert out.readline() == b"TERM\n"
    assert process.wait(10) == 0
    assert "/interpreter" not in joiner.trace.read_text()


def test_python_explains(joiner: Joiner) -> None:
    """A program that is not there, whoever looks first."""
    path = process_file(joiner.container, "hostname")
    joiner.prime(flags=["--process", path])
    rootfs = joiner.container.bundle.path / "rootfs"
    (rootfs / "payload").rename(rootfs / "elsewhere")
    try:
        result, python = joiner.exec(flags=["--process", path])
        assert (result.code, result.out, python) == (NOT_STARTED, "", True)
        assert "/payload" in result.err
        assert result.err.count("\n") == 1
    finally:
        (rootfs / "elsewhere").rename(rootfs / "payload")


def test_paused(joiner: Joiner) -> None:
    joiner.prime("hostname")
    assert joiner.container.runtime("pause", joiner.container.id).code == 0
    result, python = joiner.exec("hostname")
    assert (result.code, python) == (NOT_STARTED, True)
    assert "paused" in result.err
    assert joiner.container.runtime("resume", joiner.container.id).code == 0
    assert not joiner.exec("hostname")[1]


def test_stopped(joiner: Joiner) -> None:
    joiner.prime("hostname")
    os.kill(joiner.container.pid, signal.SIGKILL)
    assert eventually(lambda: joiner.container.status() == "stopped")
    result, python = joiner.exec("hostname")
    assert (result.code, python) == (NOT_STARTED, True)
    assert "stopped" in result.err


@pytest.mark.parametrize("name", ["intent.json", "state.json", "exec"])
def test_records_that_were_replaced(joiner: Joiner, name: str) -> None:
    joiner.prime("hostname")
    path = joiner.folder / name
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    path.chmod(0o600)
    result, python = joiner.exec("hostname")
    assert (result.answers(), python) == (["box"], True)


def test_damaged(joiner: Joiner) -> None:
    joiner.prime("hostname")
    (path,) = joiner.folder.glob("exec.[0-9]")
    data = path.read_bytes()
    for at in (0, 5, 13, 17, 21, 60, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data)
        damage(path, at)
        result, python = joiner.exec("hostname", env={**os.environ, "PYRUN_NO_FAST": ""})
        assert result.answers() == ["box"]
        assert python, at
        path.write_bytes(data)
        damage(path, at)
        assert joiner.exec("hostname")[0].answers() == ["box"], at


@pytest.mark.parametrize("whose", ["self", "init"])
def test_namespaces_that_are_others(joiner: Joiner, whose: str) -> None:
    """A caller elsewhere, or an init that has left one of its own, joins by another plan."""
    joiner.prime("hostname")
    pid = "self" if whose == "self" else str(joiner.container.pid)
    (path,) = joiner.folder.glob("exec.[0-9]")
    place = path.read_bytes().index(f"/proc/{pid}/ns/uts".encode())
    damage(path, place - 16, noticed=False)  # its inode: check() of template_file.py
    result, python = joiner.exec("hostname")
    assert (result.answers(), python) == (["box"], True)


def test_no_more_than_four(joiner: Joiner) -> None:
    for count in range(1, 8):
        joiner.prime(*["hostname"] * count)
        assert not joiner.exec(*["hostname"] * count)[1]
    assert sorted(joiner.templates()) == ["exec.0", "exec.1", "exec.2", "exec.3"]
    assert joiner.exec("hostname")[1]  # the oldest has gone


def test_at_once_that_are_never_the_same(joiner: Joiner) -> None:
    """What changes each time leaves no template each time."""
    began = time.monotonic()
    for count in range(1, 6):
        joiner.container.exec(*["umask"] * count)
    assert len(joiner.templates()) <= 2 + (time.monotonic() - began) / 0.25


def hooks(bundle: Bundle) -> None:
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true"}]}


def user_namespace(bundle: Bundle) -> None:
    bundle.map_ids()


def terminal(bundle: Bundle) -> None:
    bundle.process["execCPUAffinity"] = {"initial": "0"}


@pytest.mark.parametrize(
    ("kind", "leaves"), [(hooks, True), (user_namespace, False), (terminal, False)]
)
def test_which_containers(
    container: Container, bundle: Bundle, kind: Callable[[Bundle], None], leaves: bool
) -> None:
    kind(bundle)
    container.started("sleep 1000")
    joiner = Joiner(container)
    assert container.exec_ask("hostname") == ["box"]
    assert bool(joiner.templates()) == leaves
    result, python = joiner.exec("hostname")
    assert (result.answers(), python) == (["box"], not leaves)


def test_deleted_with_the_container_without_python(joiner: Joiner) -> None:
    joiner.prime("hostname")
    container = joiner.container
    os.kill(container.pid, signal.SIGKILL)
    assert eventually(lambda: container.status() == "stopped")
    end(container.pid)
    prefix = ["strace", "-qq", "-e", "trace=execve", "-o", str(joiner.trace)]
    assert container.delete(prefix=prefix) == (0, "", "")
    assert "/interpreter" not in joiner.trace.read_text()
    assert not joiner.folder.exists()


@pytest.fixture
def traced(joiner: Joiner, bundle: Bundle) -> tuple[Victim, list[str | Path], Path]:
    """A detached exec that was traced when it went without Python, and its pid file."""
    victim, pid_file = Victim(joiner.container), bundle.path / "exec.pid"
    words = ["exec", "--detach", "--pid-file", pid_file, joiner.container.id]
    words += ["/payload", *sentence("sleep 1000")]
    time.sleep(0.3)  # exec_template.PAUSE
    for _ in range(2):
        assert under_strace(victim, words) == 0
        end(int(pid_file.read_text()))
        pid_file.unlink()
    assert "/interpreter" not in victim.trace.read_text()
    return victim, words, pid_file


def under_strace(victim: Victim, words: Sequence[str | Path], *options: str) -> int:
    """Its exit code; what it says is not looked at."""
    null = subprocess.DEVNULL
    process = victim.container.runtime.popen(
        *words, prefix=victim.strace(*options), stdin=null, stdout=null, stderr=null
    )
    return process.wait(20)


def test_killed_at_any_call(joiner: Joiner, traced: Any) -> None:
    """Nothing is left but the program, or nothing."""
    victim, words, pid_file = traced
    places = points(victim.trace, "flock(", 60)
    for call, number in places:
        code = victim.kill_at(call, number, *words)
        check(joiner.container, f"{call} {number}", code, pid_file)
    assert victim.killed > len(places) * 0.8
    assert joiner.container.exec_ask("hostname") == ["box"]


def test_calls_that_fail(joiner: Joiner, traced: Any) -> None:
    """Python begins anew, and one process has joined in the end: the one in the pid file."""
    victim, words, pid_file = traced
    tried = 0
    for call, number in points(victim.trace, "flock(", 1000):
        if call not in FAILURES:
            continue
        fault = f"inject={call}:error={FAILURES[call]}:when={number}"
        where = f"{call} {number}"
        assert under_strace(victim, words, "-e", f"trace={call}", "-e", fault) == 0, where
        assert list(processes(joiner.container)) == [int(pid_file.read_text())], where
        check(joiner.container, where, 0, pid_file)
        tried += 1
    assert tried > 10


def test_interrupted(joiner: Joiner, bundle: Bundle) -> None:
    """A signal that comes before the program runs: it does not, and Python says so."""
    flags = ["--pid-file", bundle.path / "exec.pid"]
    joiner.prime("sleep 0", flags=flags)
    (bundle.path / "exec.pid").unlink()
    options = ["-e", "trace=execve,sendmsg", "-e", "inject=sendmsg:signal=TERM:when=1"]
    result, python = joiner.exec("sleep 5", flags=flags, options=options)
    assert python
    assert result.code != 0
    assert not (bundle.path / "exec.pid").exists()
    check(joiner.container, "interrupted", result.code, bundle.path / "exec.pid")
